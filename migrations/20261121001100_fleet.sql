-- Letting machines in, looking after them, sending them away.

create function muster_private.use_proof(id text, expires_at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into muster_private.used_proofs (id, expires_at) values (use_proof.id, use_proof.expires_at)
  on conflict do nothing;
  if not found then
    perform muster_private.fail('MU013', 'Cannot accept the device proof: it was used before', 'Make a new proof for each request');
  end if;
end
$$;
comment on function muster_private.use_proof(text, timestamptz) is 'Notes a device proof; raises when it was seen before';

create function muster_private.enrollment_json(worker muster.worker_devices) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('worker_id', worker.id, 'tenant_id', worker.tenant_id, 'name', worker.name,
      'fingerprint', worker.device_fingerprint, 'capabilities', worker.capabilities, 'labels', worker.labels, 'slots', worker.slots)
  );
end
$$;
comment on function muster_private.enrollment_json(muster.worker_devices) is 'What enrolling and refreshing answer';

create function muster.enroll_worker(token_hash text, worker jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_fingerprint constant text := enroll_worker.worker ->> 'fingerprint';
  v_slots constant integer := coalesce((enroll_worker.worker ->> 'slots')::integer, 1);
  v_token muster.enrollment_tokens;
  v_worker muster.worker_devices;
  v_capabilities text[];
  v_labels jsonb;
begin
  if jsonb_typeof(enroll_worker.worker) is distinct from 'object'
    or jsonb_typeof(enroll_worker.worker -> 'public_jwk') is distinct from 'object'
    or num_nulls(v_fingerprint, enroll_worker.worker ->> 'proof_jti', enroll_worker.worker ->> 'proof_expires_at') > 0 then
    perform muster_private.fail('MU004', 'Cannot enroll: the worker needs a public_jwk, a fingerprint, proof_jti and proof_expires_at');
  end if;
  perform muster_private.check_number(enroll_worker.worker, 'slots', 1, 256);
  perform muster_private.check_text(enroll_worker.worker, 'fingerprint', 255);
  perform muster_private.check_text(enroll_worker.worker, 'proof_jti', 255);
  select * into v_token from muster.enrollment_tokens t where t.hash = enroll_worker.token_hash for no key update;
  if not found or v_token.revoked_at <= v_now then
    perform muster_private.fail('MU009', 'Cannot enroll: the enrollment token is unknown or was revoked', 'Ask an operator for a new one');
  end if;
  if v_token.expires_at <= v_now then
    perform muster_private.fail('MU010', format('Cannot enroll: token "%s" expired at %s', v_token.name, muster_private.iso(v_token.expires_at)),
      'Ask an operator for a new one');
  end if;
  perform muster_private.check_capabilities(enroll_worker.worker -> 'capabilities', 100);
  perform muster_private.check_labels(enroll_worker.worker -> 'labels');
  perform muster_private.use_proof(enroll_worker.worker ->> 'proof_jti', (enroll_worker.worker ->> 'proof_expires_at')::timestamptz);

  v_capabilities := muster_private.cut_capabilities(
    array(select jsonb_array_elements_text(coalesce(nullif(enroll_worker.worker -> 'capabilities', 'null'), '[]'))), v_token.capabilities);
  v_labels := coalesce(nullif(enroll_worker.worker -> 'labels', 'null'), '{}') || v_token.labels;

  -- One enrollment of a key at a time: two tokens may be used for it at once.
  perform pg_advisory_xact_lock(hashtextextended('muster.device:' || v_fingerprint, 0));
  select * into v_worker from muster.worker_devices w
  where w.tenant_id = v_token.tenant_id and w.device_fingerprint = v_fingerprint
  for no key update;
  if found then
    if v_worker.status = 'revoked' then
      perform muster_private.fail('MU014', format('Cannot enroll worker %s again: it was revoked', v_worker.name), 'Enroll with a new identity');
    end if;
    update muster.worker_devices w
    set enrollment_token_id = v_token.id, allowed_capabilities = v_token.capabilities, granted_labels = v_token.labels,
      capabilities = v_capabilities, labels = v_labels, slots = greatest(v_slots, w.held_count), updated_at = v_now
    where w.id = v_worker.id returning * into v_worker;
  else
    if v_token.use_count >= v_token.max_uses then
      perform muster_private.fail('MU011', format('Cannot enroll "%s": token "%s" has no uses left',
        left(enroll_worker.worker ->> 'name', 100), v_token.name), 'Ask an operator for a new one');
    end if;
    update muster.enrollment_tokens t set use_count = t.use_count + 1 where t.id = v_token.id;
    insert into muster.worker_devices (tenant_id, enrollment_token_id, name, device_fingerprint, public_jwk,
      allowed_capabilities, granted_labels, capabilities, labels, slots, version, created_at, updated_at)
    values (v_token.tenant_id, v_token.id,
      coalesce(nullif(left(enroll_worker.worker ->> 'name', 100), ''), 'worker-' || left(v_fingerprint, 8)),
      v_fingerprint, enroll_worker.worker -> 'public_jwk', v_token.capabilities, v_token.labels, v_capabilities, v_labels,
      v_slots, left(enroll_worker.worker ->> 'version', 100), v_now, v_now)
    returning * into v_worker;
  end if;
  perform muster_private.match_worker(v_worker.id);
  perform muster_private.audit(v_worker.tenant_id, jsonb_build_object('kind', 'enrollment_token', 'id', v_token.id),
    'worker.enrolled', v_worker.id::text, jsonb_build_object('name', v_worker.name, 'capabilities', v_worker.capabilities));
  return muster_private.enrollment_json(v_worker);
end
$$;
comment on function muster.enroll_worker(text, jsonb) is
  'Lets a device in by an enrollment token; the device''s proof was verified by the caller. A known key answers its worker';

create function muster.refresh_worker(worker_id uuid, fingerprint text, proof_jti text, proof_expires_at timestamptz) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
begin
  select * into v_worker from muster.worker_devices w
  where w.id = refresh_worker.worker_id and w.device_fingerprint = refresh_worker.fingerprint;
  if not found then
    perform muster_private.fail('MU012', format('Cannot refresh the token of worker %s: the proof is not by its device key', refresh_worker.worker_id),
      'Enroll the worker again');
  end if;
  if v_worker.status = 'revoked' then
    perform muster_private.fail('MU014', format('Cannot refresh the token of worker %s: it was revoked', v_worker.name),
      'Ask an operator for a new enrollment token, and enroll with a new identity');
  end if;
  perform muster_private.use_proof(refresh_worker.proof_jti, refresh_worker.proof_expires_at);
  return muster_private.enrollment_json(v_worker);
end
$$;
comment on function muster.refresh_worker(uuid, text, text, timestamptz) is
  'What a fresh token of an enrolled worker says; the device''s proof was verified by the caller';

create function muster_private.worker_json(worker muster.worker_devices) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'id', worker.id, 'name', worker.name, 'status', worker.status, 'capabilities', worker.capabilities,
      'labels', worker.labels, 'slots', worker.slots, 'held_count', worker.held_count, 'listening', worker.listening,
      'deaf', worker.deaf, 'version', worker.version, 'created_at', muster_private.iso(worker.created_at),
      'drain_requested_at', muster_private.iso(worker.drain_requested_at),
      'last_seen_at', muster_private.iso((select h.last_seen_at from muster.worker_heartbeats h where h.worker_id = worker.id)),
      'metrics', coalesce((select h.metrics from muster.worker_heartbeats h where h.worker_id = worker.id), '{}'),
      'current_jobs', coalesce((
        select jsonb_agg(j.id order by j.position) from muster.jobs j
        where j.tenant_id = worker.tenant_id and j.worker_id = worker.id and j.status in ('assigned', 'running')), '[]'))
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
  where w.id = worker_of_tenant.worker_id and w.tenant_id = worker_of_tenant.tenant_id;
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
      where w.tenant_id = v_caller.tenant_id
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
  perform muster_private.lock_going_idle(v_worker.tenant_id);
  perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  return muster_private.worker_json(muster_private.worker_of_tenant(v_worker.id, v_worker.tenant_id));
end
$$;
comment on function muster.resume_worker(jsonb, uuid) is 'Ends a drain: the worker gets jobs again';

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
  set status = 'revoked', listening = false, deaf = false, updated_at = v_now
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
  v_first uuid := '00000000-0000-0000-0000-000000000000';
  v_last uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
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
        select from muster.jobs j where j.status = 'queued' and j.tenant_id between v_first and v_last
        order by j.tenant_id, j.class_id, j.priority desc, j.position limit v_most) q));
end
$$;
comment on function muster.get_load(jsonb) is
  'Workers that beat and jobs that wait, each counted up to 10,000: of the caller''s tenant, or of all for the secret key without one';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'enroll_worker(text, jsonb)', 'refresh_worker(uuid, text, text, timestamptz)', 'list_workers(jsonb, jsonb)',
    'get_worker(jsonb, uuid)', 'drain_worker(jsonb, uuid)', 'resume_worker(jsonb, uuid)', 'revoke_worker(jsonb, uuid)', 'health()',
    'get_load(jsonb)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
