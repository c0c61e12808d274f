-- How a job comes to a worker that fits.
--
-- Locks are always waited for in this order: worker, matching, job, concurrency key, tenant; matching and tenant are
-- advisory. Whoever holds the tenant lock waits for no row any more: from there on rows are only taken with `skip locked`.

-- A job put into the queue and a worker going idle may not miss each other (I4). Whoever queues holds the lock shared
-- while it looks for idle workers; whoever makes a slot free takes it alone before the last look at the queue. So one
-- of the two commits first, and the other sees it.
create function muster_private.lock_queueing(tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('muster.idle:' || lock_queueing.tenant_id, 0));
end
$$;
comment on function muster_private.lock_queueing(uuid) is 'Held by who puts jobs into a tenant''s queue, from before it looks for idle workers to its commit';

create function muster_private.lock_going_idle(tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('muster.idle:' || lock_going_idle.tenant_id, 0));
end
$$;
comment on function muster_private.lock_going_idle(uuid) is 'Held by who makes slots free, from before the last look at the queue to the commit';

-- Gives ready jobs of one tenant, a few hundred at most, to locked workers that have room for them: job n of the one array to
-- worker n of the other. The caller has the jobs' rows in ready_jobs, and writes into the workers' rows what they use now.
create function muster_private.give_jobs(job_ids uuid[], worker_ids uuid[], status muster.job_status, at timestamptz)
returns void
language plpgsql set search_path = ''
as $$
declare
  v_is_running constant boolean := give_jobs.status = 'running';
  v_actor constant jsonb := muster_private.current_actor();
  v_acknowledge constant interval := muster_private.timing('acknowledge');
  v_is_limited boolean;
  v_have_gates boolean;
begin
  if coalesce(cardinality(give_jobs.job_ids), 0) = 0 then
    return;
  end if;
  with gone as (
    delete from muster_private.ready_jobs r where r.job_id = any (give_jobs.job_ids)
  ), given as (
    update muster.jobs j
    set status = give_jobs.status, worker_id = g.worker_id, attempts = j.attempts + 1,
      assigned_at = give_jobs.at, started_at = case when v_is_running then give_jobs.at end,
      progress = null, progress_note = null,
      attempt_deadline_at = give_jobs.at + case when v_is_running
        then j.attempt_timeout else v_acknowledge end,
      updated_at = give_jobs.at, last_sequence = j.last_sequence + 1
    from unnest(give_jobs.job_ids, give_jobs.worker_ids) g (job_id, worker_id)
    where j.id = g.job_id
    returning j.id, j.tenant_id, j.worker_id, j.class_id, j.attempts, j.attempt_deadline_at, j.start_by, j.has_gates
  ), placed as (
    insert into muster_private.held_jobs (job_id, tenant_id, worker_id, class_id, attempt, is_running, deadline_at)
    select g.id, g.tenant_id, g.worker_id, g.class_id, g.attempts, v_is_running, g.attempt_deadline_at
    from given g
  ), noted as (
    insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
    select g.tenant_id, v_actor, 'jobs.changed', 'jobs',
      muster_private.change_json(give_jobs.status::text, g.attempts, g.worker_id), array_agg(g.id), give_jobs.at
    from given g group by g.tenant_id, g.attempts, g.worker_id
  )
  select bool_or(g.start_by is not null), bool_or(g.has_gates) into v_is_limited, v_have_gates from given g;
  if v_have_gates then
    perform muster_private.note_affinities(give_jobs.job_ids, give_jobs.at);
  end if;
  if v_is_running and v_is_limited then
    perform muster_private.note_start(give_jobs.job_ids);
  end if;
end
$$;
comment on function muster_private.give_jobs(uuid[], uuid[], muster.job_status, timestamptz) is
  'Starts an attempt of each job by its worker: ''assigned'' for a push, ''running'' where the answer hands them over';

