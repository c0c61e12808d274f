-- Which worker fits which job, and how a job comes to a worker.
--
-- Locks are always waited for in this order: worker, matching, job, concurrency key, tenant; matching and tenant are
-- advisory. Whoever holds the tenant lock waits for no row any more: from there on rows are only taken with `skip locked`.

create function muster_private.class_digest(requires text[], labels jsonb) returns text
language plpgsql stable set search_path = ''
as $$
begin
  return encode(sha256(convert_to(jsonb_build_array(to_jsonb(class_digest.requires), class_digest.labels)::text, 'utf8')), 'hex');
end
$$;
comment on function muster_private.class_digest(text[], jsonb) is 'What a requirement set is known by; requires must be sorted and distinct';

-- New classes and changed workers take turns, tenant by tenant: each must see what the other has done.
create function muster_private.lock_matching(tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('muster.matching:' || lock_matching.tenant_id, 0));
end
$$;
comment on function muster_private.lock_matching(uuid) is 'Serialises changes to who fits what within a tenant';

create function muster_private.intern_class(tenant_id uuid, requires text[], labels jsonb) returns bigint
language plpgsql set search_path = ''
as $$
declare
  v_digest constant text := muster_private.class_digest(intern_class.requires, intern_class.labels);
  v_class_id bigint;
begin
  select c.id into v_class_id from muster.job_classes c
  where c.tenant_id = intern_class.tenant_id and c.digest = v_digest;
  if found then
    return v_class_id;
  end if;
  perform muster_private.lock_matching(intern_class.tenant_id);
  insert into muster.job_classes (tenant_id, digest, requires, labels)
  values (intern_class.tenant_id, v_digest, intern_class.requires, intern_class.labels)
  on conflict do nothing
  returning id into v_class_id;
  if v_class_id is null then
    select c.id into strict v_class_id from muster.job_classes c
    where c.tenant_id = intern_class.tenant_id and c.digest = v_digest;
    return v_class_id;
  end if;
  insert into muster.worker_classes (worker_id, class_id, tenant_id)
  select w.id, v_class_id, w.tenant_id from muster.worker_devices w
  where w.tenant_id = intern_class.tenant_id and w.status <> 'revoked'
    and intern_class.requires <@ w.capabilities and intern_class.labels <@ w.labels;
  return v_class_id;
end
$$;
comment on function muster_private.intern_class(uuid, text[], jsonb) is 'The class of a requirement set, made and matched with the workers when it is new';

create function muster_private.match_worker(worker_id uuid) returns void
language plpgsql set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
begin
  select * into strict v_worker from muster.worker_devices w where w.id = match_worker.worker_id;
  perform muster_private.lock_matching(v_worker.tenant_id);
  delete from muster.worker_classes wc
  using muster.job_classes c
  where wc.worker_id = v_worker.id and c.id = wc.class_id
    and not (c.requires <@ v_worker.capabilities and c.labels <@ v_worker.labels and v_worker.status <> 'revoked');
  insert into muster.worker_classes (worker_id, class_id, tenant_id)
  select v_worker.id, c.id, c.tenant_id from muster.job_classes c
  where c.tenant_id = v_worker.tenant_id and v_worker.status <> 'revoked'
    and c.requires <@ v_worker.capabilities and c.labels <@ v_worker.labels
  on conflict do nothing;
end
$$;
comment on function muster_private.match_worker(uuid) is 'Recomputes which classes a worker serves, after its capabilities or labels changed';

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

-- Takes up to `want` queued jobs for a worker whose row the caller has locked, best first, class by class: the head of
-- each class is one index probe, so neither other classes' backlog nor history costs anything.
create function muster_private.claim_for_worker(worker_id uuid, want integer, status muster.job_status, at timestamptz)
returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
  v_left integer;
  v_class_id bigint;
  v_spent bigint[] := array[]::bigint[];
  v_taken uuid[];
  v_claimed uuid[] := array[]::uuid[];
