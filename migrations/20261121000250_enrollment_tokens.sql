-- What lets machines in.

create table muster.enrollment_tokens (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  hash text not null unique,
  capabilities text[],
  labels jsonb not null default '{}',
  cidrs cidr[],
  max_uses integer,
  use_count integer not null default 0,
  ephemeral boolean not null default false,
  created_at timestamptz not null default muster_private.now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  unique (tenant_id, id),
  constraint hashes_are_sha256 check (hash ~ '^[0-9a-f]{64}$'),
  constraint uses_stay_within_their_limit check (use_count between 0 and coalesce(max_uses, use_count)),
  constraint ranges_are_few_and_some check (cardinality(cidrs) between 1 and 100)
);
comment on table muster.enrollment_tokens is
  'What lets a machine in; capabilities null allows any, max_uses null any number, cidrs null any address';
create index enrollment_tokens_latest_idx on muster.enrollment_tokens (tenant_id, created_at desc, id desc);

create function muster_private.enrollment_token_json(token muster.enrollment_tokens) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object('id', token.id, 'tenant_id', token.tenant_id, 'name', token.name,
    'capabilities', token.capabilities, 'labels', token.labels, 'cidrs', token.cidrs, 'max_uses', token.max_uses,
    'use_count', token.use_count, 'ephemeral', token.ephemeral, 'created_at', muster_private.iso(token.created_at),
    'expires_at', muster_private.iso(token.expires_at), 'revoked_at', muster_private.iso(token.revoked_at));
end
$$;
comment on function muster_private.enrollment_token_json(muster.enrollment_tokens) is
  'An enrollment token as its callers see it, without its hash';

create function muster_private.read_cidrs(cidrs text[]) returns cidr[]
language plpgsql immutable set search_path = ''
as $$
declare
  v_text text;
  v_cidrs cidr[];
begin
  if read_cidrs.cidrs is null then
    return null;
  end if;
  if cardinality(read_cidrs.cidrs) = 0 then
    perform muster_private.fail('MU004', 'Cannot accept an empty list of address ranges: leave it out to allow any address');
  end if;
  if cardinality(read_cidrs.cidrs) > 100 then
    perform muster_private.fail('MU015', format('Cannot accept %s address ranges: at most 100 are allowed', cardinality(read_cidrs.cidrs)));
  end if;
  foreach v_text in array read_cidrs.cidrs loop
    if v_text is null then
      perform muster_private.fail('MU004', 'Cannot accept null as an address range');
    end if;
    v_cidrs := v_cidrs || v_text::cidr;
  end loop;
  return v_cidrs;
exception when invalid_text_representation then
  perform muster_private.fail('MU004', format('Cannot accept the address range "%s": it must be like 10.1.0.0/16 or 2001:db8::/32, with no bits beyond the prefix',
    left(v_text, 100)));
  return null;
end
$$;
comment on function muster_private.read_cidrs(text[]) is 'Texts as address ranges, or invalid_request naming the first that is none';

