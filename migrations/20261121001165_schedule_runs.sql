-- The runs of schedules. The row of a schedule, taken by skip locked, is what makes a run happen once: next_run_at moves
-- on in the transaction that submits. The idempotency key says the same of the job, and names the run.
create function muster_private.scheduled_item(schedule muster.schedules, run_at timestamptz, at timestamptz) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_key constant text := 'schedule:' || schedule.id || ':' || muster_private.iso(scheduled_item.run_at);
  -- The same for the same run, whoever reckons it.
  v_start constant timestamptz := scheduled_item.run_at + make_interval(
    secs => (hashtextextended(v_key, 0) & 2147483647) % (schedule.jitter_seconds + 1));
begin
  return jsonb_build_object('correlation_id', 'schedule:' || schedule.id) || schedule.job
    || jsonb_build_object('idempotency_key', v_key)
    || case when v_start > scheduled_item.at then jsonb_build_object('run_at', muster_private.iso(v_start)) else '{}' end;
end
$$;
comment on function muster_private.scheduled_item(muster.schedules, timestamptz, timestamptz) is
  'The job of one run of a schedule, as it is submitted';

-- Runs that are due and no more than a minute late are not missed: the tick is never on the second. Of missed ones
-- catch_up says which run: none, the last, or all, of more than a hundred the last hundred.
create function muster_private.due_runs(schedule muster.schedules, at timestamptz) returns timestamptz[]
language plpgsql stable set search_path = ''
as $$
declare
  v_cron constant muster_private.cron := muster_private.read_cron(schedule.cron);
  v_runs timestamptz[];
  v_run timestamptz;
begin
  v_run := muster_private.cron_run(v_cron, schedule.time_zone,
    least(due_runs.at, schedule.ends_at) + interval '1 microsecond', -1);
  -- Time zones change their rules: what was announced holds.
  v_runs := array[greatest(v_run, schedule.next_run_at)];
  while schedule.catch_up = 'all' and cardinality(v_runs) < 100 loop
    v_run := muster_private.cron_run(v_cron, schedule.time_zone, v_runs[1], -1);
    exit when v_run is null or v_run < schedule.next_run_at;
    v_runs := v_run || v_runs;
  end loop;
  if schedule.catch_up = 'none' and v_runs[1] < due_runs.at - interval '1 minute' then
    return array[]::timestamptz[];
  end if;
  return v_runs;
end
$$;
comment on function muster_private.due_runs(muster.schedules, timestamptz) is
  'Which runs of a schedule that is due are to be made, in order';