begin
  select * into strict v_worker from muster.worker_devices w where w.id = claim_for_worker.worker_id;
  v_left := least(claim_for_worker.want, v_worker.slots - v_worker.held_count);
  if v_worker.status <> 'online' or v_left < 1 then
    return v_claimed;
  end if;
  loop
    select wc.class_id into v_class_id
    from muster.worker_classes wc
    cross join lateral (
      select j.priority, j.position from muster.jobs j
      where j.tenant_id = v_worker.tenant_id and j.class_id = wc.class_id and j.status = 'queued'
      order by j.priority desc, j.position limit 1
    ) head
    where wc.worker_id = v_worker.id and wc.class_id <> all (v_spent)
    order by head.priority desc, head.position
    limit 1;
    exit when not found;

    with heads as (
      select j.id from muster.jobs j
      where j.tenant_id = v_worker.tenant_id and j.class_id = v_class_id and j.status = 'queued'
      order by j.priority desc, j.position
      limit v_left
      for no key update skip locked
    ), taken as (
      update muster.jobs j
      set status = claim_for_worker.status, worker_id = v_worker.id, attempts = j.attempts + 1,
        assigned_at = claim_for_worker.at,
        started_at = case when claim_for_worker.status = 'running' then claim_for_worker.at end,
        progress = null, progress_note = null,
        attempt_deadline_at = claim_for_worker.at + case when claim_for_worker.status = 'running'
          then j.attempt_timeout else muster_private.timing('acknowledge') end,
        updated_at = claim_for_worker.at
      from heads
      where j.id = heads.id
      returning j.id
    )
    select array_agg(t.id) into v_taken from taken t;

    v_claimed := v_claimed || coalesce(v_taken, '{}');
    v_left := v_left - coalesce(cardinality(v_taken), 0);
    exit when v_left = 0;
    v_spent := v_spent || v_class_id;
  end loop;
  if cardinality(v_claimed) > 0 then
    update muster.worker_devices w
    set held_count = w.held_count + cardinality(v_claimed), last_assigned_at = claim_for_worker.at
    where w.id = v_worker.id;
    perform muster_private.record_status(v_claimed, claim_for_worker.at);
  end if;
  return v_claimed;
end
$$;
comment on function muster_private.claim_for_worker(uuid, integer, muster.job_status, timestamptz) is
  'Gives up to want queued jobs that fit to a worker with free slots, whose row the caller has locked; status is '
  '''assigned'' for a push, ''running'' where the answer hands them over';

-- Pushes queued jobs of the tenant to idle workers that listen, the least loaded first, and nudges each once.
-- Takes the tenant lock: call it after every other lock.
create function muster_private.assign_jobs(tenant_id uuid, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_worker_id uuid;
  v_passed uuid[] := array[]::uuid[];
  v_taken uuid[];
  v_assigned uuid[] := array[]::uuid[];
begin
  perform muster_private.lock_queueing(assign_jobs.tenant_id);
  loop
    select w.id into v_worker_id
    from muster.worker_devices w
    where w.tenant_id = assign_jobs.tenant_id
      and w.status = 'online' and w.listening and not w.deaf and w.held_count < w.slots
      and w.id <> all (v_passed)
      and exists (
        select from muster.worker_classes wc
        where wc.worker_id = w.id and exists (
          select from muster.jobs j
          where j.tenant_id = w.tenant_id and j.class_id = wc.class_id and j.status = 'queued'))
    order by w.held_count::real / w.slots, w.last_assigned_at nulls first, w.id
    limit 1
    for no key update of w skip locked;
    exit when not found;
    v_taken := muster_private.claim_for_worker(v_worker_id, 1, 'assigned', assign_jobs.at);
    if cardinality(v_taken) = 0 then
      v_passed := v_passed || v_worker_id;
    else
      v_assigned := v_assigned || v_taken;
    end if;
  end loop;
  perform muster_private.send_assignments(v_assigned);
  return cardinality(v_assigned);
end
$$;
comment on function muster_private.assign_jobs(uuid, timestamptz) is
  'Gives the tenant''s queued jobs to idle workers that listen; answers how many';

-- Lets blocked jobs of the keys into the queue as far as each key's limit allows. With wait false a key that somebody
-- else is working on is left to the next tick.
create function muster_private.unblock_jobs(tenant_id uuid, keys text[], wait boolean, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_key muster.concurrency_keys;
  v_name text;
  v_free integer;
  v_ids uuid[];
  v_count integer := 0;
begin
  for v_name in select distinct k from unnest(unblock_jobs.keys) k where k is not null order by k loop
    if unblock_jobs.wait then
      select * into v_key from muster.concurrency_keys c
      where c.tenant_id = unblock_jobs.tenant_id and c.key = v_name for no key update;
    else
      select * into v_key from muster.concurrency_keys c
      where c.tenant_id = unblock_jobs.tenant_id and c.key = v_name for no key update skip locked;
    end if;
    continue when not found;
    select v_key.max_running - count(*) into v_free from muster.jobs j
    where j.tenant_id = v_key.tenant_id and j.concurrency_key = v_key.key
      and j.status in ('queued', 'assigned', 'running');
    continue when v_free < 1;
    with next as (
      select j.id from muster.jobs j
      where j.tenant_id = v_key.tenant_id and j.concurrency_key = v_key.key and j.status = 'blocked'
      order by j.priority desc, j.position
      limit v_free
      for no key update skip locked
    ), freed as (
      update muster.jobs j set status = 'queued', queued_at = unblock_jobs.at, updated_at = unblock_jobs.at
      from next where j.id = next.id
      returning j.id
    )
    select array_agg(f.id) into v_ids from freed f;
    perform muster_private.record_status(v_ids, unblock_jobs.at);
    v_count := v_count + coalesce(cardinality(v_ids), 0);
  end loop;
  return v_count;
end
$$;
comment on function muster_private.unblock_jobs(uuid, text[], boolean, timestamptz) is
  'Queues blocked jobs of the concurrency keys as far as the limits allow (I5); answers how many';

revoke execute on all functions in schema muster_private from public;
