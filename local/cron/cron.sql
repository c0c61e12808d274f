-- The SQL surface of pg_cron 1.6: tables, functions, row level security by user name. `runner.ts` carries the jobs out.

create schema if not exists cron;
create sequence if not exists cron.jobid_seq;
create sequence if not exists cron.runid_seq;

create table if not exists cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport integer not null default current_setting('port')::integer,
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);

create table if not exists cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);

alter table cron.job enable row level security;
alter table cron.job_run_details enable row level security;
drop policy if exists cron_job_policy on cron.job;
create policy cron_job_policy on cron.job using (username = current_user);
drop policy if exists cron_job_run_details_policy on cron.job_run_details;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

-- Whether pg_cron would take the schedule: '[1-59] seconds', five fields (with `$` for the last day of the month), or
-- one of the names. The ranges within the fields are checked by the runner.
create or replace function cron.is_schedule(schedule text) returns boolean language sql immutable as $$
  select trim(is_schedule.schedule) ~* '^([1-9]|[1-5][0-9])\s+seconds?$'
    or trim(is_schedule.schedule) ~* '^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$'
    or trim(is_schedule.schedule) ~* '^[-0-9*,/]+\s+[-0-9*,/]+\s+[-0-9*,/$]+\s+[-0-9a-z*,/]+\s+[-0-9a-z*,/]+$'
$$;

-- The user who called a function that runs as its owner: pg_cron takes the current user, which only C code sees there.
create or replace function cron.caller() returns text language sql stable as $$
  select case current_setting('role') when 'none' then session_user::text else current_setting('role') end
$$;

create or replace function cron.schedule_in_database(
  job_name text, schedule text, command text, database text, username text default null, active boolean default true
) returns bigint language plpgsql security definer set search_path = '' as $$
declare
  v_caller text := cron.caller();
  v_username text := coalesce(schedule_in_database.username, v_caller);
  v_jobid bigint;
begin
  if not cron.is_schedule(schedule_in_database.schedule) then
    raise exception 'invalid schedule: %', schedule_in_database.schedule
      using hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
  if not pg_catalog.pg_has_role(v_caller, v_username, 'member') then
    raise exception 'must be superuser to create a job for another role';
  end if;
  insert into cron.job as j (jobname, schedule, command, database, username, active)
  values (
    schedule_in_database.job_name, schedule_in_database.schedule, schedule_in_database.command,
    schedule_in_database.database, v_username, schedule_in_database.active
  )
  on conflict on constraint jobname_username_uniq do update
    set schedule = excluded.schedule, command = excluded.command, database = excluded.database,
        active = excluded.active
  returning j.jobid into v_jobid;
  return v_jobid;
end
$$;

create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql as $$
  select cron.schedule_in_database(job_name, schedule, command, current_database()::text)
$$;

create or replace function cron.schedule(schedule text, command text) returns bigint
language sql as $$
  select cron.schedule_in_database(null, schedule, command, current_database()::text)
$$;

create or replace function cron.unschedule(job_id bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  delete from cron.job j where j.jobid = unschedule.job_id and j.username = cron.caller();
  if not found then
    raise exception 'could not find valid entry for job ''%''', unschedule.job_id;
  end if;
  return true;
end
$$;

create or replace function cron.unschedule(job_name text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  delete from cron.job j where j.jobname = unschedule.job_name and j.username = cron.caller();
  if not found then
    raise exception 'could not find valid entry for job ''%''', unschedule.job_name;
  end if;
  return true;
end
$$;

create or replace function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void language plpgsql security definer set search_path = '' as $$
begin
  if alter_job.schedule is not null and not cron.is_schedule(alter_job.schedule) then
    raise exception 'invalid schedule: %', alter_job.schedule
      using hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
  if alter_job.username is not null and not pg_catalog.pg_has_role(cron.caller(), alter_job.username, 'member') then
    raise exception 'must be superuser to alter username';
  end if;
  update cron.job j
  set schedule = coalesce(alter_job.schedule, j.schedule),
      command = coalesce(alter_job.command, j.command),
      database = coalesce(alter_job.database, j.database),
      username = coalesce(alter_job.username, j.username),
      active = coalesce(alter_job.active, j.active)
  where j.jobid = alter_job.job_id and j.username = cron.caller();
  if not found then
    raise exception 'Job % does not exist or you don''t own it', alter_job.job_id;
  end if;
end
$$;

-- Lets the runner see a change at once instead of at its next look.
create or replace function cron.job_cache_invalidate() returns trigger language plpgsql as $$
begin
  notify muster_cron;
  return null;
end
$$;

create or replace trigger cron_job_cache_invalidate
  after insert or update or delete or truncate on cron.job
  for each statement execute function cron.job_cache_invalidate();

revoke execute on all functions in schema cron from public;
grant usage on schema cron to postgres with grant option;
grant execute on all functions in schema cron to postgres;
grant select on cron.job to postgres with grant option;
grant all on cron.job_run_details to postgres with grant option;
