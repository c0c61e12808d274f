-- Who is calling, and what that caller may do. API keys are known by their hash.

create table muster.api_keys (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  executor_id uuid not null,
  prefix text not null,
  hash text not null unique,
  created_at timestamptz not null default muster_private.now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  foreign key (tenant_id, executor_id) references muster.executors (tenant_id, id) on delete cascade,
  constraint hashes_are_sha256 check (hash ~ '^[0-9a-f]{64}$')
);
comment on table muster.api_keys is 'Keys of executors; only the SHA-256 of a key is kept';
create index api_keys_of_executor_idx on muster.api_keys (tenant_id, executor_id);

create type muster_private.caller as (
  kind text,
  tenant_id uuid,
  executor_id uuid,
  actor jsonb
);

-- What each kind of caller may do: read, submit (work and files), operate (machines), administer (revoke, keys).
create function muster_private.resolve_caller(caller jsonb, needs text) returns muster_private.caller
language plpgsql set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_kind constant text := resolve_caller.caller ->> 'kind';
  v_caller muster_private.caller;
  v_key muster.api_keys;
  v_role muster.member_role;
  v_may text[];
begin
  v_caller.kind := v_kind;
  if v_kind = 'api_key' then
    select * into v_key from muster.api_keys k where k.hash = resolve_caller.caller ->> 'hash';
    if not found or v_key.revoked_at <= v_now or v_key.expires_at <= v_now then
      perform muster_private.fail('MU001', 'Cannot accept the API key: it is unknown, revoked or expired',
        'Create a key for this project and send it as "authorization: Bearer msk_…"');
    end if;
    -- Once a minute is enough to know that a key is in use, and keeps the row from being written by each request.
    update muster.api_keys k set last_used_at = v_now
    where k.id in (
      select u.id from muster.api_keys u
      where u.id = v_key.id and (u.last_used_at is null or u.last_used_at < v_now - interval '1 minute')
      for no key update skip locked);
    v_caller.tenant_id := v_key.tenant_id;
    v_caller.executor_id := v_key.executor_id;
    v_caller.actor := jsonb_build_object('kind', 'api_key', 'id', v_key.id, 'executor_id', v_key.executor_id);
    v_may := array['read', 'submit', 'operate'];
  elsif v_kind = 'service' then
    v_caller.tenant_id := muster_private.to_uuid(resolve_caller.caller ->> 'tenant_id', 'tenant id');
    if not exists (select from muster.tenants t where t.id = v_caller.tenant_id) then
      perform muster_private.fail('MU003', format('Cannot find tenant %s', coalesce(v_caller.tenant_id::text, '(none given)')),
        'Name the tenant in the header "x-tenant-id"');
    end if;
    v_caller.actor := jsonb_build_object('kind', 'service');
    v_may := array['read', 'submit', 'operate', 'administer'];
  elsif v_kind = 'member' then
    select m.tenant_id, m.role into v_caller.tenant_id, v_role
    from muster.members m
    where m.user_id = muster_private.to_uuid(resolve_caller.caller ->> 'user_id', 'user id')
      and m.tenant_id = coalesce(
        muster_private.to_uuid(resolve_caller.caller ->> 'tenant_id', 'tenant id'), m.tenant_id)
    order by m.created_at limit 1;
    if not found then
      perform muster_private.fail('MU002', 'Cannot act for this user: no membership in the tenant',
        'Ask an admin of the tenant to add the user as a member');
    end if;
    v_caller.actor := jsonb_build_object('kind', 'member', 'id', resolve_caller.caller ->> 'user_id');
    v_may := case v_role
      when 'admin' then array['read', 'submit', 'operate', 'administer']
      when 'editor' then array['read', 'submit', 'operate']
      else array['read'] end;
  else
    perform muster_private.fail('MU001', 'Cannot tell who is calling: no API key, user token or secret key was sent',
      'Send an API key as "authorization: Bearer msk_…"');
  end if;
  if resolve_caller.needs <> all (v_may) then
    perform muster_private.fail('MU002', format('Cannot %s with this key or role', resolve_caller.needs),
      'Use a key or a member whose role allows it');
  end if;
  return v_caller;
end
$$;
comment on function muster_private.resolve_caller(jsonb, text) is
  'Who is calling, as an Edge Function established it; raises unless that caller may do what is needed';

revoke execute on all functions in schema muster_private from public;
