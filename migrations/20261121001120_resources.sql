-- Named resources: what a worker has now and others may not, such as a large file, a browser session or a loaded model.
-- Holding one gives no right to anything: jobs still go only to workers that they match.

create function muster_private.check_held_resources(resources jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_item jsonb;
begin
  if jsonb_typeof(check_held_resources.resources) is distinct from 'array' or jsonb_array_length(check_held_resources.resources) > 100 then
    perform muster_private.fail('MU015', 'Cannot hold resources: send an array of at most 100');
  end if;
  perform muster_private.check_size(check_held_resources.resources, 'the resources', 1048576);
  for v_item in select i from jsonb_array_elements(check_held_resources.resources) i loop
    if jsonb_typeof(v_item) <> 'object' or jsonb_typeof(v_item -> 'name') is distinct from 'string'
      or v_item - '{name,lease_seconds,size_bytes,metadata}'::text[] <> '{}' then
      perform muster_private.fail('MU004', 'Cannot hold a resource: each has a name, and may have lease_seconds, size_bytes and metadata');
    end if;
    perform muster_private.check_text(v_item, 'name', 255);
    perform muster_private.check_number(v_item, 'lease_seconds', 10, 604800);
    perform muster_private.check_number(v_item, 'size_bytes', 0, 9007199254740991);
    if jsonb_typeof(coalesce(v_item -> 'metadata', '{}')) not in ('object', 'null') or octet_length((v_item -> 'metadata')::text) > 4096
      or muster_private.is_too_deep(v_item -> 'metadata') then
      perform muster_private.fail('MU004', format('Cannot hold resource %s: its metadata must be an object of at most 4 KiB', v_item ->> 'name'));
    end if;
  end loop;
end
$$;
comment on function muster_private.check_held_resources(jsonb) is 'Refuses what is not a list of resources that a worker may hold';

-- Holding again renews the lease: that is the touch. Jobs that wait for a new one are let in, and pushed where it is idle.
create function muster.hold_resources(resources jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_new text[];
begin
  perform muster_private.check_held_resources(hold_resources.resources);
  v_worker := muster_private.lock_worker(v_worker.id);
  with named as (
    select distinct on (i ->> 'name') i ->> 'name' as name,
      make_interval(secs => coalesce((i ->> 'lease_seconds')::double precision, 300)) as lease,
      (i ->> 'size_bytes')::bigint as size_bytes, coalesce(nullif(i -> 'metadata', 'null'), '{}') as metadata
    from jsonb_array_elements(hold_resources.resources) with ordinality r (i, place)
    order by i ->> 'name', r.place desc
  ), held as (
    insert into muster.resource_holders as h
      (tenant_id, name, worker_id, lease, size_bytes, metadata, acquired_at, touched_at, expires_at)
    select v_worker.tenant_id, n.name, v_worker.id, n.lease, n.size_bytes, n.metadata, v_now, v_now, v_now + n.lease from named n
    order by n.name
    on conflict (tenant_id, name, worker_id) do update
    set lease = excluded.lease, size_bytes = excluded.size_bytes, metadata = excluded.metadata,
      acquired_at = case when h.expires_at > v_now then h.acquired_at else v_now end,
      touched_at = v_now, expires_at = excluded.expires_at
    returning h.name, h.acquired_at = v_now as is_new
  )
  select coalesce(array_agg(h.name) filter (where h.is_new), '{}') into v_new from held h;
  if cardinality(v_new) > 0 then
    if (select count(*) from muster.resource_holders h where h.tenant_id = v_worker.tenant_id and h.worker_id = v_worker.id) > v_most then
      perform muster_private.fail('MU015', format('Cannot hold more resources on worker %s: at most %s are allowed', v_worker.name, v_most),
        'Release some of them first');
    end if;
    if muster_private.place_again(array(
      select b.job_id from muster_private.blocked_jobs b
      where b.tenant_id = v_worker.tenant_id and b.waiting_for = 'affinity' and b.key = any (v_new)
      order by b.priority desc, b.rank, b.position limit v_most), v_now) > 0
    then
      perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
    end if;
  end if;
  return jsonb_build_object('held', (
    select coalesce(jsonb_agg(jsonb_build_object('name', h.name, 'expires_at', muster_private.iso(h.expires_at)) order by h.name), '[]')
    from muster.resource_holders h
    where h.tenant_id = v_worker.tenant_id and h.worker_id = v_worker.id and h.touched_at = v_now));
end
$$;
comment on function muster.hold_resources(jsonb) is
  'A worker has these named resources, for as long as it says so again before their leases end; jobs that wait for one are let in';

create function muster.release_resources(names jsonb, reason text default 'released') returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_names text[];
begin
  if jsonb_typeof(release_resources.names) is distinct from 'array' or jsonb_array_length(release_resources.names) > 1000
    or exists (select from jsonb_array_elements(release_resources.names) n where jsonb_typeof(n) <> 'string') then
    perform muster_private.fail('MU004', 'Cannot release resources: names must be an array of at most 1000 texts');
  end if;
  if release_resources.reason not in ('released', 'evicted') then
    perform muster_private.fail('MU004', format('Cannot release resources for the reason %s: it must be released or evicted', left(release_resources.reason, 100)));
  end if;
  v_worker := muster_private.lock_worker(v_worker.id);
  with gone as (
    delete from muster.resource_holders h
    where h.tenant_id = v_worker.tenant_id and h.worker_id = v_worker.id
      and h.name in (select n #>> '{}' from jsonb_array_elements(release_resources.names) n)
    returning h.name
  )
  select coalesce(array_agg(g.name order by g.name), '{}') into v_names from gone g;
  if release_resources.reason = 'evicted' and cardinality(v_names) > 0 then
    perform muster_private.audit(v_worker.tenant_id, muster_private.current_actor(), 'resources.evicted', v_worker.id::text,
      jsonb_build_object('names', v_names));
  end if;
  if cardinality(v_names) > 0 and muster_private.place_again(array(
      select r.job_id from muster_private.ready_jobs r join muster.jobs j on j.id = r.job_id
      where r.tenant_id = v_worker.tenant_id and r.worker_id = v_worker.id and j.policy -> 'resource_ref' ->> 'name' = any (v_names)
      order by r.priority desc, r.rank, r.position limit 1000), v_now) > 0
  then
    perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  end if;
  return jsonb_build_object('released', v_names);
end
$$;
comment on function muster.release_resources(jsonb, text) is
  'A worker has given named resources up, or lost them to want of room (evicted); jobs that waited for them there go elsewhere';

create function muster.list_resources(caller jsonb, filters jsonb default '{}') returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_resources.caller, 'read');
  v_now constant timestamptz := muster_private.now();
begin
  return jsonb_build_object('resources', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', p.name, 'worker_id', p.worker_id, 'worker_name', p.worker_name, 'worker_status', p.worker_status,
      'lease_seconds', extract(epoch from p.lease), 'size_bytes', p.size_bytes, 'metadata', p.metadata,
      'acquired_at', muster_private.iso(p.acquired_at), 'touched_at', muster_private.iso(p.touched_at),
      'expires_at', muster_private.iso(p.expires_at)) order by p.name, p.worker_id), '[]')
    from (
      select h.*, w.name as worker_name, w.status as worker_status from muster.resource_holders h
      join muster.worker_devices w on w.id = h.worker_id
      where h.tenant_id = v_caller.tenant_id and h.expires_at > v_now
        and (list_resources.filters ->> 'name' is null or h.name = list_resources.filters ->> 'name')
        and (list_resources.filters ->> 'worker_id' is null
          or h.worker_id = muster_private.to_uuid(list_resources.filters ->> 'worker_id', 'worker id'))
      order by h.name, h.worker_id limit 1000
    ) p));