create function muster.issue_enrollment_token(
  caller jsonb, name text, token_hash text, capabilities text[] default null, labels jsonb default '{}',
  max_uses integer default 1, expires_at timestamptz default null, ephemeral boolean default false, cidrs text[] default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(issue_enrollment_token.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_token muster.enrollment_tokens;
begin
  perform muster_private.check_secret(issue_enrollment_token.name, issue_enrollment_token.token_hash);
  perform muster_private.check_capabilities(to_jsonb(issue_enrollment_token.capabilities), 100);
  perform muster_private.check_labels(issue_enrollment_token.labels);
  if issue_enrollment_token.max_uses < 1 then
    perform muster_private.fail('MU004', 'Cannot create an enrollment token: it must have at least one use');
  end if;
  -- No two count at once.
  perform from muster.tenants t where t.id = v_caller.tenant_id for no key update;
  if (
    select count(*) from muster.enrollment_tokens t
    where t.tenant_id = v_caller.tenant_id and t.revoked_at is null and (t.expires_at is null or t.expires_at > v_now)
      and (t.max_uses is null or t.use_count < t.max_uses)
  ) >= 1000 then
    perform muster_private.fail('MU015', 'Cannot create the enrollment token: the tenant has 1000 that can be used',
      'Revoke tokens that are not used');
  end if;
  insert into muster.enrollment_tokens (tenant_id, name, hash, capabilities, labels, cidrs, max_uses, expires_at, ephemeral)
  values (v_caller.tenant_id, issue_enrollment_token.name, issue_enrollment_token.token_hash,
    issue_enrollment_token.capabilities, coalesce(nullif(issue_enrollment_token.labels, 'null'), '{}'),
    muster_private.read_cidrs(issue_enrollment_token.cidrs), issue_enrollment_token.max_uses,
    issue_enrollment_token.expires_at, coalesce(issue_enrollment_token.ephemeral, false))
  on conflict do nothing returning * into v_token;
  if not found then
    perform muster_private.fail('MU008', 'Cannot create the enrollment token: it exists');
  end if;
  perform muster_private.audit(v_token.tenant_id, v_caller.actor, 'enrollment_token.created', v_token.id::text,
    jsonb_build_object('name', v_token.name));
  return muster_private.enrollment_token_json(v_token);
end
$$;
comment on function muster.issue_enrollment_token(jsonb, text, text, text[], jsonb, integer, timestamptz, boolean, text[]) is
  'Stores the hash of a new enrollment token with what it allows';

create function muster.create_enrollment_token(
  tenant_id uuid, name text, token_hash text, capabilities text[] default null, labels jsonb default '{}',
  max_uses integer default 1, expires_at timestamptz default null, ephemeral boolean default false, cidrs text[] default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  return muster.issue_enrollment_token(jsonb_build_object('kind', 'service', 'tenant_id', create_enrollment_token.tenant_id),
    create_enrollment_token.name, create_enrollment_token.token_hash, create_enrollment_token.capabilities,
    create_enrollment_token.labels, create_enrollment_token.max_uses, create_enrollment_token.expires_at,
    create_enrollment_token.ephemeral, create_enrollment_token.cidrs);
end
$$;
comment on function muster.create_enrollment_token(uuid, text, text, text[], jsonb, integer, timestamptz, boolean, text[]) is
  'issue_enrollment_token() for the project itself, which names the tenant';

create function muster.list_enrollment_tokens(
  caller jsonb, filters jsonb default '{}', page_size integer default 50, cursor text default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_enrollment_tokens.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_size constant integer := least(greatest(coalesce(list_enrollment_tokens.page_size, 50), 1), 200);
  v_before record;
begin
  select * into v_before from muster_private.read_cursor(list_enrollment_tokens.cursor);
  return muster_private.page_of('enrollment_tokens', (
    select coalesce(jsonb_agg(muster_private.enrollment_token_json(p) order by p.created_at desc, p.id desc), '[]')
    from (
      select t.* from muster.enrollment_tokens t
      where t.tenant_id = v_caller.tenant_id and (t.created_at, t.id) < (v_before.before_at, v_before.before_id)
        and (list_enrollment_tokens.filters -> 'usable' is distinct from 'true'
          or t.revoked_at is null and (t.expires_at is null or t.expires_at > v_now)
            and (t.max_uses is null or t.use_count < t.max_uses))
      order by t.created_at desc, t.id desc limit v_size + 1
    ) p), v_size);
end
$$;
comment on function muster.list_enrollment_tokens(jsonb, jsonb, integer, text) is
  'Enrollment tokens of the caller''s tenant, newest first, without their hashes';

create function muster.revoke_enrollment_token(caller jsonb, token_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(revoke_enrollment_token.caller, 'operate');
  v_token muster.enrollment_tokens;
begin
  select * into v_token from muster.enrollment_tokens t
  where t.id = revoke_enrollment_token.token_id and t.tenant_id = v_caller.tenant_id for no key update;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find enrollment token %s', revoke_enrollment_token.token_id));
  end if;
  if v_token.revoked_at is null then
    update muster.enrollment_tokens t set revoked_at = muster_private.now() where t.id = v_token.id returning * into v_token;
    perform muster_private.audit(v_token.tenant_id, v_caller.actor, 'enrollment_token.revoked', v_token.id::text,
      jsonb_build_object('name', v_token.name));
  end if;
  return muster_private.enrollment_token_json(v_token);
end
$$;
comment on function muster.revoke_enrollment_token(jsonb, uuid) is
  'From now on the token lets nobody in; the workers that it let in stay';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'issue_enrollment_token(jsonb, text, text, text[], jsonb, integer, timestamptz, boolean, text[])',
    'create_enrollment_token(uuid, text, text, text[], jsonb, integer, timestamptz, boolean, text[])',
    'list_enrollment_tokens(jsonb, jsonb, integer, text)', 'revoke_enrollment_token(jsonb, uuid)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
