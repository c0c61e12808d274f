-- The last gate before the queue, and what brings jobs past it that had to wait: see affinity for where they go.

-- How far the tick has come in looking again at the jobs that wait for a worker.
create table muster_private.affinity_sweep (
  id boolean primary key default true check (id),
  after_job_id uuid not null default '00000000-0000-0000-0000-000000000000'
);
comment on table muster_private.affinity_sweep is 'Up to which job the tick has looked again at those that wait for a worker';
insert into muster_private.affinity_sweep default values;
alter table muster_private.affinity_sweep enable row level security;
create policy nobody on muster_private.affinity_sweep as restrictive for all to public using (false);

-- The tick goes through them in the order of their ids.
create index blocked_jobs_for_a_worker_idx on muster_private.blocked_jobs (job_id) where waiting_for = 'affinity';

-- Puts jobs where they were chosen to go: from the queue to where they wait, back, or before another worker. The caller has
-- their places. Answers those whose status has changed, which the caller records.
create function muster_private.put_jobs(placements muster_private.placement[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_queued uuid[];
  v_stopped uuid[];
begin
  with queued as (
    update muster.jobs j set status = 'queued', waiting_for = null, queued_at = put_jobs.at, updated_at = put_jobs.at
    from unnest(put_jobs.placements) p
    where j.id = p.job_id and p.waits_for is null and j.status = 'blocked' and j.waiting_for = 'affinity'
    returning j.id
  ), freed as (
    delete from muster_private.blocked_jobs b using queued q where b.job_id = q.id
  )
  select coalesce(array_agg(q.id), '{}') into v_queued from queued q;
  if cardinality(v_queued) > 0 then
    perform muster_private.enter_queue(v_queued);
  end if;
  update muster_private.ready_jobs r set worker_id = p.worker_id, worker_until = p.worker_until
  from unnest(put_jobs.placements) p
  where r.job_id = p.job_id and p.waits_for is null
    and (r.worker_id, r.worker_until) is distinct from (p.worker_id, p.worker_until);
  with stopped as (
    delete from muster_private.ready_jobs r using unnest(put_jobs.placements) p
    where r.job_id = p.job_id and p.waits_for is not null
    returning r.job_id, p.waits_for
  ), waiting as (
    update muster.jobs j set status = 'blocked', waiting_for = 'affinity', queued_at = null, updated_at = put_jobs.at
    from stopped s where j.id = s.job_id
    returning j.id, j.tenant_id, s.waits_for, j.priority, j.rank, j.position
  ), placed as (
    insert into muster_private.blocked_jobs (job_id, tenant_id, waiting_for, key, priority, rank, position)
    select w.id, w.tenant_id, 'affinity', w.waits_for, w.priority, w.rank, w.position from waiting w
    returning job_id
  )
  select coalesce(array_agg(p.job_id), '{}') into v_stopped from placed p;
  return v_queued || v_stopped;
end
$$;
comment on function muster_private.put_jobs(muster_private.placement[], timestamptz) is
  'Directs jobs to the worker chosen for them, or lets them wait for one; answers those whose status has changed';

-- The last gate. The jobs have just entered the queue, for anybody, and what they are is recorded by the caller.
create function muster_private.place_jobs(job_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  select array_agg(j.id) into v_ids from muster.jobs j
  where j.id = any (place_jobs.job_ids) and j.policy ?| '{affinity,resource_ref,bound_to}'::text[];
  if v_ids is not null then
    perform muster_private.put_jobs(array(select c from muster_private.choose_workers(v_ids, place_jobs.at) c), place_jobs.at);
  end if;
end
$$;
comment on function muster_private.place_jobs(uuid[], timestamptz) is
  'Of jobs just queued, directs those that want a certain worker to it, or lets them wait for one';

-- For jobs that are queued for one worker, or wait for one, when something about that has changed. What is in other hands
-- is left to the next time; the caller assigns the queue afterwards.
create function muster_private.place_again(job_ids uuid[], at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_ids uuid[];
  v_changed uuid[];
begin
  if coalesce(cardinality(place_again.job_ids), 0) = 0 then
    return 0;
  end if;
  v_ids := array(
      select r.job_id from muster_private.ready_jobs r
      where r.job_id = any (place_again.job_ids) and r.worker_id is not null for update skip locked)
    || array(
      select b.job_id from muster_private.blocked_jobs b
      where b.job_id = any (place_again.job_ids) and b.waiting_for = 'affinity' for update skip locked);
  v_changed := muster_private.put_jobs(
    array(select c from muster_private.choose_workers(v_ids, place_again.at) c), place_again.at);
  perform muster_private.record_status(v_changed, place_again.at);
  return cardinality(v_ids);
end
$$;
comment on function muster_private.place_again(uuid[], timestamptz) is
  'Chooses anew for jobs that are queued for one worker or wait for one; answers how many it had a look at';

-- A worker that cannot be given what was meant for it: gone, cordoned, or changed. Hard keys stay with who is only away.
create function muster_private.leave_worker(worker_id uuid, tenant_id uuid, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
begin
  return muster_private.place_again(array(
    select r.job_id from muster_private.ready_jobs r
    where r.tenant_id = leave_worker.tenant_id and r.worker_id = leave_worker.worker_id
    order by r.priority desc, r.rank, r.position limit 1000), leave_worker.at);
end
$$;
comment on function muster_private.leave_worker(uuid, uuid, timestamptz) is
  'Chooses anew for the jobs that are queued for one worker, at most 1000';

-- A worker that has come, or can do more than before: what it serves need not wait any longer.
create function muster_private.welcome_worker(worker_id uuid, tenant_id uuid, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
begin
  return muster_private.place_again(array(
    select b.job_id from muster_private.blocked_jobs b
    join muster.jobs j on j.id = b.job_id
    where b.tenant_id = welcome_worker.tenant_id and b.waiting_for = 'affinity'
      and exists (
        select from muster.worker_classes c where c.worker_id = welcome_worker.worker_id and c.class_id = j.class_id)
    order by b.priority desc, b.rank, b.position limit 1000), welcome_worker.at);
end
$$;
comment on function muster_private.welcome_worker(uuid, uuid, timestamptz) is
  'Lets jobs into the queue that wait for a worker and that this one serves, at most 1000';

create function muster_private.tg_worker_devices__place_jobs() returns trigger
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.leave_worker(new.id, new.tenant_id, muster_private.now());
  return null;
end
$$;
comment on function muster_private.tg_worker_devices__place_jobs() is
  'Sends jobs elsewhere that were queued for a worker that is gone or cordoned now';
create trigger place_jobs after update of status, cordoned_at on muster.worker_devices
  for each row when (new.status in ('draining', 'offline', 'revoked') and old.status is distinct from new.status
    or new.cordoned_at is not null and old.cordoned_at is null)
  execute function muster_private.tg_worker_devices__place_jobs();

-- What time demands of all this: leases of resources end, workers that were wanted did not take a job up, and what waits
-- for a worker is looked at again, some each time, in case that nobody has let it in. It waits for nobody.
create function muster_private.tend_affinities(at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_ids uuid[];
  v_waiting uuid[];
  v_after uuid;
begin
  perform muster_private.wait_for_no_affinity();
  delete from muster.resource_holders h where (h.tenant_id, h.name, h.worker_id) in (
    select o.tenant_id, o.name, o.worker_id from muster.resource_holders o
    where o.expires_at <= tend_affinities.at order by o.expires_at limit v_most for update skip locked);
  v_ids := array(
    select r.job_id from muster_private.ready_jobs r
    where r.worker_until <= tend_affinities.at order by r.worker_until limit v_most);
  select s.after_job_id into v_after from muster_private.affinity_sweep s;
  v_waiting := array(
    select b.job_id from muster_private.blocked_jobs b
    where b.waiting_for = 'affinity' and b.job_id > v_after order by b.job_id limit v_most);
  if cardinality(v_waiting) > 0 or v_after > '00000000-0000-0000-0000-000000000000' then
    update muster_private.affinity_sweep s
    set after_job_id = case when cardinality(v_waiting) < v_most then '00000000-0000-0000-0000-000000000000'
      else v_waiting[v_most] end
    where s.id;
  end if;
  -- Only those for which somebody is there now: whoever lets the others in meanwhile finds their places free.
  v_waiting := array(
    select j.id from unnest(v_waiting) i (id) join muster.jobs j on j.id = i.id
    where exists (
      select from muster.worker_classes c join muster.worker_devices w on w.id = c.worker_id
      where c.class_id = j.class_id and w.status = 'online' and w.cordoned_at is null
        and (not j.policy ? 'resource_ref' or j.policy -> 'resource_ref' ->> 'mode' = 'soft' or exists (
          select from muster.resource_holders h
          where h.tenant_id = j.tenant_id and h.name = j.policy -> 'resource_ref' ->> 'name' and h.worker_id = w.id
            and h.expires_at > tend_affinities.at))));
  perform muster_private.place_again(v_ids || v_waiting, tend_affinities.at);
  delete from muster.affinities a where (a.tenant_id, a.key) in (
    select o.tenant_id, o.key from muster.affinities o
    where o.expires_at <= tend_affinities.at order by o.expires_at limit v_most for update skip locked);
  return array(
    select distinct r.tenant_id from muster_private.ready_jobs r where r.job_id = any (v_ids || v_waiting));
end
$$;
comment on function muster_private.tend_affinities(timestamptz) is
  'Ends what is past its time of affinities and resources, and looks again at jobs that wait for a worker; answers their tenants';

revoke execute on all functions in schema muster_private from public;
