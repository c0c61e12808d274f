-- Schedules: jobs that are submitted again and again, when a cron expression says so. The tick runs what is due.

create table muster.schedules (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  cron text not null,
  time_zone text not null,
  job jsonb not null,
  executor_id uuid,
  overlap text not null,
  catch_up text not null,
  jitter_seconds integer not null,
  starts_at timestamptz,
  ends_at timestamptz,
  paused_at timestamptz,
  next_run_at timestamptz,
  last_run_at timestamptz,
  last_job_id uuid,
  run_count bigint not null default 0,
  last_skip jsonb,
  created_by jsonb not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (tenant_id, name),
  foreign key (tenant_id, executor_id) references muster.executors (tenant_id, id),
  constraint names_are_short check (length(name) between 1 and 100),
  constraint overlaps_are_known check (overlap in ('allow', 'skip', 'replace')),
  constraint catch_ups_are_known check (catch_up in ('none', 'last', 'all')),
  constraint all_missed_runs_may_overlap check (catch_up <> 'all' or overlap = 'allow'),
  constraint jitter_is_an_hour_at_most check (jitter_seconds between 0 and 3600),
  constraint schedules_end_after_they_start check (ends_at > starts_at),
  constraint paused_schedules_do_not_run check (paused_at is null or next_run_at is null)
);
comment on table muster.schedules is
  'What submits a job whenever its cron expression says so; job is the submission, next_run_at null for who runs no more';
comment on column muster.schedules.last_job_id is 'The job of the last run, by time or by hand; kept when the job itself is gone';
comment on column muster.schedules.last_skip is 'The last run that made no job, why, and in what words that was refused';
create index schedules_due_idx on muster.schedules (next_run_at) where next_run_at is not null;
create index schedules_due_of_tenant_idx on muster.schedules (tenant_id, next_run_at) where next_run_at is not null;
create index schedules_newest_idx on muster.schedules (tenant_id, created_at desc, id desc);
create index schedules_of_executor_idx on muster.schedules (tenant_id, executor_id) where executor_id is not null;

create function muster_private.schedule_json(schedule muster.schedules) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object('id', schedule.id, 'tenant_id', schedule.tenant_id, 'name', schedule.name, 'cron', schedule.cron,
    'time_zone', schedule.time_zone, 'job', schedule.job, 'executor_id', schedule.executor_id, 'overlap', schedule.overlap,
    'catch_up', schedule.catch_up, 'jitter_seconds', schedule.jitter_seconds,
    'starts_at', muster_private.iso(schedule.starts_at), 'ends_at', muster_private.iso(schedule.ends_at),
    'paused_at', muster_private.iso(schedule.paused_at), 'next_run_at', muster_private.iso(schedule.next_run_at),
    'last_run_at', muster_private.iso(schedule.last_run_at), 'last_job_id', schedule.last_job_id,
    'run_count', schedule.run_count, 'last_skip', schedule.last_skip, 'created_by', schedule.created_by,
    'created_at', muster_private.iso(schedule.created_at), 'updated_at', muster_private.iso(schedule.updated_at));
end
$$;
comment on function muster_private.schedule_json(muster.schedules) is 'A schedule as its callers see it';

create function muster_private.schedule_of_tenant(schedule_id uuid, tenant_id uuid, is_locked boolean default false)
returns muster.schedules
language plpgsql set search_path = ''
as $$
declare
  v_schedule muster.schedules;
begin
  if schedule_of_tenant.is_locked then
    select * into v_schedule from muster.schedules s
    where s.id = schedule_of_tenant.schedule_id and s.tenant_id = schedule_of_tenant.tenant_id for no key update;
  else
    select * into v_schedule from muster.schedules s
    where s.id = schedule_of_tenant.schedule_id and s.tenant_id = schedule_of_tenant.tenant_id;
  end if;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find schedule %s', schedule_of_tenant.schedule_id));
  end if;
  return v_schedule;
