-- Hands the tables of Auth and Storage, which `@supabase/lite` describes, to the roles that own them on the platform.

do $$
declare
  v_relation record;
begin
  for v_relation in
    select n.nspname, c.relname, c.relkind
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('auth', 'storage') and c.relkind in ('r', 'v')
  loop
    execute format(
      'alter table %I.%I owner to %I',
      v_relation.nspname, v_relation.relname,
      case v_relation.nspname when 'auth' then 'supabase_auth_admin' else 'supabase_storage_admin' end
    );
  end loop;
end
$$;

grant usage on schema auth to anon, authenticated, service_role, postgres, dashboard_user;
grant all on schema auth to supabase_auth_admin, dashboard_user;
grant all on all tables in schema auth to postgres, dashboard_user;
grant execute on all functions in schema auth to public;

grant usage on schema storage to anon, authenticated, service_role, postgres, dashboard_user;
grant all on schema storage to supabase_storage_admin, dashboard_user;
grant all on all tables in schema storage to anon, authenticated, service_role, postgres, dashboard_user;
grant execute on all functions in schema storage to public;
