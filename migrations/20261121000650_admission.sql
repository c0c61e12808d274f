-- What keeps a job from the queue, and how it gets past that: jobs that it comes after, its concurrency key, its rate
-- limit, in this order.

-- The one door to the queue for jobs that have a gate: new, due, to be tried again. They are in the making: `blocked`, with
-- no place yet, and their rows are the caller's; or they stand where they waited for others, and need not any more. Each
-- goes as far as its gates let it and is put in its place there; what it is then is recorded. `leaving` are jobs that have
-- given their concurrency keys back, to whoever is next. With wait false a key that somebody else is working on is left to
-- the next tick.
-- Locks: concurrency keys in their order, then rate limits in theirs; so a transaction that waits calls this once.
create function muster_private.admit_jobs(job_ids uuid[], wait boolean, at timestamptz, leaving uuid[] default '{}') returns void
language plpgsql set search_path = ''
as $$
declare
  v_known uuid[];
  v_ids uuid[];
  v_tenant record;
begin
  if coalesce(cardinality(admit_jobs.job_ids), 0) > 0 then
    with freed as (
      delete from muster_private.blocked_jobs b
      where b.job_id = any (admit_jobs.job_ids) and b.waiting_for = 'dependencies'
      returning b.job_id
    )
    select array_agg(f.job_id) into v_known from freed f;
    with gates as (
      select j.id, j.tenant_id, j.priority, j.rank, j.position, case
          when j.policy ? 'after_policy' and exists (select from muster_private.open_dependencies d where d.job_id = j.id) then 'dependencies'
          when j.concurrency_key is not null then 'concurrency'
          when j.policy ? 'rate_limit' then 'rate' end as waiting_for,
        case when j.concurrency_key is null then j.policy -> 'rate_limit' ->> 'key' else j.concurrency_key end as key
      from muster.jobs j
      where j.id = any (admit_jobs.job_ids) and j.status = 'blocked'
    ), placed as (
      insert into muster_private.blocked_jobs (job_id, tenant_id, waiting_for, key, priority, rank, position)
      select g.id, g.tenant_id, g.waiting_for, case when g.waiting_for <> 'dependencies' then g.key end, g.priority, g.rank, g.position
      from gates g where g.waiting_for is not null
    ), told as (
      update muster.jobs j set waiting_for = g.waiting_for
      from gates g where j.id = g.id and j.waiting_for <> g.waiting_for
    )
    select array_agg(g.id) into v_ids from gates g where g.waiting_for is null;
    perform muster_private.queue_jobs(v_ids, admit_jobs.at);
  end if;
  for v_tenant in
    select j.tenant_id as id, array_agg(distinct j.concurrency_key) as keys,
      array_agg(j.id) filter (where j.status = 'blocked' and j.waiting_for = 'rate' and j.id = any (admit_jobs.job_ids)) as arriving
    from muster.jobs j
    where (j.id = any (admit_jobs.job_ids) or j.id = any (admit_jobs.leaving)) and j.has_gates
    group by j.tenant_id order by j.tenant_id
  loop
    perform muster_private.unblock_jobs(v_tenant.id, v_tenant.keys, admit_jobs.wait, admit_jobs.at, '{}', v_tenant.arriving);
  end loop;
  if cardinality(admit_jobs.job_ids) > 0 then
    select array_agg(b.job_id) into v_ids from muster_private.blocked_jobs b
    where b.job_id = any (admit_jobs.job_ids) and b.job_id = any (v_known) is not true;
    perform muster_private.record_status(v_ids, admit_jobs.at);
  end if;
end
$$;
comment on function muster_private.admit_jobs(uuid[], boolean, timestamptz, uuid[]) is
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

