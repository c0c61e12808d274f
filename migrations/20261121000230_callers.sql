-- Who is calling, and what that caller may do. API keys are known by their hash.

create table muster.api_keys (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  executor_id uuid not null,
  prefix text not null,
  hash text not null unique,
  scopes text[] not null default '{read,submit}',
  -- The key that a rotation put in its place; until it expires both are good.
  replaced_by uuid,
  created_at timestamptz not null default muster_private.now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  foreign key (tenant_id, executor_id) references muster.executors (tenant_id, id) on delete cascade,
  constraint hashes_are_sha256 check (hash ~ '^[0-9a-f]{64}$'),
  constraint scopes_are_powers_of_a_key
    check (cardinality(scopes) between 1 and 4 and scopes <@ array['read', 'submit', 'operate', 'publish'])
);
comment on table muster.api_keys is 'Keys of executors; only the SHA-256 of a key is kept';
create index api_keys_of_executor_idx on muster.api_keys (tenant_id, executor_id);
create index api_keys_latest_idx on muster.api_keys (tenant_id, created_at desc, id desc);

create type muster_private.caller as (
  kind text,
  tenant_id uuid,
  executor_id uuid,
  actor jsonb,
  powers text[]
);

-- What a caller may do: read, submit (work and files), operate (machines and what lets them in), publish (packages),
-- administer (members, keys, shutting machines out). A key has what its scopes say, a member what the role says.
create function muster_private.resolve_caller(caller jsonb, needs text) returns muster_private.caller
language plpgsql set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_kind constant text := resolve_caller.caller ->> 'kind';
  v_caller muster_private.caller;
  v_key muster.api_keys;
  v_member muster.members;
begin
  v_caller.kind := v_kind;
  if v_kind = 'api_key' then
    select * into v_key from muster.api_keys k where k.hash = resolve_caller.caller ->> 'hash';
    if not found or v_key.revoked_at <= v_now or v_key.expires_at <= v_now then
      perform muster_private.fail('MU001', 'Cannot accept the API key: it is unknown, revoked or expired',
        'Create a key for this project and send it as "authorization: Bearer msk_…"');
    end if;
    if muster_private.to_uuid(resolve_caller.caller ->> 'tenant_id', 'tenant id') <> v_key.tenant_id then
      perform muster_private.fail('MU002', format('Cannot act for tenant %s: the API key is another tenant''s',
        resolve_caller.caller ->> 'tenant_id'), 'Leave out the header "x-tenant-id", or send a key of that tenant');
    end if;
    v_caller.tenant_id := v_key.tenant_id;
    v_caller.executor_id := v_key.executor_id;
    v_caller.actor := jsonb_build_object('kind', 'api_key', 'id', v_key.id, 'executor_id', v_key.executor_id);
    v_caller.powers := v_key.scopes;
  elsif v_kind = 'service' then
    v_caller.tenant_id := muster_private.to_uuid(resolve_caller.caller ->> 'tenant_id', 'tenant id');
    if not exists (select from muster.tenants t where t.id = v_caller.tenant_id) then
      perform muster_private.fail('MU003', format('Cannot find tenant %s', coalesce(v_caller.tenant_id::text, '(none given)')),
        'Name the tenant in the header "x-tenant-id"');
    end if;
    v_caller.actor := jsonb_build_object('kind', 'service');
    v_caller.powers := array['read', 'submit', 'operate', 'publish', 'administer'];
  elsif v_kind = 'member' then
    select * into v_member from muster.members m
    where m.user_id = muster_private.to_uuid(resolve_caller.caller ->> 'user_id', 'user id')
      and m.tenant_id = coalesce(
        muster_private.to_uuid(resolve_caller.caller ->> 'tenant_id', 'tenant id'), m.tenant_id)
    order by m.created_at, m.tenant_id limit 1;
    if not found then
      perform muster_private.fail('MU002', 'Cannot act for this user: no membership in the tenant',
        'Ask an admin of the tenant to add the user as a member');
    end if;
    v_caller.tenant_id := v_member.tenant_id;
    v_caller.actor := jsonb_build_object('kind', 'member', 'id', v_member.user_id);
    v_caller.powers := case v_member.role
      when 'admin' then array['read', 'submit', 'operate', 'publish', 'administer']
      when 'editor' then array['read', 'submit', 'operate']
      when 'publisher' then array['read', 'publish']
      else array['read'] end;
  else
    perform muster_private.fail('MU001', 'Cannot tell who is calling: no API key, user token or secret key was sent',
      'Send an API key as "authorization: Bearer msk_…"');
  end if;
  if resolve_caller.needs = any (v_caller.powers) is not true then
    perform muster_private.fail('MU002', format('Cannot %s with this key or role', resolve_caller.needs),
      'Use a key with this scope, or a member whose role allows it');
  end if;
  perform muster_private.set_actor(v_caller.actor);
  -- Before any row is locked: it may wait for other requests of the same caller.
  perform muster_private.charge_caller(resolve_caller.caller, v_caller.tenant_id, v_caller.actor);
  -- Once a minute is enough to know that a key is in use, and keeps the row from being written by each request.
  if v_kind = 'api_key' and v_key.last_used_at >= v_now - interval '1 minute' is not true then
    update muster.api_keys k set last_used_at = v_now
    where k.id in (
      select u.id from muster.api_keys u
      where u.id = v_key.id and (u.last_used_at is null or u.last_used_at < v_now - interval '1 minute')
      for no key update skip locked);
  end if;
  return v_caller;
end
$$;
comment on function muster_private.resolve_caller(jsonb, text) is
  'Who is calling, as an Edge Function established it; raises unless that caller may do what is needed';

-- Pages are cut at instant and id, newest first, as list_jobs() does.
create function muster_private.read_cursor(cursor text, out before_at timestamptz, out before_id uuid)
language plpgsql immutable set search_path = ''
as $$
begin
  before_at := 'infinity'::timestamptz;
  before_id := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  if read_cursor.cursor is null then
    return;
  end if;
  if read_cursor.cursor !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z_[0-9a-f-]{36}$' then
    perform muster_private.fail('MU004', 'Cannot read the cursor: it must be one that a list answered');
  end if;
  before_at := split_part(read_cursor.cursor, '_', 1)::timestamptz;
  before_id := muster_private.to_uuid(split_part(read_cursor.cursor, '_', 2), 'cursor');
end
$$;
comment on function muster_private.read_cursor(text) is 'Where the page before ended, or before everything';

-- One row more than asked for was read: whether it is there says whether another page follows.
create function muster_private.page_of(name text, rows jsonb, size integer) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if jsonb_array_length(page_of.rows) <= page_of.size then
    return jsonb_build_object(page_of.name, page_of.rows, 'next_cursor', null);
  end if;
  return jsonb_build_object(page_of.name, page_of.rows - page_of.size, 'next_cursor',
    (page_of.rows -> page_of.size - 1 ->> 'created_at') || '_' || (page_of.rows -> page_of.size - 1 ->> 'id'));
end
$$;
comment on function muster_private.page_of(text, jsonb, integer) is 'A page of rows by their name, and the cursor of the next';

revoke execute on all functions in schema muster_private from public;