end
$$;
comment on function muster.list_resources(jsonb, jsonb) is 'Who holds which named resource in the caller''s tenant, at most 1000';

-- Its process has ended, and with it what it had.
create function muster_private.end_holdings(worker_id uuid, tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
begin
  delete from muster.resource_holders h
  where h.tenant_id = end_holdings.tenant_id and h.worker_id = end_holdings.worker_id;
end
$$;
comment on function muster_private.end_holdings(uuid, uuid) is 'A worker holds no resource any more';

create function muster_private.tg_worker_devices__end_holdings() returns trigger
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.end_holdings(new.id, new.tenant_id);
  return null;
end
$$;
comment on function muster_private.tg_worker_devices__end_holdings() is
  'What a worker held goes with its process and with its enrollment; one that only fell silent keeps it until the leases end';
-- Before place_jobs, by its name: jobs shall not be sent back to it.
create trigger end_holdings after update of session_id, status on muster.worker_devices
  for each row when (old.session_id is not null and new.session_id is distinct from old.session_id
    or new.status = 'revoked' and old.status <> 'revoked')
  execute function muster_private.tg_worker_devices__end_holdings();

revoke execute on function muster.hold_resources(jsonb) from public;
grant execute on function muster.hold_resources(jsonb) to muster_worker;
revoke execute on function muster.release_resources(jsonb, text) from public;
grant execute on function muster.release_resources(jsonb, text) to muster_worker;
revoke execute on function muster.list_resources(jsonb, jsonb) from public;
grant execute on function muster.list_resources(jsonb, jsonb) to service_role;
revoke execute on all functions in schema muster_private from public;