-- One entry a job, all of one class.
create function muster_private.push_jobs(class_id bigint, job_ids uuid[], worker_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.give_jobs(push_jobs.job_ids, push_jobs.worker_ids, 'assigned', push_jobs.at);
  update muster.worker_devices w
  set held_count = w.held_count + g.job_count * c.slots, last_assigned_at = push_jobs.at,
    held_resources = muster_private.add_resources(w.held_resources, c.resources, g.job_count)
  from (select i as worker_id, count(*)::integer as job_count from unnest(push_jobs.worker_ids) i group by i) g
  cross join muster.job_classes c
  where w.id = g.worker_id and c.id = push_jobs.class_id;
end
$$;
comment on function muster_private.push_jobs(bigint, uuid[], uuid[], timestamptz) is
  'Assigns ready jobs of a class to locked workers, and writes down what those use now';

-- What is left of a job's deadlines once an attempt has started.
create function muster_private.note_start(job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
begin
  update muster_private.job_deadlines d set at = j.expires_at
  from muster.jobs j
  where d.job_id = any (note_start.job_ids) and j.id = d.job_id and j.start_by is not null and j.expires_at is not null;
  delete from muster_private.job_deadlines d using muster.jobs j
  where d.job_id = any (note_start.job_ids) and j.id = d.job_id and j.start_by is not null and j.expires_at is null;
end
$$;
comment on function muster_private.note_start(uuid[]) is 'Jobs of which an attempt has started have no time any more by which to start';

-- Takes up to `want` queued jobs for a worker whose row the caller has locked, best first, class by class, and those that
-- are for this worker alone among them. The head of each class is one index probe, so neither other classes' backlog nor
-- history costs anything. A class whose jobs are too large for what is free now does not keep others waiting; where small
-- ones never end, a large one may therefore wait for long.
create function muster_private.claim_for_worker(worker_id uuid, want integer, at timestamptz, known muster.worker_devices default null)
returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
  v_left integer;
  v_room integer;
  v_source record;
  v_taken uuid[];
  v_claimed uuid[] := array[]::uuid[];
begin
  if (claim_for_worker.known).id is null then
    select * into strict v_worker from muster.worker_devices w where w.id = claim_for_worker.worker_id;
  else
    v_worker := claim_for_worker.known;
  end if;
  v_left := least(claim_for_worker.want, v_worker.slots - v_worker.held_count);
  if v_worker.status <> 'online' or v_worker.cordoned_at is not null or v_left < 1 then
    return v_claimed;
  end if;
  for v_source in
    select c.id as class_id, c.slots, c.resources, head.is_own
    from (
      select wc.class_id, false as is_own, h.priority, h.rank, h.position
      from muster.worker_classes wc
      cross join lateral (
        select r.priority, r.rank, r.position from muster_private.ready_jobs r
        where r.tenant_id = v_worker.tenant_id and r.class_id = wc.class_id and r.worker_id is null
        order by r.priority desc, r.rank, r.position limit 1
      ) h
      where wc.worker_id = v_worker.id
      union all
      (
        select distinct on (o.class_id) o.class_id, true, o.priority, o.rank, o.position
        from (
          select r.class_id, r.priority, r.rank, r.position from muster_private.ready_jobs r
          where r.tenant_id = v_worker.tenant_id and r.worker_id = v_worker.id
            and exists (select from muster.worker_classes wc where wc.worker_id = v_worker.id and wc.class_id = r.class_id)
          order by r.priority desc, r.rank, r.position limit v_left
        ) o
        order by o.class_id, o.priority desc, o.rank, o.position
      )
    ) head
    -- One by one: joined, a plan may read all classes there are.
    cross join lateral (select o.id, o.slots, o.resources from muster.job_classes o where o.id = head.class_id offset 0) c
    order by head.priority desc, head.rank, head.position
  loop
    v_room := least(v_left, muster_private.room_for(v_worker, v_source.slots, v_source.resources));
    continue when v_room < 1;
    if v_source.is_own then
      v_taken := array(
        select r.job_id from muster_private.ready_jobs r
        where r.tenant_id = v_worker.tenant_id and r.worker_id = v_worker.id and r.class_id = v_source.class_id
        order by r.priority desc, r.rank, r.position
        limit v_room
        for update skip locked);
    else
      v_taken := array(
        select r.job_id from muster_private.ready_jobs r
        where r.tenant_id = v_worker.tenant_id and r.class_id = v_source.class_id and r.worker_id is null
        order by r.priority desc, r.rank, r.position
        limit v_room
        for update skip locked);
    end if;
    continue when cardinality(v_taken) = 0;
    v_claimed := v_claimed || v_taken;
    v_left := v_left - cardinality(v_taken);
    v_worker.held_count := v_worker.held_count + cardinality(v_taken) * v_source.slots;
    if v_source.resources <> '{}' then
      v_worker.held_resources :=
        muster_private.add_resources(v_worker.held_resources, v_source.resources, cardinality(v_taken));
    end if;
    exit when v_left < 1 or v_worker.held_count >= v_worker.slots;
  end loop;
  if cardinality(v_claimed) = 0 then
    return v_claimed;
  end if;
  perform muster_private.give_jobs(
    v_claimed, array_fill(v_worker.id, array[cardinality(v_claimed)]), 'running', claim_for_worker.at);
  update muster.worker_devices w
  set held_count = v_worker.held_count, held_resources = v_worker.held_resources, last_assigned_at = claim_for_worker.at
  where w.id = v_worker.id;
  return v_claimed;
end
$$;
comment on function muster_private.claim_for_worker(uuid, integer, timestamptz, muster.worker_devices) is
  'Starts up to want queued jobs that fit on a worker with free slots, whose row the caller has locked, and may know better';

-- Hops over the index from class to class, so a long queue costs no more than a short one.
create function muster_private.queued_classes(tenant_id uuid) returns table (class_id bigint)
language plpgsql stable rows 20 set search_path = ''
as $$
begin
  return query
  with recursive hops as (
    (
      select r.class_id as hop from muster_private.ready_jobs r
      where r.tenant_id = queued_classes.tenant_id and r.worker_id is null
      order by r.class_id limit 1
    )
    union all
    select next.class_id from hops h
    cross join lateral (
      select r.class_id from muster_private.ready_jobs r
      where r.tenant_id = queued_classes.tenant_id and r.worker_id is null and r.class_id > h.hop
      order by r.class_id limit 1
    ) next
  )
  select h.hop from hops h;
end
$$;
comment on function muster_private.queued_classes(uuid) is
  'Classes of a tenant that have a job in the queue which is for any worker';

-- Which workers get the next `want` jobs of a class, one entry a job: those of the highest preference first, and of them
-- the least loaded. Nothing is locked. Few workers are asked one by one; among many that serve a class the first in the
-- order of load, or of preference where the class has any, are found soon.
create function muster_private.next_workers(tenant_id uuid, class_id bigint, want integer, passed uuid[]) returns uuid[]
language plpgsql stable set search_path = ''
as $$
declare
  v_few constant integer := 400;
  v_class muster.job_classes;
  v_serving uuid[];
  v_ids uuid[];
begin
  select * into strict v_class from muster.job_classes c where c.id = next_workers.class_id;
  v_serving := array(
    select wc.worker_id from muster.worker_classes wc
    where wc.tenant_id = next_workers.tenant_id and wc.class_id = next_workers.class_id
    order by wc.preference desc, wc.worker_id limit v_few + 1);
  if v_class.preferences = '[]' and cardinality(v_serving) <= v_few then
    v_ids := array(
      select w.id from muster.worker_devices w
      where w.id = any (v_serving)
        and w.status = 'online' and w.cordoned_at is null and w.listening and not w.deaf and w.held_count < w.slots
        and w.id <> all (next_workers.passed)
        and muster_private.room_for(w, v_class.slots, v_class.resources) > 0
      order by w.held_count::real / w.slots, w.last_assigned_at nulls first, w.id
      limit next_workers.want);
  elsif v_class.preferences <> '[]' then
    v_ids := array(
      select w.id from muster.worker_classes wc
      join muster.worker_devices w on w.id = wc.worker_id
      where wc.tenant_id = next_workers.tenant_id and wc.class_id = next_workers.class_id
        and w.status = 'online' and w.cordoned_at is null and w.listening and not w.deaf and w.held_count < w.slots
        and w.id <> all (next_workers.passed)
        and muster_private.room_for(w, v_class.slots, v_class.resources) > 0
      order by wc.preference desc, w.held_count::real / w.slots, w.last_assigned_at nulls first, w.id
      limit next_workers.want);
  else
    v_ids := array(
      select f.worker_id from muster_private.free_workers f
      join muster.worker_devices w on w.id = f.worker_id
      where f.tenant_id = next_workers.tenant_id
        and f.worker_id <> all (next_workers.passed)
        and exists (
          select from muster.worker_classes wc where wc.worker_id = f.worker_id and wc.class_id = next_workers.class_id)
        and muster_private.room_for(w, v_class.slots, v_class.resources) > 0
      order by f.load, f.last_assigned_at nulls first, f.worker_id
      limit next_workers.want);
  end if;
  return array(
    select w.id from muster.worker_devices w
    join muster.worker_classes wc on wc.worker_id = w.id and wc.class_id = next_workers.class_id
    cross join lateral generate_series(0,
      least(muster_private.room_for(w, v_class.slots, v_class.resources), next_workers.want) - 1) as more
    where w.id = any (v_ids)
    order by wc.preference desc, (w.held_count + more * v_class.slots)::real / w.slots, w.last_assigned_at nulls first, w.id
    limit next_workers.want);
end
$$;
comment on function muster_private.next_workers(uuid, bigint, integer, uuid[]) is
  'Listening workers with free slots that serve a class, as often as they should get a job';

create function muster_private.assignable_classes(tenant_id uuid) returns bigint[]
language plpgsql stable set search_path = ''
as $$
begin
  -- Most often all are busy, and then the queue need not be looked at.
  if not exists (
    select from muster_private.free_workers f where f.tenant_id = assignable_classes.tenant_id
  ) then
    return array[]::bigint[];
  end if;
  return array(
    select c.class_id from muster_private.queued_classes(assignable_classes.tenant_id) c
    where cardinality(muster_private.next_workers(assignable_classes.tenant_id, c.class_id, 1, '{}')) > 0);
end
$$;
comment on function muster_private.assignable_classes(uuid) is
  'Classes of a tenant that have a job in the queue and a listening worker with a free slot';

-- Locks the workers of a list that can still be pushed jobs, an entry a job, and passes over those in other hands;
-- answers the entries that hold, in order.
create function muster_private.lock_workers_for(class_id bigint, worker_ids uuid[]) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_class muster.job_classes;
  v_given uuid[];
begin
  select * into strict v_class from muster.job_classes c where c.id = lock_workers_for.class_id;
  with locked as (
    select w.id, muster_private.room_for(w, v_class.slots, v_class.resources) as room from muster.worker_devices w
    where w.id = any (lock_workers_for.worker_ids) and w.status = 'online' and w.cordoned_at is null
      and w.listening and not w.deaf and w.held_count < w.slots
    for no key update skip locked
  )
  select coalesce(array_agg(entry.id order by entry.n), '{}') into v_given
  from (
    select o.id, o.n, row_number() over (partition by o.id order by o.n) as turn
    from unnest(lock_workers_for.worker_ids) with ordinality o (id, n)
  ) entry
  join locked l on l.id = entry.id and entry.turn <= l.room;
  return v_given;
end
$$;
comment on function muster_private.lock_workers_for(bigint, uuid[]) is
  'Locks workers that are to be pushed jobs of a class; answers one entry a job, as far as they are free and have room';

-- Pushes the jobs that are for one worker alone. It hops from worker to worker, so that many jobs for a busy one cost little.
create function muster_private.assign_targeted_jobs(tenant_id uuid, at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_next record;
  v_given uuid[];
  v_jobs uuid[];
  v_assigned uuid[] := array[]::uuid[];
begin
  for v_next in
    with recursive hops as (
      (
        select r.worker_id as hop from muster_private.ready_jobs r
        where r.tenant_id = assign_targeted_jobs.tenant_id and r.worker_id is not null
        order by r.worker_id limit 1
      )
      union all
      select next.worker_id from hops h
      cross join lateral (
        select r.worker_id from muster_private.ready_jobs r
        where r.tenant_id = assign_targeted_jobs.tenant_id and r.worker_id > h.hop
        order by r.worker_id limit 1
      ) next
    )
    select w.id as worker_id, head.class_id, array_agg(head.job_id order by head.priority desc, head.rank, head.position) as jobs
    from hops h
    join muster.worker_devices w on w.id = h.hop
    cross join lateral (
      select r.job_id, r.class_id, r.priority, r.rank, r.position from muster_private.ready_jobs r
      where r.tenant_id = assign_targeted_jobs.tenant_id and r.worker_id = w.id
        and exists (select from muster.worker_classes wc where wc.worker_id = w.id and wc.class_id = r.class_id)
      order by r.priority desc, r.rank, r.position limit w.slots - w.held_count
    ) head
    where w.status = 'online' and w.cordoned_at is null and w.listening and not w.deaf and w.held_count < w.slots
    group by w.id, head.class_id
    order by w.id, min(head.rank)
  loop
    v_jobs := array(
      select r.job_id from muster_private.ready_jobs r
      where r.job_id = any (v_next.jobs) and r.worker_id = v_next.worker_id
      order by r.priority desc, r.rank, r.position
      for update skip locked);
    continue when cardinality(v_jobs) = 0;
    v_given := muster_private.lock_workers_for(
      v_next.class_id, array_fill(v_next.worker_id, array[cardinality(v_jobs)]));
    v_jobs := v_jobs[:cardinality(v_given)];
    perform muster_private.push_jobs(v_next.class_id, v_jobs, v_given, assign_targeted_jobs.at);
    v_assigned := v_assigned || v_jobs;
  end loop;
  return v_assigned;
end
$$;
comment on function muster_private.assign_targeted_jobs(uuid, timestamptz) is
  'Gives jobs that are for one worker alone to it, where it listens and has room; answers which';

-- Pushes queued jobs of the tenant to idle workers that listen, the best job to the least loaded, and nudges each worker
-- once; before them those that are for one worker alone. Takes the tenant lock: call it after every other lock. It goes in
-- turns, a class a turn, the one with the best head first: where slots are scarce its jobs may overtake older ones of other
-- classes, never ones of higher priority.
create function muster_private.assign_jobs(tenant_id uuid, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_turn constant integer := 50;
  v_head record;
  v_classes bigint[];
  v_passed uuid[] := array[]::uuid[];
  v_want integer;
  v_workers uuid[];
  v_given uuid[];
  v_jobs uuid[];
  v_assigned uuid[];
begin
  perform muster_private.lock_queueing(assign_jobs.tenant_id);
  v_assigned := muster_private.assign_targeted_jobs(assign_jobs.tenant_id, assign_jobs.at);
  v_classes := muster_private.assignable_classes(assign_jobs.tenant_id);
  loop
    select c.class_id, head.priority, lead(head.priority) over best as next_priority
    into v_head
    from unnest(v_classes) c (class_id)
    cross join lateral (
      select r.priority, r.rank, r.position from muster_private.ready_jobs r
      where r.tenant_id = assign_jobs.tenant_id and r.class_id = c.class_id and r.worker_id is null
      order by r.priority desc, r.rank, r.position limit 1
    ) head
    window best as (order by head.priority desc, head.rank, head.position)
    order by head.priority desc, head.rank, head.position
    limit 1;
    exit when not found;

    select count(*) into v_want from (
      select from muster_private.ready_jobs r
      where r.tenant_id = assign_jobs.tenant_id and r.class_id = v_head.class_id and r.worker_id is null
      limit v_turn
    ) queued;
    v_workers := muster_private.next_workers(assign_jobs.tenant_id, v_head.class_id, v_want, v_passed);
    -- Only jobs that go to a worker are locked: a claim would pass over the others.
    v_jobs := array(
      select r.job_id from muster_private.ready_jobs r
      where r.tenant_id = assign_jobs.tenant_id and r.class_id = v_head.class_id and r.worker_id is null
        and r.priority >= coalesce(v_head.next_priority, r.priority)
      order by r.priority desc, r.rank, r.position
      limit cardinality(v_workers)
      for update skip locked);
    -- The head itself may be in other hands: then the first that is free is as good.
    if cardinality(v_jobs) = 0 then
      v_jobs := array(
        select r.job_id from muster_private.ready_jobs r
        where r.tenant_id = assign_jobs.tenant_id and r.class_id = v_head.class_id and r.worker_id is null
        order by r.priority desc, r.rank, r.position
        limit least(cardinality(v_workers), 1)
        for update skip locked);
    end if;
    if cardinality(v_jobs) = 0 then
      v_classes := array_remove(v_classes, v_head.class_id);
      continue;
    end if;
    -- Only workers that get a job are locked: another submission would pass over one that stays idle.
    v_workers := v_workers[:cardinality(v_jobs)];
    v_given := muster_private.lock_workers_for(v_head.class_id, v_workers);
    v_passed := v_passed || array(select i from unnest(v_workers) i except select i from unnest(v_given) i);
    v_jobs := v_jobs[:cardinality(v_given)];
    perform muster_private.push_jobs(v_head.class_id, v_jobs, v_given, assign_jobs.at);
    v_assigned := v_assigned || v_jobs;
  end loop;
  perform muster_private.send_assignments(v_assigned);
  perform muster_private.call_claimers(assign_jobs.tenant_id, assign_jobs.at);
  return cardinality(v_assigned);
end
$$;
comment on function muster_private.assign_jobs(uuid, timestamptz) is
  'Gives the tenant''s queued jobs to idle workers that listen; answers how many';

revoke execute on all functions in schema muster_private from public;
