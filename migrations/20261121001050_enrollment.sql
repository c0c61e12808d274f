-- Letting machines in: by an enrollment token and a proof of their key, then by proofs alone.

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
revoke execute on function muster.enroll_worker(text, jsonb) from public;
grant execute on function muster.enroll_worker(text, jsonb) to service_role;

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

revoke execute on all functions in schema muster_private from public;