-- The row of the schedule is locked. A run that is refused, for a quota or for a secret that is gone, is noted and not
-- tried again: the next one comes.
create function muster_private.run_due_schedule(schedule muster.schedules, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_next constant timestamptz := muster_private.next_schedule_run(run_due_schedule.schedule, run_due_schedule.at);
  v_runs constant timestamptz[] := muster_private.due_runs(run_due_schedule.schedule, run_due_schedule.at);
  v_count integer := cardinality(v_runs);
  v_is_running constant boolean := exists (
    select from muster.jobs j where j.id = schedule.last_job_id and j.tenant_id = schedule.tenant_id
      and j.status not in ('succeeded', 'failed', 'cancelled'));
  v_job_ids uuid[];
  v_reason text := case when v_count = 0 then 'missed' when schedule.overlap = 'skip' and v_is_running then 'overlap' end;
  v_message text;
begin
  if v_reason is null then
    begin
      if schedule.overlap = 'replace' and v_is_running then
        perform muster.cancel_jobs(jsonb_build_object('kind', 'service', 'tenant_id', schedule.tenant_id), array[schedule.last_job_id],
          format('Replaced by the next run of schedule "%s"', schedule.name));
        perform muster_private.set_actor('{"kind": "system"}');
      end if;
      v_job_ids := (muster_private.store_jobs(schedule.tenant_id, schedule.executor_id, (
        select jsonb_agg(muster_private.scheduled_item(run_due_schedule.schedule, r, run_due_schedule.at) order by r)
        from unnest(v_runs) r), null, run_due_schedule.at)).job_ids;
    exception
      when lock_not_available or deadlock_detected or serialization_failure then
        raise;
      when others then
        v_reason := 'refused';
        v_message := case when sqlstate like 'MU%' then sqlerrm else 'The job could not be stored' end;
        if sqlstate not like 'MU%' then
          raise warning 'Schedule % of tenant % could not run: % (%)', schedule.id, schedule.tenant_id, sqlerrm, sqlstate;
        end if;
    end;
  end if;
  if v_reason is not null then
    v_count := 0;
  end if;
  update muster.schedules s
  set next_run_at = v_next, run_count = s.run_count + v_count,
    last_run_at = case when v_reason is null then v_runs[cardinality(v_runs)] else s.last_run_at end,
    last_job_id = coalesce(v_job_ids[cardinality(v_job_ids)], s.last_job_id),
    last_skip = case when v_reason is null then s.last_skip else jsonb_build_object(
      'run_at', muster_private.iso(coalesce(v_runs[cardinality(v_runs)], s.next_run_at)), 'reason', v_reason, 'message', v_message) end
  where s.id = schedule.id;
  return v_count;
end
$$;
comment on function muster_private.run_due_schedule(muster.schedules, timestamptz) is
  'Submits what a schedule owes and says when it is due again; answers how many jobs';

-- Those due the longest; when that is a window full, those of each tenant that has any, so that none waits for another's
-- flood. Hops from tenant to tenant only then.
create function muster_private.due_schedules(at timestamptz, most integer) returns uuid[]
language plpgsql stable set search_path = ''
as $$
declare
  v_window constant integer := 1000;
  v_ids uuid[] := array(
    select s.id from muster.schedules s where s.next_run_at <= due_schedules.at order by s.next_run_at limit v_window);
begin
  if cardinality(v_ids) = v_window then
    v_ids := array(
      with recursive hops as (
        (select s.tenant_id from muster.schedules s where s.next_run_at is not null order by s.tenant_id limit 1)
        union all
        select next.tenant_id from hops h
        cross join lateral (
          select s.tenant_id from muster.schedules s
          where s.next_run_at is not null and s.tenant_id > h.tenant_id order by s.tenant_id limit 1
        ) next
      )
      select due.id from hops h
      cross join lateral (
        select s.id from muster.schedules s
        where s.tenant_id = h.tenant_id and s.next_run_at <= due_schedules.at
        order by s.next_run_at limit due_schedules.most
      ) due);
  end if;
  return array(
    select d.id from (
      select s.id, s.next_run_at, row_number() over (partition by s.tenant_id order by s.next_run_at, s.id) as turn
      from muster.schedules s where s.id = any (v_ids)
    ) d
    order by d.turn, d.next_run_at, d.id
    limit due_schedules.most);
end
$$;
comment on function muster_private.due_schedules(timestamptz, integer) is 'Schedules to run now, tenants taking turns';

-- Submits as any caller does, and so before the tick has locked anything that others wait for. It waits a moment for them
-- where it must, and leaves to the next tick what it did not get.
create function muster_private.run_schedules(at timestamptz, out count integer, out tenant_ids uuid[])
language plpgsql set search_path = ''
as $$
declare
  v_most_schedules constant integer := 100;
  v_most_jobs constant integer := 500;
  v_lock_timeout constant text := current_setting('lock_timeout');
  v_due constant uuid[] := muster_private.due_schedules(run_schedules.at, v_most_schedules);
  v_busy uuid[] := array[]::uuid[];
  v_id uuid;
  v_schedule muster.schedules;
begin
  run_schedules.count := 0;
  if cardinality(v_due) = 0 then
    return;
  end if;
  perform set_config('lock_timeout', '250ms', true);
  foreach v_id in array v_due loop
    exit when run_schedules.count >= v_most_jobs or cardinality(v_busy) = 3;
    select * into v_schedule from muster.schedules s
    where s.id = v_id and s.next_run_at <= run_schedules.at and s.tenant_id <> all (v_busy)
    for no key update skip locked;
    continue when not found;
    begin
      run_schedules.count := run_schedules.count + muster_private.run_due_schedule(v_schedule, run_schedules.at);
      run_schedules.tenant_ids := run_schedules.tenant_ids || v_schedule.tenant_id;
    exception when lock_not_available or deadlock_detected or serialization_failure then
      v_busy := v_busy || v_schedule.tenant_id;
    end;
  end loop;
  perform set_config('lock_timeout', v_lock_timeout, true);
end
$$;
comment on function muster_private.run_schedules(timestamptz) is 'Submits the jobs of schedules that are due; answers how many, and whose';

create function muster.run_schedule(
  caller jsonb, schedule_id uuid, idempotency_key text default null, correlation_id text default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(run_schedule.caller, 'submit');
  v_schedule constant muster.schedules := muster_private.schedule_of_tenant(run_schedule.schedule_id, v_caller.tenant_id, true);
  v_now constant timestamptz := muster_private.now();
  v_stored record;
begin
  perform muster_private.check_text(jsonb_build_object('correlation_id', run_schedule.correlation_id), 'correlation_id', 255);
  select * into v_stored from muster_private.store_jobs(
    v_schedule.tenant_id, coalesce(v_caller.executor_id, v_schedule.executor_id),
    jsonb_build_array(v_schedule.job || jsonb_strip_nulls(jsonb_build_object('idempotency_key', run_schedule.idempotency_key))),
    coalesce(run_schedule.correlation_id, 'schedule:' || v_schedule.id), v_now);
  if v_stored.created[1] then
    update muster.schedules s set last_job_id = v_stored.job_ids[1], run_count = s.run_count + 1
    where s.id = v_schedule.id;
    perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'schedule.run', v_schedule.id::text,
      jsonb_build_object('name', v_schedule.name, 'job', v_stored.job_ids[1]));
    perform muster_private.assign_jobs(v_schedule.tenant_id, v_now);
  end if;
  return jsonb_build_object('created', v_stored.created[1],
    'job', muster_private.job_json(muster_private.job_of_tenant(v_stored.job_ids[1], v_schedule.tenant_id)));
end
$$;
comment on function muster.run_schedule(jsonb, uuid, text, text) is
  'Submits the job of a schedule now, whatever its times, pause and overlap; a known idempotency key answers its job';
revoke execute on function muster.run_schedule(jsonb, uuid, text, text) from public;
grant execute on function muster.run_schedule(jsonb, uuid, text, text) to service_role;

revoke execute on all functions in schema muster_private from public;
