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
language plpgsql volatile set search_path = ''
as $$
begin
  return pg_catalog.clock_timestamp();
end
$$;
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
language plpgsql immutable strict set search_path = ''
as $$
begin
  return pg_catalog.to_char(iso.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
end
$$;
comment on function muster_private.iso(timestamptz) is 'An instant as ISO 8601 text in UTC, microseconds kept';

create function muster_private.to_uuid(value text, name text) returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  -- What looks right needs no block that catches errors, which costs more than all the rest.
  if to_uuid.value is null or to_uuid.value ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then
    return to_uuid.value::uuid;
  end if;
  begin
    return to_uuid.value::uuid;
  exception when invalid_text_representation then
    perform muster_private.fail('MU004', pg_catalog.format('Cannot read %s %L: it must be a UUID', to_uuid.name, pg_catalog.left(to_uuid.value, 100)));
    return null;
  end;
end
$$;
comment on function muster_private.to_uuid(text, text) is 'Text as a uuid, or invalid_request naming the field';

-- The checks below hold for everybody who gets past the Edge Functions: workers, and who has the secret key. The bounds
-- are those of shared/contracts/limits.ts.

create function muster_private.check_number(item jsonb, name text, lowest numeric, highest numeric) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_value constant jsonb := check_number.item -> check_number.name;
begin
  if v_value is null or v_value = 'null' then
    return;
  end if;
  if jsonb_typeof(v_value) <> 'number' or (v_value #>> '{}')::numeric not between check_number.lowest and check_number.highest then
    perform muster_private.fail('MU004', format('Cannot accept %s %s: it must be a number from %s to %s',
      check_number.name, left(v_value::text, 100), check_number.lowest, check_number.highest));
  end if;
end
$$;
comment on function muster_private.check_number(jsonb, text, numeric, numeric) is 'Refuses a field that is there and not a number in the range';

create function muster_private.check_text(item jsonb, name text, most integer) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_value constant jsonb := check_text.item -> check_text.name;
begin
  if v_value is null or v_value = 'null' then
    return;
  end if;
  if jsonb_typeof(v_value) <> 'string' or length(v_value #>> '{}') not between 1 and check_text.most then
    perform muster_private.fail('MU004', format('Cannot accept %s %s: it must be a text of 1 to %s characters',
      check_text.name, left(v_value::text, 100), check_text.most));
  end if;
end
$$;
comment on function muster_private.check_text(jsonb, text, integer) is 'Refuses a field that is there and not a text of that length';

create function muster_private.check_capabilities(names jsonb, most integer) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_bad jsonb;
begin
  if check_capabilities.names is null or check_capabilities.names = 'null' then
    return;
  end if;
  if jsonb_typeof(check_capabilities.names) <> 'array' then
    perform muster_private.fail('MU004', 'Cannot accept capabilities: they must be an array of names');
  end if;
  if jsonb_array_length(check_capabilities.names) > check_capabilities.most then
    perform muster_private.fail('MU015', format('Cannot accept %s capabilities: at most %s are allowed',
      jsonb_array_length(check_capabilities.names), check_capabilities.most));
  end if;
  select n into v_bad from jsonb_array_elements(check_capabilities.names) n
  where jsonb_typeof(n) <> 'string' or n #>> '{}' !~ '^[a-z0-9][a-z0-9._/-]{0,99}$' limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot accept capability %s: use 1 to 100 of a-z 0-9 . _ / -', left(v_bad::text, 100)));
  end if;
end
$$;
comment on function muster_private.check_capabilities(jsonb, integer) is 'Refuses what is there and not an array of so many capability names';

create function muster_private.check_labels(labels jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if check_labels.labels is null or check_labels.labels = 'null' then
    return;
  end if;
  if jsonb_typeof(check_labels.labels) <> 'object' then
    perform muster_private.fail('MU004', 'Cannot accept labels: they must be an object of texts');
  end if;
  if (select count(*) from jsonb_object_keys(check_labels.labels)) > 50 then
    perform muster_private.fail('MU015', 'Cannot accept more than 50 labels');
  end if;
  if exists (
    select from jsonb_each(check_labels.labels) l
    where length(l.key) not between 1 and 63 or jsonb_typeof(l.value) <> 'string' or length(l.value #>> '{}') > 255
  ) then
    perform muster_private.fail('MU004', 'Cannot accept labels: keys have 1 to 63 characters, values are texts of at most 255');
  end if;
end
$$;
comment on function muster_private.check_labels(jsonb) is 'Refuses what is there and not at most 50 labels';

-- By its size in memory, which costs nothing to know; as text it is about as long.
create function muster_private.check_size(value jsonb, name text, most integer) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if pg_column_size(check_size.value) > check_size.most then
    perform muster_private.fail('MU005', format('Cannot read %s: it is over the limit of %s KiB', check_size.name, check_size.most / 1024));
  end if;
end
$$;
comment on function muster_private.check_size(jsonb, text, integer) is 'Refuses a value that takes more bytes than it may';

-- A reader's parser may go by recursion. What is short cannot be nested that deep.
create function muster_private.is_too_deep(value jsonb) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return coalesce(pg_column_size(is_too_deep.value) > 200
    and jsonb_path_exists(is_too_deep.value, 'strict $.**{101}'), false);
end
$$;
comment on function muster_private.is_too_deep(jsonb) is 'Whether a value is nested deeper than 100 levels';

create function muster_private.check_attempts(items jsonb, name text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if jsonb_typeof(check_attempts.items) is distinct from 'array' or jsonb_array_length(check_attempts.items) > 256 then
    perform muster_private.fail('MU004', format('Cannot read %s: it must be an array of at most 256 attempts', check_attempts.name));
  end if;
  perform muster_private.check_size(check_attempts.items, check_attempts.name, 65536);
end
$$;
comment on function muster_private.check_attempts(jsonb, text) is 'Refuses what is not a list of as many attempts as a worker can run';

revoke execute on all functions in schema muster_private from public;
