-- Letting machines in: by an enrollment token and a proof of their key, then by proofs alone.

create function muster_private.use_proof_once(id text, expires_at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
begin
  insert into muster_private.used_proofs (id, expires_at) values (use_proof_once.id, use_proof_once.expires_at)
  on conflict do nothing;
  return found;
end
$$;
comment on function muster_private.use_proof_once(text, timestamptz) is 'Notes a device proof; false when it was seen before';

create function muster_private.use_proof(id text, expires_at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if not muster_private.use_proof_once(use_proof.id, use_proof.expires_at) then
    perform muster_private.fail('MU013', 'Cannot accept the device proof: it was used before', 'Make a new proof for each request');
  end if;
end
$$;
comment on function muster_private.use_proof(text, timestamptz) is 'Notes a device proof; raises when it was seen before';

-- One enrollment of a key at a time: two tokens may be used for it at once.
create function muster_private.lock_device(fingerprint text) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('muster.device:' || lock_device.fingerprint, 0));
end
$$;
comment on function muster_private.lock_device(text) is 'Serialises what makes a key the key of a worker';

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

-- An IPv4 address may come in IPv6 clothes, ::ffff:192.0.2.1, by the kind of socket that took the call, and so may a
-- range: both are compared in their IPv4 form.
create function muster_private.plain_address(address inet) returns inet
language plpgsql immutable set search_path = ''
as $$
begin
  if family(plain_address.address) = 6 and plain_address.address <<= '::ffff:0:0/96' then
    return set_masklen('0.0.0.0'::inet + (host(plain_address.address)::inet - '::ffff:0:0'::inet), masklen(plain_address.address) - 96);
  end if;
  return plain_address.address;
end
$$;
comment on function muster_private.plain_address(inet) is 'An address or range, of IPv4 where it is one of IPv4 written as IPv6';

create function muster_private.is_within(address inet, cidrs cidr[]) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return coalesce((
    select bool_or(muster_private.plain_address(host(is_within.address)::inet) <<= muster_private.plain_address(c))
    from unnest(is_within.cidrs) c), false);
end
$$;
comment on function muster_private.is_within(inet, cidr[]) is 'Whether an address is in one of the ranges; an unknown one is in none';

-- A raised error would take the audit row with it, so a refusal is an answer, which the Edge Function turns into the error.
create function muster_private.refuse_enrollment(
  token muster.enrollment_tokens, worker jsonb, address inet, code text, message text, hint text
) returns jsonb
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.audit((refuse_enrollment.token).tenant_id,
    jsonb_build_object('kind', 'enrollment_token', 'id', (refuse_enrollment.token).id),
    'enrollment_token.refused', (refuse_enrollment.token).id::text,
    jsonb_build_object('code', refuse_enrollment.code, 'message', refuse_enrollment.message,
      'fingerprint', refuse_enrollment.worker ->> 'fingerprint', 'address', host(refuse_enrollment.address)));
  return jsonb_build_object('refused', jsonb_build_object(
    'code', refuse_enrollment.code, 'message', refuse_enrollment.message, 'hint', refuse_enrollment.hint));
end
$$;
comment on function muster_private.refuse_enrollment(muster.enrollment_tokens, jsonb, inet, text, text, text) is
  'Notes who was not let in by a token, and answers the error to raise';

create function muster.enroll_worker(token_hash text, worker jsonb, address inet default null) returns jsonb
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
  perform muster_private.check_capabilities(enroll_worker.worker -> 'capabilities', 100);
  perform muster_private.check_labels(enroll_worker.worker -> 'labels');
  select * into v_token from muster.enrollment_tokens t where t.hash = enroll_worker.token_hash for no key update;
  if not found then
    perform muster_private.fail('MU009', 'Cannot enroll: the enrollment token is unknown or was revoked', 'Ask an operator for a new one');
  end if;
  perform muster_private.charge_enrollment_token(v_token.id, v_token.tenant_id);
  if not muster_private.use_proof_once(enroll_worker.worker ->> 'proof_jti', (enroll_worker.worker ->> 'proof_expires_at')::timestamptz) then
    return muster_private.refuse_enrollment(v_token, enroll_worker.worker, enroll_worker.address, 'MU013',
      'Cannot accept the device proof: it was used before', 'Make a new proof for each request');
  end if;
  if v_token.revoked_at <= v_now then
    return muster_private.refuse_enrollment(v_token, enroll_worker.worker, enroll_worker.address, 'MU009',
      'Cannot enroll: the enrollment token is unknown or was revoked', 'Ask an operator for a new one');
  end if;
  if v_token.expires_at <= v_now then
    return muster_private.refuse_enrollment(v_token, enroll_worker.worker, enroll_worker.address, 'MU010',
      format('Cannot enroll: token "%s" expired at %s', v_token.name, muster_private.iso(v_token.expires_at)),
      'Ask an operator for a new one');
  end if;
  if v_token.cidrs is not null and not muster_private.is_within(enroll_worker.address, v_token.cidrs) then
    return muster_private.refuse_enrollment(v_token, enroll_worker.worker, enroll_worker.address, 'MU020',
      format('Cannot enroll from %s: token "%s" does not allow it', coalesce(host(enroll_worker.address), 'an unknown address'), v_token.name),
      'Enroll from an address within the token''s ranges, or ask an operator for a token that allows this one');
  end if;

  v_capabilities := muster_private.cut_capabilities(
    array(select jsonb_array_elements_text(coalesce(nullif(enroll_worker.worker -> 'capabilities', 'null'), '[]'))), v_token.capabilities);
  v_labels := coalesce(nullif(enroll_worker.worker -> 'labels', 'null'), '{}') || v_token.labels;

  perform muster_private.lock_device(v_fingerprint);
  select * into v_worker from muster.worker_devices w
  where w.tenant_id = v_token.tenant_id and w.device_fingerprint = v_fingerprint
  for no key update;
  if found then
    if v_worker.status = 'revoked' then
      return muster_private.refuse_enrollment(v_token, enroll_worker.worker, enroll_worker.address, 'MU014',
        format('Cannot enroll worker %s again: it was revoked', v_worker.name), 'Enroll with a new identity');
    end if;
    update muster.worker_devices w
    set enrollment_token_id = v_token.id, allowed_capabilities = v_token.capabilities, granted_labels = v_token.labels,
      ephemeral = v_token.ephemeral,
      forget_at = case when v_token.ephemeral and w.status = 'offline' then v_now + muster_private.timing('ephemeral_silence') end,
      capabilities = v_capabilities, labels = v_labels,
      slots = greatest(v_slots, w.held_count), updated_at = v_now
    where w.id = v_worker.id returning * into v_worker;
  else
    if v_token.use_count >= v_token.max_uses then
      return muster_private.refuse_enrollment(v_token, enroll_worker.worker, enroll_worker.address, 'MU011',
        format('Cannot enroll "%s": token "%s" has no uses left', left(enroll_worker.worker ->> 'name', 100), v_token.name),
        'Ask an operator for a new one');
    end if;
    update muster.enrollment_tokens t set use_count = t.use_count + 1 where t.id = v_token.id;
    insert into muster.worker_devices (tenant_id, enrollment_token_id, name, device_fingerprint, public_jwk,
      allowed_capabilities, granted_labels, ephemeral, forget_at, capabilities, labels, slots, version,
      created_at, updated_at)
    values (v_token.tenant_id, v_token.id,
      coalesce(nullif(left(enroll_worker.worker ->> 'name', 100), ''), 'worker-' || left(v_fingerprint, 8)),
      v_fingerprint, enroll_worker.worker -> 'public_jwk', v_token.capabilities, v_token.labels, v_token.ephemeral,
      case when v_token.ephemeral then v_now + muster_private.timing('ephemeral_silence') end, v_capabilities, v_labels,
      v_slots, left(enroll_worker.worker ->> 'version', 100), v_now, v_now)
    returning * into v_worker;
  end if;
  perform muster_private.match_worker(v_worker.id);
  perform muster_private.audit(v_worker.tenant_id, jsonb_build_object('kind', 'enrollment_token', 'id', v_token.id),
    'worker.enrolled', v_worker.id::text, jsonb_build_object('name', v_worker.name, 'capabilities', v_worker.capabilities,
      'fingerprint', v_fingerprint, 'address', host(enroll_worker.address)));
  return muster_private.enrollment_json(v_worker);
end
$$;
comment on function muster.enroll_worker(text, jsonb, inet) is
  'Lets a device in by an enrollment token, or answers why not; its proof was verified by the caller. A known key answers its worker';
revoke execute on function muster.enroll_worker(text, jsonb, inet) from public;
grant execute on function muster.enroll_worker(text, jsonb, inet) to service_role;

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
revoke execute on function muster.refresh_worker(uuid, text, text, timestamptz) from public;
grant execute on function muster.refresh_worker(uuid, text, text, timestamptz) to service_role;

-- The old key, and every token bound to it, is void with the commit: a token names its key. Of two rotations at a time
-- the second waits for the worker's row and then finds a worker whose key is not the one that signed.
create function muster.rotate_worker_key(
  worker_id uuid, fingerprint text, new_jwk jsonb, new_fingerprint text, proof_jti text, proof_expires_at timestamptz
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
begin
  if jsonb_typeof(rotate_worker_key.new_jwk) is distinct from 'object'
    or coalesce(length(rotate_worker_key.new_fingerprint), 0) not between 1 and 255
    or num_nulls(rotate_worker_key.proof_jti, rotate_worker_key.proof_expires_at) > 0 then
    perform muster_private.fail('MU004', 'Cannot change the key: it needs the new key, its fingerprint, proof_jti and proof_expires_at');
  end if;
  select * into v_worker from muster.worker_devices w
  where w.id = rotate_worker_key.worker_id and w.device_fingerprint = rotate_worker_key.fingerprint
  for update;
  if not found then
    perform muster_private.fail('MU012', format('Cannot change the key of worker %s: the proof is not by its device key', rotate_worker_key.worker_id),
      'Enroll the worker again');
  end if;
  if v_worker.status = 'revoked' then
    perform muster_private.fail('MU014', format('Cannot change the key of worker %s: it was revoked', v_worker.name),
      'Ask an operator for a new enrollment token, and enroll with a new identity');
  end if;
  perform muster_private.use_proof(rotate_worker_key.proof_jti, rotate_worker_key.proof_expires_at);
  perform muster_private.lock_device(rotate_worker_key.new_fingerprint);
  if exists (
    select from muster.worker_devices w
    where w.tenant_id = v_worker.tenant_id and w.device_fingerprint = rotate_worker_key.new_fingerprint)
  then
    perform muster_private.fail('MU008', format('Cannot change the key of worker %s: a worker has the new key already', v_worker.name),
      'Make a new key for each worker, and for each change');
  end if;
  update muster.worker_devices w
  set device_fingerprint = rotate_worker_key.new_fingerprint, public_jwk = rotate_worker_key.new_jwk,
    updated_at = muster_private.now()
  where w.id = v_worker.id returning * into v_worker;
  perform muster_private.audit(v_worker.tenant_id, jsonb_build_object('kind', 'worker', 'id', v_worker.id),
    'worker.key_rotated', v_worker.id::text,
    jsonb_build_object('from', rotate_worker_key.fingerprint, 'to', rotate_worker_key.new_fingerprint));
  return muster_private.enrollment_json(v_worker);
end
$$;
comment on function muster.rotate_worker_key(uuid, text, jsonb, text, text, timestamptz) is
  'Gives a worker another device key; the proofs of both keys were verified by the caller. The old one is void at once';
revoke execute on function muster.rotate_worker_key(uuid, text, jsonb, text, text, timestamptz) from public;
grant execute on function muster.rotate_worker_key(uuid, text, jsonb, text, text, timestamptz) to service_role;

revoke execute on all functions in schema muster_private from public;
