-- Hands what is in Auth's and Storage's schemas, which `@supabase/lite` describes, to the roles that own it on the
-- platform, and gives `postgres` what it has there: use of all, ownership of nothing.

do $$
declare
  v_object record;
begin
  for v_object in
    select n.nspname as schema, format('table %I.%I', n.nspname, c.relname) as name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('auth', 'storage') and c.relkind in ('r', 'v')
    union all
    select n.nspname, format('routine %s', p.oid::regprocedure)
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname in ('auth', 'storage')
  loop
    execute format(
      'alter %s owner to %I',
      v_object.name, case v_object.schema when 'auth' then 'supabase_auth_admin' else 'supabase_storage_admin' end
    );
  end loop;
end
$$;

grant usage on schema auth to anon, authenticated, service_role, postgres;
grant all on schema auth to supabase_auth_admin, dashboard_user;
grant all on all tables in schema auth to postgres, dashboard_user;
grant execute on all functions in schema auth to public;

grant usage on schema storage to anon, authenticated, service_role;
grant usage on schema storage to postgres with grant option;
grant all on schema storage to supabase_storage_admin, dashboard_user;
grant all on all tables in schema storage to anon, authenticated, service_role, dashboard_user;
grant all on all tables in schema storage to postgres with grant option;
grant execute on all functions in schema storage to public;
