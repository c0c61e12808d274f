-- The roles that a Supabase project has before the first migration. Roles belong to the cluster, so a second database
-- finds them already there.

do $$
declare
  v_role text;
begin
  for v_role in
    select unnest(array[
      'postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'dashboard_user',
      'supabase_admin', 'supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin'
    ])
  loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I', v_role);
    end if;
  end loop;
end
$$;

-- Not a superuser: what works here for a migration works on the platform.
do $$
begin
  if current_user <> 'postgres' then
    alter role postgres with login nosuperuser createrole createdb bypassrls replication;
  end if;
  if current_user <> 'supabase_admin' then
    alter role supabase_admin with login superuser createrole createdb bypassrls replication;
  end if;
end
$$;

alter role anon with nologin;
alter role authenticated with nologin;
alter role service_role with nologin bypassrls;
alter role authenticator with login noinherit;
alter role supabase_auth_admin with login noinherit createrole;
alter role supabase_storage_admin with login noinherit createrole;
alter role supabase_realtime_admin with nologin noinherit;
alter role dashboard_user with nologin createrole createdb replication;

-- The password of who runs this. A server that asks for none needs none here either.
do $$
declare
  v_password text := current_setting('muster.database_password', true);
  v_role text;
begin
  for v_role in
    select rolname from pg_roles
    where rolname in ('postgres', 'supabase_admin', 'authenticator', 'supabase_auth_admin', 'supabase_storage_admin')
      and rolname <> current_user and v_password <> ''
  loop
    execute format('alter role %I password %L', v_role, v_password);
  end loop;
end
$$;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';

grant anon, authenticated, service_role to authenticator;
grant authenticator to supabase_storage_admin;
grant anon, authenticated, service_role, pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
-- Until Postgres 16 whoever may make roles may grant any; since then it takes the admin option.
do $$
begin
  if current_setting('server_version_num')::integer >= 160000 then
    grant anon, authenticated, service_role, authenticator, pg_monitor, pg_read_all_data, pg_signal_backend
      to postgres with admin option;
    grant pg_create_subscription to postgres;
  end if;
end
$$;

-- What belongs to the services is theirs: `postgres` is a member of none of them. What it may do there all the same is in
-- 6-policies.sql.
do $$
declare
  v_owner text;
begin
  foreach v_owner in array array['supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin'] loop
    if pg_has_role('postgres', v_owner, 'member') then
      execute format('revoke %I from postgres', v_owner);
    end if;
  end loop;
end
$$;
