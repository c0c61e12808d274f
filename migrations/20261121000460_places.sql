-- Where a job stands that has not ended: a row in the one of these tables that its status names. They are what the
-- scheduler searches, narrow and short, while muster.jobs keeps all there ever was.
--
-- jobs.status stays the truth for who reads. Whoever changes a job's status has its row here first, and so no two wait for
-- each other over the job itself.

-- The rows of a worker are locked in the order of uuid_send(job_id). It is that of job_id, but no index has it: a plan that
-- was made while a table was empty would read the whole primary key to be spared a sort.

-- They churn: a row lives for as long as a job waits or runs. What is dead goes soon, or each look at the head of the
-- queue would step over it. An empty end is not given back to the disk: vacuum waits up to 5 s for the lock that takes, while
-- other tables need it, and the table grows again at once.
create table muster_private.ready_jobs (
  job_id uuid primary key,
  tenant_id uuid not null,
  class_id bigint not null,
  worker_id uuid,
  worker_until timestamptz,
  priority smallint not null,
  rank bigint not null,
  position bigint not null,
  flow text not null,
  queued_at timestamptz not null,
  constraint only_targets_are_given_up check (worker_id is not null or worker_until is null)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.ready_jobs is
  'Queued jobs, for any worker or for one: then until worker_until, or for good. priority is the effective one, which waiting raises';
create index ready_jobs_claimable_idx on muster_private.ready_jobs (tenant_id, class_id, priority desc, rank, position)
  where worker_id is null;
create index ready_jobs_targeted_idx on muster_private.ready_jobs (tenant_id, worker_id, priority desc, rank, position)
  where worker_id is not null;
create index ready_jobs_given_up_idx on muster_private.ready_jobs (worker_until) where worker_until is not null;

create table muster_private.held_jobs (
  job_id uuid primary key,
  tenant_id uuid not null,
  worker_id uuid not null,
  class_id bigint not null,
  attempt integer not null,
  is_running boolean not null,
  deadline_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.held_jobs is 'Jobs that a worker was given: assigned to it, or running; by deadline_at the attempt must have ended';
create index held_jobs_of_worker_idx on muster_private.held_jobs (worker_id);
create index held_jobs_pushed_idx on muster_private.held_jobs (worker_id) where not is_running;
create index held_jobs_overdue_idx on muster_private.held_jobs (deadline_at);

create table muster_private.scheduled_jobs (
  job_id uuid primary key,
  tenant_id uuid not null,
  run_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.scheduled_jobs is 'Jobs whose time has not come';
create index scheduled_jobs_due_idx on muster_private.scheduled_jobs (run_at);
create index scheduled_jobs_of_tenant_idx on muster_private.scheduled_jobs (tenant_id, run_at);

create table muster_private.blocked_jobs (
  job_id uuid primary key,
  tenant_id uuid not null,
  waiting_for text not null,
  key text,
  priority smallint not null,
  rank bigint not null,
  position bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.blocked_jobs is 'Jobs that something keeps from the queue; key says what of that kind: a concurrency key, for one';
create index blocked_jobs_next_idx on muster_private.blocked_jobs (tenant_id, waiting_for, key, priority desc, rank, position);

create table muster_private.admitted_jobs (
  tenant_id uuid not null,
  key text not null,
  job_id uuid not null,
  primary key (tenant_id, key, job_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.admitted_jobs is 'Jobs that a concurrency key has let in: queued, or held';

create table muster_private.job_deadlines (
  job_id uuid primary key,
  tenant_id uuid not null,
  at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.job_deadlines is
  'When jobs that have not ended are given up: by then an attempt must have started, and later the whole be done';
create index job_deadlines_due_idx on muster_private.job_deadlines (at);
create index job_deadlines_of_tenant_idx on muster_private.job_deadlines (tenant_id, at);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['ready_jobs', 'held_jobs', 'scheduled_jobs', 'blocked_jobs', 'admitted_jobs', 'job_deadlines'] loop
    execute format('alter table muster_private.%I enable row level security', v_table);
    execute format('create policy nobody on muster_private.%I as restrictive for all to public using (false)', v_table);
  end loop;
end
$$;

-- In place of foreign keys, each of which would be asked with every row that is written.
create function muster_private.tg_jobs__forget_places() returns trigger
language plpgsql set search_path = ''
as $$
begin
  delete from muster_private.ready_jobs p using gone g where p.job_id = g.id;
  delete from muster_private.held_jobs p using gone g where p.job_id = g.id;
  delete from muster_private.scheduled_jobs p using gone g where p.job_id = g.id;
  delete from muster_private.blocked_jobs p using gone g where p.job_id = g.id;
  delete from muster_private.job_deadlines p using gone g where p.job_id = g.id;
  delete from muster_private.admitted_jobs p using gone g
  where g.concurrency_key is not null and p.tenant_id = g.tenant_id and p.key = g.concurrency_key and p.job_id = g.id;
  delete from muster.stored_events e using gone g where e.job_id = g.id;
  return null;
end
$$;
comment on function muster_private.tg_jobs__forget_places() is 'With a job goes what stands elsewhere about it';
create trigger forget_places after delete on muster.jobs referencing old table as gone
  for each statement execute function muster_private.tg_jobs__forget_places();

-- Of jobs that wait, takes those out of their place that nobody has in hand; answers which.
create function muster_private.leave_waiting(job_ids uuid[]) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  with ready as (
    delete from muster_private.ready_jobs p where p.job_id in (
      select l.job_id from muster_private.ready_jobs l where l.job_id = any (leave_waiting.job_ids) for update skip locked)
    returning p.job_id
  ), scheduled as (
    delete from muster_private.scheduled_jobs p where p.job_id in (
      select l.job_id from muster_private.scheduled_jobs l where l.job_id = any (leave_waiting.job_ids) for update skip locked)
    returning p.job_id
  ), blocked as (
    delete from muster_private.blocked_jobs p where p.job_id in (
      select l.job_id from muster_private.blocked_jobs l where l.job_id = any (leave_waiting.job_ids) for update skip locked)
    returning p.job_id
  )
  select coalesce(array_agg(l.job_id), '{}') into v_ids
  from (select r.job_id from ready r union all select s.job_id from scheduled s union all select b.job_id from blocked b) l;
  return v_ids;
end
$$;
comment on function muster_private.leave_waiting(uuid[]) is
  'Takes waiting jobs out of the queue, or of where else they wait; those in other hands are passed over';

-- Ends jobs that waited, whose places the caller has taken away. Without an error they keep what the caller has written.
create function muster_private.end_waiting_jobs(job_ids uuid[], status muster.job_status, error jsonb, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(end_waiting_jobs.job_ids), 0) = 0 then
    return;
  end if;
  with ended as (
    update muster.jobs j
    set status = end_waiting_jobs.status, waiting_for = null,
      -- What went wrong before it had to wait again is told still.
      error = case when end_waiting_jobs.error is null then j.error
        else end_waiting_jobs.error || case when j.error is null then '{}'
          else jsonb_build_object('details', jsonb_build_object('last_error', j.error)) end end,
      finished_at = end_waiting_jobs.at, updated_at = end_waiting_jobs.at
    where j.id = any (end_waiting_jobs.job_ids)
    returning j.id, j.tenant_id, j.concurrency_key
  ), left_keys as (
    delete from muster_private.admitted_jobs a using ended e
    where a.tenant_id = e.tenant_id and a.key = e.concurrency_key and a.job_id = e.id
  )
  delete from muster_private.job_deadlines d using ended e where d.job_id = e.id;
  perform muster_private.record_status(end_waiting_jobs.job_ids, end_waiting_jobs.at);
  perform muster_private.send_results(end_waiting_jobs.job_ids);
end
$$;
comment on function muster_private.end_waiting_jobs(uuid[], muster.job_status, jsonb, timestamptz) is
  'Ends jobs that no worker holds, and whose places the caller has taken away';

-- For tests, and for who doubts: each line is a disagreement.
create function muster_private.check_places() returns setof text
language plpgsql stable set search_path = ''
as $$
begin
  return query
  with places as (
    select r.job_id, r.tenant_id, 'ready' as place from muster_private.ready_jobs r
    union all select h.job_id, h.tenant_id, 'held' from muster_private.held_jobs h
    union all select s.job_id, s.tenant_id, 'scheduled' from muster_private.scheduled_jobs s
    union all select b.job_id, b.tenant_id, 'blocked' from muster_private.blocked_jobs b
  ), found as (
    select coalesce(j.id, p.job_id) as id, j.status, array_agg(p.place order by p.place) filter (where p.place is not null) as places,
      bool_or(p.tenant_id <> j.tenant_id) as is_of_another
    from muster.jobs j full join places p on p.job_id = j.id
    group by 1, 2
  )
  select format('job %s is %s and stands in %s', f.id, coalesce(f.status::text, 'gone'), coalesce(f.places::text, 'no place'))
  from found f
  where f.is_of_another or f.places is distinct from case f.status
    when 'queued' then array['ready'] when 'assigned' then array['held'] when 'running' then array['held']
    when 'scheduled' then array['scheduled'] when 'blocked' then array['blocked'] end
  union all
  select format('queued job %s is another in ready_jobs', j.id) from muster_private.ready_jobs r
  join muster.jobs j on j.id = r.job_id
  where (r.class_id, r.position) is distinct from (j.class_id, j.position) or r.priority < j.priority
  union all
  select format('job %s is held otherwise than held_jobs says', j.id) from muster_private.held_jobs h
  join muster.jobs j on j.id = h.job_id
  where (h.worker_id, h.class_id, h.attempt, h.is_running, h.deadline_at)
    is distinct from (j.worker_id, j.class_id, j.attempts, j.status = 'running', j.attempt_deadline_at)
  union all
  select format('job %s waits for %s, and stands as waiting for %s %s', j.id, j.waiting_for, b.waiting_for, b.key)
  from muster_private.blocked_jobs b join muster.jobs j on j.id = b.job_id
  where b.waiting_for is distinct from j.waiting_for
    or (b.waiting_for = 'concurrency' and b.key is distinct from j.concurrency_key)
  union all
  select format('job %s is scheduled for %s, and stands for %s', j.id, j.run_at, s.run_at)
  from muster_private.scheduled_jobs s join muster.jobs j on j.id = s.job_id where s.run_at <> j.run_at
  union all
  select format('job %s of key %s: %s', coalesce(j.id, a.job_id), coalesce(j.concurrency_key, a.key),
    case when a.job_id is null then 'let in, and not among the admitted' else 'among the admitted, and not let in' end)
  from (
    select o.id, o.tenant_id, o.concurrency_key from muster.jobs o
    where o.concurrency_key is not null and o.status in ('queued', 'assigned', 'running')
  ) j
  full join muster_private.admitted_jobs a on a.job_id = j.id and a.key = j.concurrency_key and a.tenant_id = j.tenant_id
  -- Past its concurrency key a job may wait at a later gate, and keeps its place with the key.
  left join muster.jobs w on w.id = a.job_id and w.status = 'blocked' and w.waiting_for not in ('dependencies', 'concurrency')
  where (j.id is null and w.id is null) or a.job_id is null
  union all
  select format('job %s has no deadline of its own', j.id) from muster.jobs j
  left join muster_private.job_deadlines d on d.job_id = j.id
  where (j.status not in ('succeeded', 'failed', 'cancelled') and j.expires_at is not null and d.job_id is null)
    or (d.job_id is not null and (j.status in ('succeeded', 'failed', 'cancelled') or d.at > coalesce(j.expires_at, j.start_by)))
  union all
  select format('worker %s says it has %s of its slots and %s in use, and holds jobs of %s and %s',
    w.id, w.held_count, w.held_resources, coalesce(u.slots, 0), coalesce(u.resources, '{}'))
  from muster.worker_devices w
  left join lateral (
    select sum(c.slots) as slots, muster_private.sum_resources(array_agg(h.class_id), array_agg(1)) as resources
    from muster_private.held_jobs h join muster.job_classes c on c.id = h.class_id
    where h.worker_id = w.id
  ) u on true
  where w.held_count <> coalesce(u.slots, 0) or w.held_resources <> coalesce(u.resources, '{}')
  union all
  select format('worker %s may be pushed jobs: %s, and stands among the free: %s', coalesce(w.id, f.worker_id), w.id is not null, f)
  from (
    select * from muster.worker_devices d
    where d.status = 'online' and d.cordoned_at is null and d.listening and not d.deaf and d.held_count < d.slots
  ) w
  full join muster_private.free_workers f on f.worker_id = w.id
  where (f.tenant_id, f.load, f.last_assigned_at) is distinct from (w.tenant_id, w.held_count::real / w.slots, w.last_assigned_at);
end
$$;
comment on function muster_private.check_places() is 'Every disagreement between the jobs and the tables the scheduler searches';

create function muster_private.sum_resources(class_ids bigint[], counts integer[]) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_sum jsonb := '{}'::jsonb;
  v_class record;
begin
  for v_class in
    select c.resources, i.jobs from unnest(sum_resources.class_ids, sum_resources.counts) i (id, jobs)
    cross join lateral (select k.id, k.resources from muster.job_classes k where k.id = i.id offset 0) c
    order by c.id
  loop
    v_sum := muster_private.add_resources(v_sum, v_class.resources, v_class.jobs);
  end loop;
  return v_sum;
end
$$;
comment on function muster_private.sum_resources(bigint[], integer[]) is 'What so many jobs of these classes take together';

-- How many jobs of a class a worker has room for.
create function muster_private.room_for(worker muster.worker_devices, slots integer, resources jsonb) returns integer
language plpgsql immutable set search_path = ''
as $$
declare
  v_room constant integer := ((room_for.worker).slots - (room_for.worker).held_count) / room_for.slots;
begin
  if v_room < 1 or room_for.resources = '{}' then
    return greatest(v_room, 0);
  end if;
  return greatest(least(v_room, (
    select min(floor((coalesce(((room_for.worker).resources ->> r.key)::numeric, 0)
      - coalesce(((room_for.worker).held_resources ->> r.key)::numeric, 0)) / nullif((r.value #>> '{}')::numeric, 0)))
    from jsonb_each(room_for.resources) r)), 0)::integer;
end
$$;
comment on function muster_private.room_for(muster.worker_devices, integer, jsonb) is
  'How many jobs that take so many slots and resources a worker has room for';

revoke execute on all functions in schema muster_private from public;
