-- Keys of executors: made, listed, rotated, revoked, and exchanged for a token that may listen.

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

create function muster_private.api_key_json(key muster.api_keys) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object('id', key.id, 'tenant_id', key.tenant_id, 'executor_id', key.executor_id,
    'executor_name', (select e.name from muster.executors e where e.tenant_id = key.tenant_id and e.id = key.executor_id),
    'prefix', key.prefix, 'scopes', key.scopes, 'replaced_by', key.replaced_by,
    'created_at', muster_private.iso(key.created_at), 'expires_at', muster_private.iso(key.expires_at),
    'revoked_at', muster_private.iso(key.revoked_at), 'last_used_at', muster_private.iso(key.last_used_at));
end
$$;
comment on function muster_private.api_key_json(muster.api_keys) is 'An API key as its callers see it, without its hash';

-- Who adds a key holds its executor's row, so that no two count at once.
create function muster_private.add_api_key(
  executor_id uuid, tenant_id uuid, key_prefix text, key_hash text, scopes text[], expires_at timestamptz
) returns muster.api_keys
language plpgsql set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_key muster.api_keys;
begin
  perform muster_private.check_secret(add_api_key.key_prefix, add_api_key.key_hash);
  perform from muster.executors e where e.id = add_api_key.executor_id for no key update;
  if (
    select count(*) from muster.api_keys k
    where k.tenant_id = add_api_key.tenant_id and k.executor_id = add_api_key.executor_id
      and k.revoked_at is null and (k.expires_at is null or k.expires_at > v_now)
  ) >= 100 then
    perform muster_private.fail('MU015', 'Cannot create the API key: its executor has 100', 'Revoke keys that are not used');
  end if;
  insert into muster.api_keys (tenant_id, executor_id, prefix, hash, scopes, expires_at)
  values (add_api_key.tenant_id, add_api_key.executor_id, add_api_key.key_prefix, add_api_key.key_hash,
    add_api_key.scopes, add_api_key.expires_at)
  on conflict do nothing returning * into v_key;
  if not found then
    perform muster_private.fail('MU008', 'Cannot create the API key: it exists');
  end if;
  return v_key;
end
$$;
comment on function muster_private.add_api_key(uuid, uuid, text, text, text[], timestamptz) is
  'Stores a key of an executor, of which there are at most 100 good ones';

create function muster.issue_api_key(
  caller jsonb, executor_name text, key_prefix text, key_hash text, scopes text[] default '{read,submit}',
  expires_at timestamptz default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(issue_api_key.caller, 'administer');
  v_scopes text[];
  v_executor_id uuid;
  v_key muster.api_keys;
begin
  if coalesce(length(issue_api_key.executor_name), 0) not between 1 and 100 then
    perform muster_private.fail('MU004', 'Cannot create an API key: its executor must have a name of 1 to 100 characters');
  end if;
  -- Each once, in one order; a null in the list is no scope either.
  v_scopes := array(select distinct s from unnest(issue_api_key.scopes) s order by s);
  if cardinality(v_scopes) = 0 or not v_scopes <@ array['read', 'submit', 'operate', 'publish'] then
    perform muster_private.fail('MU004', format('Cannot create an API key with the scopes "%s": they are some of read, submit, operate, publish',
      left(array_to_string(issue_api_key.scopes, ', '), 100)));
  end if;
  select e.id into v_executor_id from muster.executors e
  where e.tenant_id = v_caller.tenant_id and e.name = issue_api_key.executor_name;
  if not found then
    perform from muster.tenants t where t.id = v_caller.tenant_id for no key update;
    if (select count(*) from muster.executors e where e.tenant_id = v_caller.tenant_id) >= 1000 then
      perform muster_private.fail('MU015', 'Cannot create an executor: the tenant has 1000');
    end if;
    insert into muster.executors (tenant_id, name) values (v_caller.tenant_id, issue_api_key.executor_name) on conflict do nothing;
    select e.id into v_executor_id from muster.executors e
    where e.tenant_id = v_caller.tenant_id and e.name = issue_api_key.executor_name;
  end if;
  v_key := muster_private.add_api_key(v_executor_id, v_caller.tenant_id, issue_api_key.key_prefix, issue_api_key.key_hash,
    v_scopes, issue_api_key.expires_at);
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'api_key.created', v_key.id::text,
    jsonb_build_object('prefix', v_key.prefix, 'executor', issue_api_key.executor_name, 'scopes', v_key.scopes));
  return muster_private.api_key_json(v_key);
end
$$;
comment on function muster.issue_api_key(jsonb, text, text, text, text[], timestamptz) is
  'Stores the hash of a new API key for the named executor, which it makes when it is new';

