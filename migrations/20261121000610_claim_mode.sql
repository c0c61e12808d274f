-- Workers in claim mode: nothing is pushed to them. All of a tenant share one channel, on which they are called when jobs
-- wait that nobody was given, and each that is called claims what it can serve.

create table muster_private.wakeups (
  tenant_id uuid primary key references muster.tenants on delete cascade,
  sent_at timestamptz not null
) with (fillfactor = 50);
comment on table muster_private.wakeups is
  'Tenants that have or had workers in claim mode, and when these were last called: once a second at most';
alter table muster_private.wakeups enable row level security;
create policy nobody on muster_private.wakeups as restrictive for all to public using (false);

create index worker_devices_claiming_idx on muster.worker_devices (tenant_id, id) where claims and status = 'online';

-- For a worker whose row the caller has locked.
create function muster_private.set_worker_mode(worker muster.worker_devices, mode text) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(set_worker_mode.mode, 'push') not in ('push', 'claim') then
    perform muster_private.fail('MU004', format('Cannot greet the worker: its mode is push or claim, not %L', left(set_worker_mode.mode, 100)));
  end if;
  update muster.worker_devices w set claims = not w.claims
  where w.id = (set_worker_mode.worker).id and w.claims <> (coalesce(set_worker_mode.mode, 'push') = 'claim');
  if set_worker_mode.mode = 'claim' then
    insert into muster_private.wakeups (tenant_id, sent_at) values ((set_worker_mode.worker).tenant_id, '-infinity')
    on conflict do nothing;
  end if;
end
$$;
comment on function muster_private.set_worker_mode(muster.worker_devices, text) is
  'Notes whether a worker is pushed its jobs, or claims them when it is called';

-- A job in the queue that a worker in claim mode with a free slot could take, or null. Looks at no more than 100 classes:
-- in a queue of more the rest is left to polling.
create function muster_private.claimable_job(tenant_id uuid) returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_job_id uuid;
begin
  with recursive hops as (
    (
      select r.class_id, r.job_id, 1 as turn from muster_private.ready_jobs r
      where r.tenant_id = claimable_job.tenant_id and r.worker_id is null
      order by r.class_id, r.priority desc, r.rank, r.position limit 1
    )
    union all
    select next.class_id, next.job_id, h.turn + 1 from hops h
    cross join lateral (
      select r.class_id, r.job_id from muster_private.ready_jobs r
      where r.tenant_id = claimable_job.tenant_id and r.worker_id is null and r.class_id > h.class_id
      order by r.class_id, r.priority desc, r.rank, r.position limit 1
    ) next
    where h.turn < 100
  )
  select h.job_id into v_job_id from hops h
  where exists (
    select from muster.worker_devices w
    join muster.worker_classes wc on wc.worker_id = w.id and wc.class_id = h.class_id
    where w.tenant_id = claimable_job.tenant_id and w.claims and w.status = 'online'
      and w.held_count < w.slots and w.cordoned_at is null)
  limit 1;
  if v_job_id is null then
    select r.job_id into v_job_id from muster_private.ready_jobs r
    join muster.worker_devices w on w.id = r.worker_id
    where r.tenant_id = claimable_job.tenant_id and r.worker_id is not null
      and w.claims and w.status = 'online' and w.held_count < w.slots and w.cordoned_at is null
    limit 1;
  end if;
  return v_job_id;
end
$$;
comment on function muster_private.claimable_job(uuid) is 'A queued job that some worker in claim mode with a free slot serves';

-- Tenants without such workers pay for one probe. Who is called polls soon again, so what comes within the second after a
-- call is found without another. A call that somebody else is about to send is enough: the row is not waited for.
create function muster_private.call_claimers(tenant_id uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_job_id uuid;
begin
  perform from muster_private.wakeups u
  where u.tenant_id = call_claimers.tenant_id and u.sent_at <= call_claimers.at - interval '1 second';
  if not found then
    return;
  end if;
  v_job_id := muster_private.claimable_job(call_claimers.tenant_id);
  if v_job_id is null then
    return;
  end if;
  update muster_private.wakeups u set sent_at = call_claimers.at
  where u.tenant_id in (
    select l.tenant_id from muster_private.wakeups l
    where l.tenant_id = call_claimers.tenant_id and l.sent_at <= call_claimers.at - interval '1 second'
    for no key update skip locked);
  if found then
    perform muster_private.send_message('worker-wakeup:' || call_claimers.tenant_id, 'job_enqueued',
      jsonb_build_object('queue', null, 'job_id', v_job_id));
  end if;
end
$$;
comment on function muster_private.call_claimers(uuid, timestamptz) is
  'Calls a tenant''s workers in claim mode if a job waits that one of them could take, once a second at most';

create function muster_private.call_all_claimers(at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.call_claimers(u.tenant_id, call_all_claimers.at) from muster_private.wakeups u;
end
$$;
comment on function muster_private.call_all_claimers(timestamptz) is 'For the tick: calls workers in claim mode wherever a job waits for them';

revoke execute on all functions in schema muster_private from public;
