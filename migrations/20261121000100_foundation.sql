-- Schemas, roles, the clock and the few helpers everything else leans on.

create schema if not exists muster;
create schema if not exists muster_private;

comment on schema muster is 'Tables of the control plane and the functions its callers may use; exposed through the Data API';
comment on schema muster_private is 'Helpers of schema muster; never exposed';

-- Roles belong to the cluster, not to the database: another database of it may have made them already.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'muster_worker') then
    create role muster_worker nologin noinherit;
  end if;
  if not exists (select from pg_catalog.pg_roles where rolname = 'muster_client') then
    create role muster_client nologin noinherit;
  end if;
end
$$;

grant muster_worker, muster_client to authenticator;

grant usage on schema muster to authenticated, service_role, muster_worker, muster_client;

-- Tables are closed by row level security, which each of them has. The grant lets members read what their policies
-- allow, and lets `supabase db advisors` see a table on which somebody forgot it.
alter default privileges in schema muster grant select on tables to authenticated, service_role;
alter default privileges in schema muster revoke execute on functions from public;
alter default privileges in schema muster_private revoke execute on functions from public;

create function muster_private.now() returns timestamptz
language sql volatile set search_path = ''
as $$ select pg_catalog.clock_timestamp() $$;
comment on function muster_private.now() is 'The time everything here goes by; tests put a clock of their own in its place';

create function muster_private.fail(code text, message text, hint text default null) returns void
language plpgsql set search_path = ''
as $$
begin
  raise exception using errcode = fail.code, message = fail.message, hint = coalesce(fail.hint, '');
end
$$;
comment on function muster_private.fail(text, text, text) is 'Raises one of the errors listed in docs/errors.md';

create function muster_private.iso(at timestamptz) returns text
language sql immutable set search_path = ''
as $$ select pg_catalog.to_char(iso.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;
comment on function muster_private.iso(timestamptz) is 'An instant as ISO 8601 text in UTC, microseconds kept';

create function muster_private.to_uuid(value text, name text) returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  return to_uuid.value::uuid;
exception when invalid_text_representation then
  perform muster_private.fail('MU004', pg_catalog.format('Cannot read %s %L: it must be a UUID', to_uuid.name, to_uuid.value));
  return null;
end
$$;
comment on function muster_private.to_uuid(text, text) is 'Text as a uuid, or invalid_request naming the field';

revoke execute on all functions in schema muster_private from public;
