-- What keeps a job from the queue, and how it gets past that.

-- The one door to the queue for jobs that have a gate: new, due, to be tried again. They are in the making: `blocked`, with
-- no place yet, and their rows are the caller's. Each goes as far as its gates let it and is put in its place there; what it
-- is then is recorded. With wait false a key that somebody else is working on is left to the next tick.
-- Locks: concurrency keys in their order.
create function muster_private.admit_jobs(job_ids uuid[], wait boolean, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_tenant record;
  v_ids uuid[];
begin
  if coalesce(cardinality(admit_jobs.job_ids), 0) = 0 then
    return;
  end if;
  insert into muster_private.blocked_jobs (job_id, tenant_id, waiting_for, key, priority, rank, position)
  select j.id, j.tenant_id, 'concurrency', j.concurrency_key, j.priority, j.rank, j.position
  from muster.jobs j
  where j.id = any (admit_jobs.job_ids) and j.concurrency_key is not null;
  select array_agg(j.id) into v_ids from muster.jobs j
  where j.id = any (admit_jobs.job_ids) and j.concurrency_key is null;
  perform muster_private.queue_jobs(v_ids, admit_jobs.at);
  for v_tenant in
    select j.tenant_id as id, array_agg(j.concurrency_key) as keys from muster.jobs j
    where j.id = any (admit_jobs.job_ids) and j.concurrency_key is not null
    group by j.tenant_id order by j.tenant_id
  loop
    perform muster_private.unblock_jobs(v_tenant.id, v_tenant.keys, admit_jobs.wait, admit_jobs.at);
  end loop;
  select array_agg(b.job_id) into v_ids from muster_private.blocked_jobs b where b.job_id = any (admit_jobs.job_ids);
  perform muster_private.record_status(v_ids, admit_jobs.at);
end
$$;
comment on function muster_private.admit_jobs(uuid[], boolean, timestamptz) is
  'Takes jobs whose time has come as far as their gates let them: into the queue, or where they wait';

-- Past every gate.
create function muster_private.queue_jobs(job_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(queue_jobs.job_ids), 0) = 0 then
    return;
  end if;
  update muster.jobs j set status = 'queued', waiting_for = null, queued_at = queue_jobs.at, updated_at = queue_jobs.at
  where j.id = any (queue_jobs.job_ids);
  perform muster_private.enter_queue(queue_jobs.job_ids);
  perform muster_private.place_jobs(queue_jobs.job_ids, queue_jobs.at);
  perform muster_private.record_status(queue_jobs.job_ids, queue_jobs.at);
end
$$;
comment on function muster_private.queue_jobs(uuid[], timestamptz) is 'Puts jobs into the queue that nothing keeps from it any more';

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
    select v_key.max_running - count(*) into v_free from muster_private.admitted_jobs a
    where a.tenant_id = v_key.tenant_id and a.key = v_key.key;
    continue when v_free < 1;
    with next as (
      select b.job_id from muster_private.blocked_jobs b
      where b.tenant_id = v_key.tenant_id and b.waiting_for = 'concurrency' and b.key = v_key.key
      order by b.priority desc, b.rank, b.position
      limit v_free
      for update skip locked
    ), freed as (
      delete from muster_private.blocked_jobs b using next n where b.job_id = n.job_id
      returning b.job_id
    ), admitted as (
      insert into muster_private.admitted_jobs (tenant_id, key, job_id)
      select v_key.tenant_id, v_key.key, f.job_id from freed f
    )
    select array_agg(f.job_id) into v_ids from freed f;
    perform muster_private.queue_jobs(v_ids, unblock_jobs.at);
    v_count := v_count + coalesce(cardinality(v_ids), 0);
  end loop;
  return v_count;
end
$$;
comment on function muster_private.unblock_jobs(uuid, text[], boolean, timestamptz) is
  'Queues blocked jobs of the concurrency keys as far as the limits allow (I5); answers how many';

revoke execute on all functions in schema muster_private from public;