-- Lets blocked jobs of the concurrency keys go on as far as each key's limit allows, and then those of the rate limits, the
-- `arriving` ones among them. With wait false a key that somebody else is working on is left to the next tick.
create function muster_private.unblock_jobs(
  tenant_id uuid, keys text[], wait boolean, at timestamptz, rate_keys text[] default '{}', arriving uuid[] default '{}'
) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_key muster.concurrency_keys;
  v_name text;
  v_free integer;
  v_ids uuid[];
  v_rated uuid[];
  v_arriving uuid[] := coalesce(unblock_jobs.arriving, '{}');
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
    select array_agg(j.id) filter (where not j.policy ? 'rate_limit'), array_agg(j.id) filter (where j.policy ? 'rate_limit')
    into v_ids, v_rated
    from freed f join muster.jobs j on j.id = f.job_id;
    perform muster_private.queue_jobs(v_ids, unblock_jobs.at);
    v_count := v_count + coalesce(cardinality(v_ids), 0);
    if v_rated is not null then
      with told as (
        update muster.jobs j set waiting_for = 'rate' where j.id = any (v_rated)
        returning j.id, j.tenant_id, j.policy, j.priority, j.rank, j.position
      )
      insert into muster_private.blocked_jobs (job_id, tenant_id, waiting_for, key, priority, rank, position)
      select t.id, t.tenant_id, 'rate', t.policy -> 'rate_limit' ->> 'key', t.priority, t.rank, t.position from told t;
      v_arriving := v_arriving || v_rated;
    end if;
  end loop;
  if cardinality(v_arriving) > 0 or cardinality(unblock_jobs.rate_keys) > 0 then
    v_ids := muster_private.pass_rate_limits(
      unblock_jobs.tenant_id, unblock_jobs.rate_keys, v_arriving, unblock_jobs.wait, unblock_jobs.at);
    perform muster_private.queue_jobs(v_ids, unblock_jobs.at);
    v_count := v_count + cardinality(v_ids);
  end if;
  return v_count;
end
$$;
comment on function muster_private.unblock_jobs(uuid, text[], boolean, timestamptz, text[], uuid[]) is
  'Queues blocked jobs of the keys as far as the limits allow (I5); answers how many';

-- What others left: what follows from ended jobs that was in their hands, and jobs for which a rate limit has tokens by now.
-- The tick does it for all tenants, and a worker that finds nothing to do for its own. Waits for nobody.
create function muster_private.admit_late(tenant_id uuid, at timestamptz, out queued uuid[], out freed uuid[])
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_settle uuid[];
  v_close uuid[];
  v_cancel uuid[];
  v_free uuid[] := array[]::uuid[];
  v_tenant record;
begin
  admit_late.queued := array[]::uuid[];
  admit_late.freed := array[]::uuid[];
  if exists (
    select from muster_private.unsettled_jobs u
    where admit_late.tenant_id is null or u.tenant_id = admit_late.tenant_id and u.task <> 'cancel'
  ) then
    with taken as (
      delete from muster_private.unsettled_jobs u where u.id in (
        select l.id from muster_private.unsettled_jobs l
        where admit_late.tenant_id is null or l.tenant_id = admit_late.tenant_id and l.task <> 'cancel'
        order by l.id limit v_most
        for update skip locked)
      returning u.job_id, u.task
    )
    select array_agg(distinct t.job_id) filter (where t.task = 'settle'), array_agg(distinct t.job_id) filter (where t.task = 'close'),
      array_agg(distinct t.job_id) filter (where t.task = 'cancel')
    into v_settle, v_close, v_cancel from taken t;
    if v_cancel is not null then
      select c.ended, c.freed into v_cancel, admit_late.freed from muster_private.cancel_children(v_cancel, admit_late.at) c;
    end if;
    v_free := muster_private.after_jobs_ended(
      coalesce(v_settle, '{}') || v_cancel || muster_private.end_empty_batches(v_close, admit_late.at), admit_late.at);
    perform muster_private.admit_jobs(v_free, false, admit_late.at);
    admit_late.queued := array(
      select distinct j.tenant_id from muster.jobs j where j.id = any (v_free) and j.status = 'queued');
  end if;
  for v_tenant in
    select r.tenant_id as id, array_agg(r.key) as keys from (
      select l.tenant_id, l.key from muster.rate_limits l
      where l.next_at <= admit_late.at and (admit_late.tenant_id is null or l.tenant_id = admit_late.tenant_id)
      order by l.next_at limit v_most
    ) r
    group by r.tenant_id order by r.tenant_id
  loop
    if muster_private.unblock_jobs(v_tenant.id, '{}', false, admit_late.at, v_tenant.keys) > 0 then
      admit_late.queued := admit_late.queued || v_tenant.id;
    end if;
  end loop;
end
$$;
comment on function muster_private.admit_late(uuid, timestamptz) is
  'Admits what others left and what rate limits let go by now, of one tenant or of all; answers the tenants with new queued jobs, and with freed slots';

revoke execute on all functions in schema muster_private from public;
