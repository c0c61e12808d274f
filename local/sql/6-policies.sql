-- On the platform an extension lets `postgres` make, change and drop policies on the tables of Auth, Storage and Realtime,
-- which it does not own, and nothing else there. Here a policy statement of `postgres` borrows membership in their
-- owners, for as long as the statement runs: within its transaction, so that nobody else ever sees it.

create or replace function extensions.lend_membership() returns event_trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_caller constant text := case current_setting('role') when 'none' then session_user::text else current_setting('role') end;
begin
  if v_caller = 'postgres' then
    grant supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin to postgres;
  end if;
end
$$;

create or replace function extensions.end_membership() returns event_trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_caller constant text := case current_setting('role') when 'none' then session_user::text else current_setting('role') end;
begin
  if v_caller = 'postgres' then
    revoke supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin from postgres;
  end if;
end
$$;

drop event trigger if exists lend_membership;
create event trigger lend_membership on ddl_command_start
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY') execute function extensions.lend_membership();
drop event trigger if exists end_membership;
create event trigger end_membership on ddl_command_end
  when tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY') execute function extensions.end_membership();
