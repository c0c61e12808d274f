-- What lets machines in.

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

revoke execute on all functions in schema muster_private from public;