end
$$;
comment on function muster_private.schedule_of_tenant(uuid, uuid, boolean) is
  'A schedule of the tenant, locked if wanted, or not_found: other tenants'' schedules do not exist';

create function muster_private.next_schedule_run(schedule muster.schedules, after timestamptz) returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_next constant timestamptz := muster_private.cron_run(muster_private.read_cron(schedule.cron), schedule.time_zone,
    greatest(next_schedule_run.after, schedule.starts_at - interval '1 microsecond'), 1);
begin
  return case when v_next > schedule.ends_at then null else v_next end;
end
$$;
comment on function muster_private.next_schedule_run(muster.schedules, timestamptz) is
  'When a schedule that is not paused runs next after an instant, or null';

-- Those that say when to submit or which job it is belong to a run, not to what all runs have in common.
create function muster_private.check_schedule(tenant_id uuid, item jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
  v_item constant jsonb := check_schedule.item;
  v_name text;
begin
  perform muster_private.check_text(v_item, 'name', 100);
  if jsonb_typeof(v_item -> 'name') is distinct from 'string' then
    perform muster_private.fail('MU004', 'Cannot accept the schedule: it needs a name');
  end if;
  if jsonb_typeof(v_item -> 'cron') is distinct from 'string' then
    perform muster_private.fail('MU004', 'Cannot accept the schedule: it needs a cron expression');
  end if;
  perform muster_private.read_cron(v_item ->> 'cron');
  perform muster_private.check_time_zone(v_item ->> 'time_zone');
  if coalesce(v_item ->> 'overlap' in ('allow', 'skip', 'replace'), false) is false then
    perform muster_private.fail('MU004', 'Cannot accept overlap: it must be allow, skip or replace');
  end if;
  if coalesce(v_item ->> 'catch_up' in ('none', 'last', 'all'), false) is false then
    perform muster_private.fail('MU004', 'Cannot accept catch_up: it must be none, last or all');
  end if;
  if v_item ->> 'catch_up' = 'all' and v_item ->> 'overlap' <> 'allow' then
    perform muster_private.fail('MU004', 'Cannot accept catch_up all with this overlap: all missed runs come at once',
      'Use overlap allow, or catch_up last');
  end if;
  perform muster_private.check_number(v_item, 'jitter_seconds', 0, 3600);
  foreach v_name in array array['starts_at', 'ends_at'] loop
    if not isfinite((v_item ->> v_name)::timestamptz) then
      perform muster_private.fail('MU004', format('Cannot accept %s: it must be an instant', v_name));
    end if;
  end loop;
  if (v_item ->> 'ends_at')::timestamptz <= (v_item ->> 'starts_at')::timestamptz then
    perform muster_private.fail('MU004', 'Cannot accept the schedule: it would end before it starts');
  end if;
  if jsonb_typeof(v_item -> 'job') is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot accept the schedule: it needs a job');
  end if;
  foreach v_name in array array['run_at', 'start_by', 'idempotency_key', 'after', 'parent_id'] loop
    if v_item -> 'job' ? v_name then
      perform muster_private.fail('MU004', format('Cannot accept %s in the job of a schedule: each run has its own', v_name));
    end if;
  end loop;
  perform muster_private.check_job(v_item -> 'job', 0, muster_private.now());
  perform muster_private.check_inputs(check_schedule.tenant_id, jsonb_build_array(v_item -> 'job'));
  perform muster_private.check_job_secrets(check_schedule.tenant_id, jsonb_build_array(v_item -> 'job' || '{"index": 1}'));
end
$$;
comment on function muster_private.check_schedule(uuid, jsonb) is
  'Refuses a schedule that could not run; its job is held against all that a submission is';

-- Whoever makes one settles what is submitted long after: it takes the powers to operate and to submit (decision 0025).
create function muster_private.resolve_scheduler(caller jsonb) returns muster_private.caller
language plpgsql set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(resolve_scheduler.caller, 'operate');
begin
  if 'submit' <> all (v_caller.powers) then
    perform muster_private.fail('MU002', 'Cannot submit with this key or role', 'Use a key with the scopes submit and operate');
  end if;
  return v_caller;
end
$$;
comment on function muster_private.resolve_scheduler(jsonb) is 'Who is calling; raises unless that caller may both operate and submit';

create function muster_private.store_schedule(schedule muster.schedules, item jsonb, at timestamptz) returns muster.schedules
language plpgsql set search_path = ''
as $$
declare
  v_old constant muster.schedules := store_schedule.schedule;
  v_new muster.schedules := store_schedule.schedule;
begin
  perform muster_private.check_schedule(v_new.tenant_id, store_schedule.item);
  v_new.name := store_schedule.item ->> 'name';
  v_new.cron := btrim(store_schedule.item ->> 'cron', E' \t');
  v_new.time_zone := store_schedule.item ->> 'time_zone';
  v_new.job := store_schedule.item -> 'job';
  v_new.overlap := store_schedule.item ->> 'overlap';
  v_new.catch_up := store_schedule.item ->> 'catch_up';
  v_new.jitter_seconds := (store_schedule.item ->> 'jitter_seconds')::integer;
  v_new.starts_at := (store_schedule.item ->> 'starts_at')::timestamptz;
  v_new.ends_at := (store_schedule.item ->> 'ends_at')::timestamptz;
  v_new.updated_at := store_schedule.at;
  if v_new.paused_at is null
    and (v_old.cron, v_old.time_zone, v_old.starts_at, v_old.ends_at) is distinct from (v_new.cron, v_new.time_zone, v_new.starts_at, v_new.ends_at)
  then
    v_new.next_run_at := muster_private.next_schedule_run(v_new, store_schedule.at);
    if v_new.next_run_at is null then
      perform muster_private.fail('MU004', format('Cannot accept the schedule: "%s" has no run to come', left(v_new.cron, 200)),
        'Is there such a day, before the schedule ends?');
    end if;
  end if;
  if exists (
    select from muster.schedules s where s.tenant_id = v_new.tenant_id and s.name = v_new.name and s.id <> v_new.id) then
    perform muster_private.fail('MU008', format('Cannot accept the schedule: there is another named "%s"', v_new.name));
  end if;
  insert into muster.schedules select (v_new).*
  on conflict (id) do update
  set name = v_new.name, cron = v_new.cron, time_zone = v_new.time_zone, job = v_new.job, overlap = v_new.overlap,
    catch_up = v_new.catch_up, jitter_seconds = v_new.jitter_seconds, starts_at = v_new.starts_at, ends_at = v_new.ends_at,
    next_run_at = v_new.next_run_at, updated_at = v_new.updated_at;
  return v_new;
end
$$;
comment on function muster_private.store_schedule(muster.schedules, jsonb, timestamptz) is
  'Stores a new schedule, or the changes of one whose row is locked; the tenant''s row keeps names apart';

create function muster.create_schedule(caller jsonb, schedule jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_scheduler(create_schedule.caller);
  v_now constant timestamptz := muster_private.now();
  v_schedule muster.schedules;
begin
  if jsonb_typeof(create_schedule.schedule) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot create a schedule: it must be an object');
  end if;
  -- No two count at once, or take the same name.
  perform from muster.tenants t where t.id = v_caller.tenant_id for no key update;
  if (select count(*) from muster.schedules s where s.tenant_id = v_caller.tenant_id) >= 1000 then
    perform muster_private.fail('MU015', 'Cannot create the schedule: the tenant has 1000', 'Delete schedules that are not used');
  end if;
  v_schedule.id := gen_random_uuid();
  v_schedule.tenant_id := v_caller.tenant_id;
  v_schedule.executor_id := v_caller.executor_id;
  v_schedule.run_count := 0;
  v_schedule.created_by := v_caller.actor;
  v_schedule.created_at := v_now;
  v_schedule := muster_private.store_schedule(v_schedule,
    '{"time_zone": "UTC", "overlap": "allow", "catch_up": "last", "jitter_seconds": 0}' || create_schedule.schedule, v_now);
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'schedule.created', v_schedule.id::text,
    jsonb_build_object('name', v_schedule.name, 'cron', v_schedule.cron, 'type', v_schedule.job -> 'type'));
  return muster_private.schedule_json(v_schedule);
end
$$;
comment on function muster.create_schedule(jsonb, jsonb) is 'Makes a schedule; its first run is the next one from now on';

create function muster.change_schedule(caller jsonb, schedule_id uuid, changes jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_scheduler(change_schedule.caller);
  v_names constant text[] := array[
    'name', 'cron', 'time_zone', 'job', 'overlap', 'catch_up', 'jitter_seconds', 'starts_at', 'ends_at'];
  v_schedule muster.schedules;
  v_unknown text;
begin
  if jsonb_typeof(change_schedule.changes) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot change a schedule: the changes must be an object');
  end if;
  select k into v_unknown from jsonb_object_keys(change_schedule.changes) k where k <> all (v_names) limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot change %s of a schedule', left(v_unknown, 100)));
  end if;
  perform from muster.tenants t where t.id = v_caller.tenant_id for no key update;
  v_schedule := muster_private.schedule_of_tenant(change_schedule.schedule_id, v_caller.tenant_id, true);
  v_schedule := muster_private.store_schedule(v_schedule, muster_private.schedule_json(v_schedule) || change_schedule.changes,
    muster_private.now());
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'schedule.changed', v_schedule.id::text,
    jsonb_build_object('name', v_schedule.name, 'changed', array(select jsonb_object_keys(change_schedule.changes))));
  return muster_private.schedule_json(v_schedule);
end
$$;
comment on function muster.change_schedule(jsonb, uuid, jsonb) is
  'Changes what is named of a schedule; when it runs next is reckoned anew where that depends on it';

create function muster.pause_schedule(caller jsonb, schedule_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(pause_schedule.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_schedule muster.schedules := muster_private.schedule_of_tenant(pause_schedule.schedule_id, v_caller.tenant_id, true);
begin
  if v_schedule.paused_at is null then
    update muster.schedules s set paused_at = v_now, next_run_at = null, updated_at = v_now
    where s.id = v_schedule.id returning * into v_schedule;
    perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'schedule.paused', v_schedule.id::text,
      jsonb_build_object('name', v_schedule.name));
  end if;
  return muster_private.schedule_json(v_schedule);
end
$$;
comment on function muster.pause_schedule(jsonb, uuid) is 'Lets a schedule run no more until it is resumed';

create function muster.resume_schedule(caller jsonb, schedule_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_scheduler(resume_schedule.caller);
  v_now constant timestamptz := muster_private.now();
  v_schedule muster.schedules := muster_private.schedule_of_tenant(resume_schedule.schedule_id, v_caller.tenant_id, true);
begin
  if v_schedule.paused_at is not null then
    update muster.schedules s
    set paused_at = null, next_run_at = muster_private.next_schedule_run(v_schedule, v_now), updated_at = v_now
    where s.id = v_schedule.id returning * into v_schedule;
    perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'schedule.resumed', v_schedule.id::text,
      jsonb_build_object('name', v_schedule.name));
  end if;
  return muster_private.schedule_json(v_schedule);
end
$$;
comment on function muster.resume_schedule(jsonb, uuid) is 'Lets a paused schedule run again; the runs of the pause are not made up for';

create function muster.delete_schedule(caller jsonb, schedule_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(delete_schedule.caller, 'operate');
  v_schedule constant muster.schedules := muster_private.schedule_of_tenant(delete_schedule.schedule_id, v_caller.tenant_id, true);
begin
  delete from muster.schedules s where s.id = v_schedule.id;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'schedule.deleted', v_schedule.id::text,
    jsonb_build_object('name', v_schedule.name));
  return muster_private.schedule_json(v_schedule);
end
$$;
comment on function muster.delete_schedule(jsonb, uuid) is 'Forgets a schedule; the jobs of its runs stay';

create function muster.get_schedule(caller jsonb, schedule_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(get_schedule.caller, 'read');
  v_schedule constant muster.schedules := muster_private.schedule_of_tenant(get_schedule.schedule_id, v_caller.tenant_id);
  v_runs timestamptz[] := array_remove(array[v_schedule.next_run_at], null);
  v_next timestamptz := v_schedule.next_run_at;
begin
  while cardinality(v_runs) between 1 and 4 loop
    v_next := muster_private.next_schedule_run(v_schedule, v_next);
    exit when v_next is null;
    v_runs := v_runs || v_next;
  end loop;
  return muster_private.schedule_json(v_schedule)
    || jsonb_build_object('next_runs', array(select muster_private.iso(r) from unnest(v_runs) r));
end
$$;
comment on function muster.get_schedule(jsonb, uuid) is 'A schedule, and its next five runs';

create function muster.list_schedules(caller jsonb, name text default null, page_size integer default 50, cursor text default null)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_schedules.caller, 'read');
  v_size constant integer := least(greatest(coalesce(list_schedules.page_size, 50), 1), 200);
  v_before record;
begin
  select * into v_before from muster_private.read_cursor(list_schedules.cursor);
  return muster_private.page_of('schedules', (
    select coalesce(jsonb_agg(muster_private.schedule_json(p) #- '{job,payload}' order by p.created_at desc, p.id desc), '[]')
    from (
      select s.* from muster.schedules s
      where s.tenant_id = v_caller.tenant_id and (s.created_at, s.id) < (v_before.before_at, v_before.before_id)
        and (list_schedules.name is null or s.name = list_schedules.name)
      order by s.created_at desc, s.id desc
      limit v_size + 1
    ) p), v_size);
end
$$;
comment on function muster.list_schedules(jsonb, text, integer, text) is
  'Schedules of the tenant, newest first, without the payloads of their jobs; at most 200 a page';

create function muster.preview_schedule(
  caller jsonb, cron text, time_zone text default 'UTC', count integer default 5, after timestamptz default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_cron muster_private.cron;
  v_next timestamptz := coalesce(preview_schedule.after, muster_private.now());
  v_runs jsonb := '[]'::jsonb;
begin
  perform muster_private.resolve_caller(preview_schedule.caller, 'read');
  v_cron := muster_private.read_cron(preview_schedule.cron);
  perform muster_private.check_time_zone(preview_schedule.time_zone);
  if preview_schedule.count not between 1 and 100 then
    perform muster_private.fail('MU004', 'Cannot show so many runs: 1 to 100 may be asked for');
  end if;
  if not isfinite(v_next) then
    perform muster_private.fail('MU004', 'Cannot show runs after that: it must be an instant');
  end if;
  for i in 1..coalesce(preview_schedule.count, 5) loop
    v_next := muster_private.cron_run(v_cron, preview_schedule.time_zone, v_next, 1);
    exit when v_next is null;
    v_runs := v_runs || to_jsonb(muster_private.iso(v_next));
  end loop;
  return jsonb_build_object('runs', v_runs);
end
$$;
comment on function muster.preview_schedule(jsonb, text, text, integer, timestamptz) is
  'When a cron expression runs next in a time zone, up to 100 times';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'create_schedule(jsonb, jsonb)', 'change_schedule(jsonb, uuid, jsonb)', 'pause_schedule(jsonb, uuid)',
    'resume_schedule(jsonb, uuid)', 'delete_schedule(jsonb, uuid)', 'get_schedule(jsonb, uuid)',
    'list_schedules(jsonb, text, integer, text)', 'preview_schedule(jsonb, text, text, integer, timestamptz)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