create function muster.create_api_key(
  tenant_id uuid, executor_name text, key_prefix text, key_hash text, expires_at timestamptz default null,
  scopes text[] default '{read,submit}'
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  return muster.issue_api_key(jsonb_build_object('kind', 'service', 'tenant_id', create_api_key.tenant_id),
    create_api_key.executor_name, create_api_key.key_prefix, create_api_key.key_hash, create_api_key.scopes, create_api_key.expires_at);
end
$$;
comment on function muster.create_api_key(uuid, text, text, text, timestamptz, text[]) is
  'issue_api_key() for the project itself, which names the tenant';

create function muster.list_api_keys(
  caller jsonb, filters jsonb default '{}', page_size integer default 50, cursor text default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_api_keys.caller, 'read');
  v_now constant timestamptz := muster_private.now();
  v_size constant integer := least(greatest(coalesce(list_api_keys.page_size, 50), 1), 200);
  v_before record;
begin
  perform muster_private.check_text(list_api_keys.filters, 'executor_name', 100);
  select * into v_before from muster_private.read_cursor(list_api_keys.cursor);
  return muster_private.page_of('api_keys', (
    select coalesce(jsonb_agg(muster_private.api_key_json(p) order by p.created_at desc, p.id desc), '[]')
    from (
      select k.* from muster.api_keys k
      where k.tenant_id = v_caller.tenant_id and (k.created_at, k.id) < (v_before.before_at, v_before.before_id)
        and (list_api_keys.filters -> 'usable' is distinct from 'true'
          or k.revoked_at is null and (k.expires_at is null or k.expires_at > v_now))
        and (list_api_keys.filters ->> 'executor_name' is null or k.executor_id = (
          select e.id from muster.executors e
          where e.tenant_id = v_caller.tenant_id and e.name = list_api_keys.filters ->> 'executor_name'))
      order by k.created_at desc, k.id desc limit v_size + 1
    ) p), v_size);
end
$$;
comment on function muster.list_api_keys(jsonb, jsonb, integer, text) is 'API keys of the caller''s tenant, newest first, without their hashes';

create function muster_private.api_key_of_tenant(key_id uuid, tenant_id uuid) returns muster.api_keys
language plpgsql set search_path = ''
as $$
declare
  v_key muster.api_keys;
begin
  select * into v_key from muster.api_keys k
  where k.id = api_key_of_tenant.key_id and k.tenant_id = api_key_of_tenant.tenant_id for no key update;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find API key %s', api_key_of_tenant.key_id));
  end if;
  return v_key;
end
$$;
comment on function muster_private.api_key_of_tenant(uuid, uuid) is 'An API key of the tenant, locked, or not_found';

create function muster.revoke_api_key(caller jsonb, key_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(revoke_api_key.caller, 'administer');
  v_key muster.api_keys := muster_private.api_key_of_tenant(revoke_api_key.key_id, v_caller.tenant_id);
begin
  if v_key.revoked_at is null then
    update muster.api_keys k set revoked_at = muster_private.now() where k.id = v_key.id returning * into v_key;
    perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'api_key.revoked', v_key.id::text,
      jsonb_build_object('prefix', v_key.prefix));
  end if;
  return muster_private.api_key_json(v_key);
end
$$;
comment on function muster.revoke_api_key(jsonb, uuid) is 'From now on the key opens nothing; one that was revoked stays so';

-- The old key stays good for the overlap, but no longer than it was. The new one lives as long as the old one was made for.
create function muster.rotate_api_key(
  caller jsonb, key_id uuid, key_prefix text, key_hash text, overlap_seconds integer default 86400
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(rotate_api_key.caller, 'administer');
  v_now constant timestamptz := muster_private.now();
  v_old muster.api_keys;
  v_new muster.api_keys;
begin
  if coalesce(rotate_api_key.overlap_seconds, -1) not between 0 and 2592000 then
    perform muster_private.fail('MU004', format('Cannot rotate with an overlap of %s seconds: it must be from 0 to 2592000',
      coalesce(rotate_api_key.overlap_seconds::text, 'no')));
  end if;
  v_old := muster_private.api_key_of_tenant(rotate_api_key.key_id, v_caller.tenant_id);
  if v_old.replaced_by is not null then
    perform muster_private.fail('MU008', format('Cannot rotate API key %s: key %s replaced it already', v_old.id, v_old.replaced_by),
      'Rotate the newer key');
  end if;
  if v_old.revoked_at <= v_now or v_old.expires_at <= v_now then
    perform muster_private.fail('MU008', format('Cannot rotate API key %s: it is revoked or expired', v_old.id), 'Create a new key');
  end if;
  update muster.api_keys k
  set expires_at = least(k.expires_at, v_now + make_interval(secs => rotate_api_key.overlap_seconds)) where k.id = v_old.id;
  v_new := muster_private.add_api_key(v_old.executor_id, v_old.tenant_id, rotate_api_key.key_prefix, rotate_api_key.key_hash,
    v_old.scopes, v_now + (v_old.expires_at - v_old.created_at));
  update muster.api_keys k set replaced_by = v_new.id where k.id = v_old.id returning * into v_old;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'api_key.rotated', v_old.id::text,
    jsonb_build_object('prefix', v_old.prefix, 'replaced_by', v_new.id, 'overlap_seconds', rotate_api_key.overlap_seconds));
  return muster_private.api_key_json(v_new) || jsonb_build_object('replaces', muster_private.api_key_json(v_old));
end
$$;
comment on function muster.rotate_api_key(jsonb, uuid, text, text, integer) is
  'Makes a key with the executor and scopes of an old one, which stays good for the overlap';

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

do $$
declare
  v_function text;
begin
  foreach v_function in array array['issue_api_key(jsonb, text, text, text, text[], timestamptz)',
    'create_api_key(uuid, text, text, text, timestamptz, text[])', 'list_api_keys(jsonb, jsonb, integer, text)',
    'revoke_api_key(jsonb, uuid)', 'rotate_api_key(jsonb, uuid, text, text, integer)', 'authorize_client(jsonb)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
