-- What follows the creation of pg_cron on the platform: it belongs to the superuser, and `postgres` may use it, hand that
-- on, and not write its list of jobs.

create or replace function extensions.grant_pg_cron_access() returns event_trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_oid oid;
begin
  select e.oid into v_oid
  from pg_event_trigger_ddl_commands() c
  join pg_catalog.pg_extension e on e.oid = c.objid
  where c.classid = 'pg_catalog.pg_extension'::regclass and e.extname = 'pg_cron';
  if v_oid is null then
    return;
  end if;
  -- A trusted extension belongs to who created it; pg_cron writes its table as its owner.
  update pg_catalog.pg_extension e set extowner = 'supabase_admin'::regrole where e.oid = v_oid;
  delete from pg_catalog.pg_shdepend d
  where d.classid = 'pg_catalog.pg_extension'::regclass and d.objid = v_oid and d.deptype = 'o'
    and d.dbid = (select b.oid from pg_catalog.pg_database b where b.datname = current_database());
  grant usage on schema cron to postgres with grant option;
  grant all on all functions in schema cron to postgres with grant option;
  grant all on all tables in schema cron to postgres with grant option;
  revoke all on cron.job from postgres;
  revoke trigger on cron.job_run_details from postgres;
  grant select on cron.job to postgres with grant option;
end
$$;

drop event trigger if exists issue_pg_cron_access;
create event trigger issue_pg_cron_access on ddl_command_end
  when tag in ('CREATE EXTENSION') execute function extensions.grant_pg_cron_access();
