-- Looking after machines, and sending them away.

create function muster_private.worker_json(worker muster.worker_devices) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'id', worker.id, 'name', worker.name, 'status', worker.status, 'capabilities', worker.capabilities,
      'granted_capabilities',
        array(select c from unnest(worker.capabilities) c where c = any (worker.allowed_capabilities)),
      'measured_capabilities', worker.measured_capabilities,
      'labels', worker.labels, 'slots', worker.slots, 'held_count', worker.held_count,
      'resources', worker.resources, 'held_resources', worker.held_resources, 'listening', worker.listening,
      'mode', case when worker.claims then 'claim' else 'push' end,
      'deaf', worker.deaf, 'ephemeral', worker.ephemeral, 'version', worker.version, 'created_at', muster_private.iso(worker.created_at),
      'drain_requested_at', muster_private.iso(worker.drain_requested_at), 'cordoned_at', muster_private.iso(worker.cordoned_at),
      'last_seen_at', muster_private.iso((select h.last_seen_at from muster.worker_heartbeats h where h.worker_id = worker.id)),
      'metrics', coalesce((select h.metrics from muster.worker_heartbeats h where h.worker_id = worker.id), '{}'),
      'current_jobs', coalesce((
        select jsonb_agg(j.id order by j.position) from muster_private.held_jobs h join muster.jobs j on j.id = h.job_id
        where h.worker_id = worker.id), '[]'))
  );
end
$$;
comment on function muster_private.worker_json(muster.worker_devices) is 'A worker as its callers see it';

create function muster_private.worker_of_tenant(worker_id uuid, tenant_id uuid) returns muster.worker_devices
language plpgsql set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
begin
  select * into v_worker from muster.worker_devices w
  where w.id = worker_of_tenant.worker_id and w.tenant_id = worker_of_tenant.tenant_id and w.forgotten_at is null;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find worker %s', worker_of_tenant.worker_id));
  end if;
  return v_worker;
end
$$;
comment on function muster_private.worker_of_tenant(uuid, uuid) is 'A worker of the tenant, or not_found';

create function muster.list_workers(caller jsonb, filters jsonb default '{}') returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_workers.caller, 'read');
begin
  return jsonb_build_object('workers', (
    select coalesce(jsonb_agg(muster_private.worker_json(p) order by p.name, p.id), '[]')
    from (
      select w.* from muster.worker_devices w
      where w.tenant_id = v_caller.tenant_id and w.forgotten_at is null
        and (list_workers.filters ->> 'status' is null or w.status::text = list_workers.filters ->> 'status')
        and (list_workers.filters ->> 'capability' is null or list_workers.filters ->> 'capability' = any (w.capabilities))
      order by w.name, w.id limit 1000
    ) p));
end
$$;
comment on function muster.list_workers(jsonb, jsonb) is 'Workers of the caller''s tenant, at most 1000';

