-- Who may use the control plane: tenants, their members, executors with API keys, tokens that let machines in.

create type muster.member_role as enum ('admin', 'editor', 'publisher', 'viewer');

create table muster.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null unique,
  created_at timestamptz not null default muster_private.now(),
  constraint names_are_short check (length(name) between 1 and 100)
);
comment on table muster.tenants is 'The isolation boundary: every row that matters names one';

create table muster.members (
  tenant_id uuid not null references muster.tenants on delete cascade,
  user_id uuid not null,
  role muster.member_role not null,
  created_at timestamptz not null default muster_private.now(),
  primary key (tenant_id, user_id)
);
comment on table muster.members is 'Supabase Auth users and their role in a tenant';
create index members_tenants_of_user_idx on muster.members (user_id);

create table muster.executors (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  created_at timestamptz not null default muster_private.now(),
  unique (tenant_id, name),
  unique (tenant_id, id),
  constraint names_are_short check (length(name) between 1 and 100)
);
comment on table muster.executors is 'Apps that submit work';

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

create table muster.enrollment_tokens (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  hash text not null unique,
  capabilities text[],
  labels jsonb not null default '{}',
  max_uses integer,
  use_count integer not null default 0,
  ephemeral boolean not null default false,
  created_at timestamptz not null default muster_private.now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  unique (tenant_id, id),
  constraint hashes_are_sha256 check (hash ~ '^[0-9a-f]{64}$'),
  constraint uses_stay_within_their_limit check (use_count between 0 and coalesce(max_uses, use_count))
);
comment on table muster.enrollment_tokens is 'What lets a machine in; capabilities null allows any, max_uses null any number';

create table muster.audit_log (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references muster.tenants on delete cascade,
  actor jsonb not null,
  action text not null,
  subject text not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default muster_private.now()
);
comment on table muster.audit_log is 'What was done to machines, keys and tokens, and by whom; rows are only ever added';
create index audit_log_of_tenant_idx on muster.audit_log (tenant_id, id);

create function muster_private.audit(tenant_id uuid, actor jsonb, action text, subject text, data jsonb default '{}')
returns void
language plpgsql set search_path = ''
as $$
begin
  insert into muster.audit_log (tenant_id, actor, action, subject, data)
  values (audit.tenant_id, audit.actor, audit.action, audit.subject, audit.data);
end
$$;
comment on function muster_private.audit(uuid, jsonb, text, text, jsonb) is 'Adds a row to the audit log';

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

create function muster.create_tenant(name text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_tenant muster.tenants;
begin
  if coalesce(length(create_tenant.name), 0) not between 1 and 100 then
    perform muster_private.fail('MU004', 'Cannot create a tenant: its name must have 1 to 100 characters');
  end if;
  insert into muster.tenants (name) values (create_tenant.name) on conflict do nothing;
  select * into v_tenant from muster.tenants t where t.name = create_tenant.name;
  return jsonb_build_object('id', v_tenant.id, 'name', v_tenant.name, 'created_at', muster_private.iso(v_tenant.created_at));
end
$$;
comment on function muster.create_tenant(text) is 'Makes a tenant, or answers the one that has the name already';
revoke execute on function muster.create_tenant(text) from public;
grant execute on function muster.create_tenant(text) to service_role;

create function muster_private.check_tenant(tenant_id uuid) returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from muster.tenants t where t.id = check_tenant.tenant_id) then
    perform muster_private.fail('MU003', format('Cannot find tenant %s', coalesce(check_tenant.tenant_id::text, '(none given)')));
  end if;
end
$$;
comment on function muster_private.check_tenant(uuid) is 'Refuses a tenant that does not exist';

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

create function muster.create_enrollment_token(
  tenant_id uuid, name text, token_hash text, capabilities text[] default null, labels jsonb default '{}',
  max_uses integer default 1, expires_at timestamptz default null, ephemeral boolean default false
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_token muster.enrollment_tokens;
begin
  perform muster_private.check_tenant(create_enrollment_token.tenant_id);
  perform muster_private.check_secret(create_enrollment_token.name, create_enrollment_token.token_hash);
  perform muster_private.check_capabilities(to_jsonb(create_enrollment_token.capabilities), 100);
  perform muster_private.check_labels(create_enrollment_token.labels);
  if exists (select from muster.enrollment_tokens t where t.hash = create_enrollment_token.token_hash) then
    perform muster_private.fail('MU008', 'Cannot create the enrollment token: it exists');
  end if;
  if create_enrollment_token.max_uses < 1 then
    perform muster_private.fail('MU004', 'Cannot create an enrollment token: it must have at least one use');
  end if;
  insert into muster.enrollment_tokens (tenant_id, name, hash, capabilities, labels, max_uses, expires_at, ephemeral)
  values (create_enrollment_token.tenant_id, create_enrollment_token.name, create_enrollment_token.token_hash,
    create_enrollment_token.capabilities, coalesce(nullif(create_enrollment_token.labels, 'null'), '{}'),
    create_enrollment_token.max_uses, create_enrollment_token.expires_at, coalesce(create_enrollment_token.ephemeral, false))
  returning * into v_token;
  perform muster_private.audit(v_token.tenant_id, '{"kind": "service"}', 'enrollment_token.created', v_token.id::text,
    jsonb_build_object('name', v_token.name));
  return to_jsonb(v_token) - 'hash';
end
$$;
comment on function muster.create_enrollment_token(uuid, text, text, text[], jsonb, integer, timestamptz, boolean) is
  'Stores the hash of a new enrollment token with what it allows';
revoke execute on function
  muster.create_enrollment_token(uuid, text, text, text[], jsonb, integer, timestamptz, boolean) from public;
grant execute on function
  muster.create_enrollment_token(uuid, text, text, text[], jsonb, integer, timestamptz, boolean) to service_role;

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
