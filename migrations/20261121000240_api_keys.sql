-- Keys of executors: made, and exchanged for a token that may listen.

create function muster_private.check_secret(prefix text, hash text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if coalesce(check_secret.hash, '') !~ '^[0-9a-f]{64}$' or coalesce(length(check_secret.prefix), 0) not between 1 and 100 then
    perform muster_private.fail('MU004', 'Cannot store the secret: it needs a name or prefix of 1 to 100 characters and a SHA-256 in hex');
  end if;
end
$$;
comment on function muster_private.check_secret(text, text) is 'Refuses what is not the name and hash of a key or token';

create function muster.create_api_key(
  tenant_id uuid, executor_name text, key_prefix text, key_hash text, expires_at timestamptz default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_executor_id uuid;
  v_key muster.api_keys;
begin
  perform muster_private.check_tenant(create_api_key.tenant_id);
  perform muster_private.check_secret(create_api_key.key_prefix, create_api_key.key_hash);
  if coalesce(length(create_api_key.executor_name), 0) not between 1 and 100 then
    perform muster_private.fail('MU004', 'Cannot create an API key: its executor must have a name of 1 to 100 characters');
  end if;
  if exists (select from muster.api_keys k where k.hash = create_api_key.key_hash) then
    perform muster_private.fail('MU008', 'Cannot create the API key: it exists');
  end if;
  insert into muster.executors (tenant_id, name)
  values (create_api_key.tenant_id, create_api_key.executor_name) on conflict do nothing;
  select e.id into v_executor_id from muster.executors e
  where e.tenant_id = create_api_key.tenant_id and e.name = create_api_key.executor_name;
  insert into muster.api_keys (tenant_id, executor_id, prefix, hash, expires_at)
  values (create_api_key.tenant_id, v_executor_id, create_api_key.key_prefix, create_api_key.key_hash, create_api_key.expires_at)
  returning * into v_key;
  perform muster_private.audit(create_api_key.tenant_id, '{"kind": "service"}', 'api_key.created', v_key.id::text,
    jsonb_build_object('prefix', v_key.prefix, 'executor', create_api_key.executor_name));
  return jsonb_build_object('id', v_key.id, 'tenant_id', v_key.tenant_id, 'executor_id', v_executor_id,
    'executor_name', create_api_key.executor_name, 'prefix', v_key.prefix, 'expires_at', muster_private.iso(v_key.expires_at));
end
$$;
comment on function muster.create_api_key(uuid, text, text, text, timestamptz) is
  'Stores the hash of a new API key for the named executor, which it makes when it is new';
revoke execute on function muster.create_api_key(uuid, text, text, text, timestamptz) from public;
grant execute on function muster.create_api_key(uuid, text, text, text, timestamptz) to service_role;

create function muster.authorize_client(caller jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(authorize_client.caller, 'read');
begin
  if v_caller.executor_id is null then
    perform muster_private.fail('MU002', 'Cannot make a client token: only an API key stands for an executor');
  end if;
  return jsonb_build_object('tenant_id', v_caller.tenant_id, 'executor_id', v_caller.executor_id);
end
$$;
comment on function muster.authorize_client(jsonb) is 'The executor behind an API key, for a token that may listen on Realtime';
revoke execute on function muster.authorize_client(jsonb) from public;
grant execute on function muster.authorize_client(jsonb) to service_role;

revoke execute on all functions in schema muster_private from public;