create function muster.get_worker(caller jsonb, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(get_worker.caller, 'read');
begin
  return muster_private.worker_json(muster_private.worker_of_tenant(get_worker.worker_id, v_caller.tenant_id));
end
$$;
comment on function muster.get_worker(jsonb, uuid) is 'One worker of the caller''s tenant';

create function muster.drain_worker(caller jsonb, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(drain_worker.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.worker_of_tenant(drain_worker.worker_id, v_caller.tenant_id);
begin
  update muster.worker_devices w
  set drain_requested_at = coalesce(w.drain_requested_at, v_now),
    status = case when w.status = 'online' then 'draining' else w.status end, updated_at = v_now
  where w.id = v_worker.id returning * into v_worker;
  perform muster_private.send_message(muster_private.tasks_topic(v_worker.id), 'worker.command', '{"command": "drain"}');
  perform muster_private.audit(v_worker.tenant_id, v_caller.actor, 'worker.drained', v_worker.id::text);
  return muster_private.worker_json(v_worker);
end
$$;
comment on function muster.drain_worker(jsonb, uuid) is 'From now on the worker gets nothing new; it finishes what it holds';

create function muster.resume_worker(caller jsonb, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(resume_worker.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.worker_of_tenant(resume_worker.worker_id, v_caller.tenant_id);
begin
  update muster.worker_devices w
  set drain_requested_at = null, status = case when w.status = 'draining' then 'online' else w.status end, updated_at = v_now
  where w.id = v_worker.id returning * into v_worker;
  perform muster_private.audit(v_worker.tenant_id, v_caller.actor, 'worker.resumed', v_worker.id::text);
  perform muster_private.welcome_worker(v_worker.id, v_worker.tenant_id, v_now);
  perform muster_private.lock_going_idle(v_worker.tenant_id);
  perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  return muster_private.worker_json(muster_private.worker_of_tenant(v_worker.id, v_worker.tenant_id));
end
$$;
comment on function muster.resume_worker(jsonb, uuid) is 'Ends a drain: the worker gets jobs again';

-- What an operator, or a probe of its own, has found out about a machine, which the machine itself cannot say. It counts
-- for as long as the worker claims the capability, too.
create function muster.set_measured_capabilities(caller jsonb, worker_id uuid, capabilities text[]) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(set_measured_capabilities.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.worker_of_tenant(set_measured_capabilities.worker_id, v_caller.tenant_id);
begin
  if set_measured_capabilities.capabilities is null then
    perform muster_private.fail('MU004', 'Cannot record capabilities: they must be an array of names');
  end if;
  perform muster_private.check_capabilities(to_jsonb(set_measured_capabilities.capabilities), 100);
  v_worker := muster_private.lock_worker(v_worker.id);
  perform muster_private.lock_matching(v_worker.tenant_id);
  update muster.worker_devices w
  set measured_capabilities = array(select distinct c from unnest(set_measured_capabilities.capabilities) c order by c),
    updated_at = v_now
  where w.id = v_worker.id returning * into v_worker;
  perform muster_private.match_worker(v_worker.id);
  perform muster_private.audit(v_worker.tenant_id, v_caller.actor, 'worker.measured', v_worker.id::text,
    jsonb_build_object('capabilities', v_worker.measured_capabilities));
  perform muster_private.welcome_worker(v_worker.id, v_worker.tenant_id, v_now);
  perform muster_private.lock_going_idle(v_worker.tenant_id);
  perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  return muster_private.worker_json(muster_private.worker_of_tenant(v_worker.id, v_worker.tenant_id));
end
$$;
comment on function muster.set_measured_capabilities(jsonb, uuid, text[]) is
  'Records which capabilities of a worker were measured, in the place of those recorded before';

-- The worker is not told and knows nothing of it: a lock on its row is all that its claims have to wait for.
create function muster.cordon_worker(caller jsonb, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(cordon_worker.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.worker_of_tenant(cordon_worker.worker_id, v_caller.tenant_id);
begin
  update muster.worker_devices w set cordoned_at = coalesce(w.cordoned_at, v_now), updated_at = v_now
  where w.id = v_worker.id returning * into v_worker;
  perform muster_private.audit(v_worker.tenant_id, v_caller.actor, 'worker.cordoned', v_worker.id::text);
  -- What was meant for it and may go elsewhere.
  perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  return muster_private.worker_json(v_worker);
end
$$;
comment on function muster.cordon_worker(jsonb, uuid) is
  'From now on the worker gets nothing new; it stays online, and its process is left alone';

create function muster.uncordon_worker(caller jsonb, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(uncordon_worker.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.worker_of_tenant(uncordon_worker.worker_id, v_caller.tenant_id);
begin
  update muster.worker_devices w set cordoned_at = null, updated_at = v_now
  where w.id = v_worker.id returning * into v_worker;
  perform muster_private.audit(v_worker.tenant_id, v_caller.actor, 'worker.uncordoned', v_worker.id::text);
  perform muster_private.welcome_worker(v_worker.id, v_worker.tenant_id, v_now);
  perform muster_private.lock_going_idle(v_worker.tenant_id);
  perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  return muster_private.worker_json(muster_private.worker_of_tenant(v_worker.id, v_worker.tenant_id));
end
$$;
comment on function muster.uncordon_worker(jsonb, uuid) is 'Ends a cordon: the worker gets jobs again';

create function muster.revoke_worker(caller jsonb, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(revoke_worker.caller, 'administer');
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.worker_of_tenant(revoke_worker.worker_id, v_caller.tenant_id);
begin
  perform from muster.worker_devices w where w.id = v_worker.id for no key update;
  perform muster_private.lock_matching(v_worker.tenant_id);
  update muster.worker_devices w
  set status = 'revoked', listening = false, deaf = false, forget_at = null, updated_at = v_now
  where w.id = v_worker.id;
  perform muster_private.match_worker(v_worker.id);
  perform muster_private.send_message(muster_private.tasks_topic(v_worker.id), 'worker.command', '{"command": "stop"}');
  perform muster_private.audit(v_worker.tenant_id, v_caller.actor, 'worker.revoked', v_worker.id::text);
  perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  return muster_private.worker_json(muster_private.worker_of_tenant(v_worker.id, v_worker.tenant_id));
end
$$;
comment on function muster.revoke_worker(jsonb, uuid) is 'Shuts a worker out for good, at once on every call; its jobs go to others';

create function muster.health() returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_build_object(
    'tick_age_seconds', case when s.last_tick_at > '-infinity'
      then round(extract(epoch from muster_private.now() - s.last_tick_at)::numeric, 3) end,
    'realtime', jsonb_build_object('partition_today', to_regclass(
      'realtime.messages_' || to_char(now() at time zone 'UTC', 'YYYY_MM_DD')) is not null))
  from muster_private.scheduler_state s
$$;
comment on function muster.health() is 'Whether the scheduler runs and Realtime can store messages: what anybody may know, at the cost of one row';

-- The secret key without a tenant asks about all of them: the whole range of ids, where one tenant is a range of one.
-- A count stops at 10,000 and reads the head of an index, which its order by asks for, so that a long queue costs no more.
create function muster.get_load(caller jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_most constant integer := 10000;
  v_first uuid := uuid '00000000-0000-0000-0000-000000000000';
  v_last uuid := uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff';
begin
  if get_load.caller ->> 'kind' is distinct from 'service' or get_load.caller ->> 'tenant_id' is not null then
    v_first := (muster_private.resolve_caller(get_load.caller, 'operate')).tenant_id;
    v_last := v_first;
  end if;
  return jsonb_build_object(
    'online_workers', (
      select count(*) from (
        select from muster.worker_heartbeats h join muster.worker_devices w on w.id = h.worker_id
        where h.deadline_at >= v_now and h.tenant_id between v_first and v_last and w.status in ('online', 'draining')
        order by h.deadline_at limit v_most) o),
    'queued_jobs', (
      select count(*) from (
        (
          select from muster_private.ready_jobs r where r.worker_id is null and r.tenant_id between v_first and v_last
          order by r.tenant_id, r.class_id, r.priority desc, r.rank, r.position limit v_most
        )
        union all
        (
          select from muster_private.ready_jobs r where r.worker_id is not null and r.tenant_id between v_first and v_last
          order by r.tenant_id, r.worker_id, r.priority desc, r.rank, r.position limit v_most
        )
        limit v_most) q));
end
$$;
comment on function muster.get_load(jsonb) is
  'Workers that beat and jobs that wait, each counted up to 10,000: of the caller''s tenant, or of all for the secret key without one';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'list_workers(jsonb, jsonb)', 'get_worker(jsonb, uuid)', 'drain_worker(jsonb, uuid)', 'resume_worker(jsonb, uuid)',
    'set_measured_capabilities(jsonb, uuid, text[])',
    'cordon_worker(jsonb, uuid)', 'uncordon_worker(jsonb, uuid)', 'revoke_worker(jsonb, uuid)', 'health()',
    'get_load(jsonb)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
