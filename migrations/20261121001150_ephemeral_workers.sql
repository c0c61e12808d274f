-- Workers that were let in for a while only: build machines, spot instances, browser tabs. Gone, they are forgotten.

-- The row stays for as long as jobs, artifacts and late results name it: whose work it was is their history. What made it
-- a worker goes: its key, and with it every token, and what it could do. The same key may enroll again, as another worker.
-- Locks: the worker's row, as the tick takes it, waiting for none. It is taken for update, as the fingerprint is a key.
create function muster_private.forget_workers(at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  select array_agg(l.id) into v_ids from (
    select w.id from muster.worker_devices w
    where w.forget_at <= forget_workers.at and w.status = 'offline'
    order by w.forget_at limit 1000
    for update skip locked
  ) l;
  if v_ids is null then
    return 0;
  end if;
  update muster.worker_devices w
  set status = 'revoked', forget_at = null, forgotten_at = forget_workers.at, updated_at = forget_workers.at,
    device_fingerprint = 'forgotten:' || w.id, public_jwk = '{}', capabilities = '{}', labels = '{}', session_id = null
  where w.id = any (v_ids);
  delete from muster.worker_classes wc using muster.worker_devices w
  where w.id = any (v_ids) and wc.tenant_id = w.tenant_id and wc.worker_id = w.id;
  delete from muster.worker_heartbeats h where h.worker_id = any (v_ids);
  perform muster_private.audit(w.tenant_id, '{"kind": "system"}', 'worker.forgotten', w.id::text, jsonb_build_object('name', w.name))
  from muster.worker_devices w where w.id = any (v_ids) order by w.tenant_id, w.id;
  return cardinality(v_ids);
end
$$;
comment on function muster_private.forget_workers(timestamptz) is
  'Forgets ephemeral workers that are gone: 30 s after their goodbye, 10 minutes after they fell silent or never came';

revoke execute on all functions in schema muster_private from public;
