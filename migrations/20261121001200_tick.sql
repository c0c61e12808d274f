-- The periodic sweep. Idempotent, one at a time, and it waits for nobody's rows: what is locked now is left to the next
-- tick. The tenant locks come last.

-- As many a tick as hold some thousand jobs: a tick that takes long keeps workers waiting that look for their next job.
create function muster_private.expire_leases(at timestamptz, out count integer, out tenant_ids uuid[])
language plpgsql set search_path = ''
as $$
declare
  v_most_workers constant integer := 1000;
  v_most_jobs constant integer := 4000;
  v_ids uuid[];
begin
  select array_agg(l.id), count(*), array_agg(distinct l.tenant_id)
  into v_ids, expire_leases.count, expire_leases.tenant_ids
  from (
    select w.id, w.tenant_id from muster.worker_devices w
    join muster.worker_heartbeats h on h.worker_id = w.id
    where w.status in ('online', 'draining') and h.deadline_at < expire_leases.at
      and w.id in (
        select c.id from (
          select o.id, o.held_count, sum(o.held_count) over (order by b.deadline_at, o.id) as job_count
          from muster.worker_heartbeats b
          join muster.worker_devices o on o.id = b.worker_id
          where b.deadline_at < expire_leases.at and o.status in ('online', 'draining')
          order by b.deadline_at, o.id
          limit v_most_workers
        ) c
        where c.job_count - c.held_count < v_most_jobs)
    order by w.id
    for no key update of w, h skip locked
  ) l;
  if v_ids is not null then
    -- All at once, rather than worker by worker in the trigger, which finds nothing left to do.
    perform muster_private.lose_jobs(v_ids, 'offline', expire_leases.at);
    update muster.worker_devices w
    set status = 'offline', listening = false, deaf = false, updated_at = expire_leases.at,
      forget_at = case when w.ephemeral then expire_leases.at + muster_private.timing('ephemeral_silence') end
    where w.id = any (v_ids);
  end if;
  -- Who is gone needs no deadline any more, and the next tick shall not find it again.
  update muster.worker_heartbeats h set deadline_at = 'infinity'
  from (
    select b.worker_id from muster.worker_heartbeats b
    join muster.worker_devices w on w.id = b.worker_id
    where b.deadline_at < expire_leases.at and w.status in ('offline', 'revoked')
    for no key update of w, b skip locked
  ) gone
  where h.worker_id = gone.worker_id;
end
$$;
comment on function muster_private.expire_leases(timestamptz) is
  'Turns workers offline that were silent past their deadline, and requeues their jobs';

-- A first late tick after ticks in time: the database itself was away, and so were all who could have beaten. They get
-- time to come back, or a restart would cost every running job an attempt. Where pg_cron has stopped, every tick is late,
-- and only the first excuses anybody.
create function muster_private.excuse_silence(at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_tenant_ids uuid[];
begin
  if exists (
    select from muster_private.scheduler_state s
    where not s.was_late and s.last_tick_at < excuse_silence.at - muster_private.timing('tick_late'))
  then
    with excused as (
      update muster.worker_heartbeats h set deadline_at = excuse_silence.at + muster_private.timing('tick_late')
      from (
        -- The worker's row as well: who holds that may go on to wait for the tenant lock, which the tick takes last.
        select b.worker_id from muster.worker_heartbeats b
        join muster.worker_devices w on w.id = b.worker_id
        where b.deadline_at < excuse_silence.at + muster_private.timing('tick_late')
          and w.status in ('online', 'draining')
        order by b.worker_id
        for no key update of w, b skip locked
      ) silent
      where h.worker_id = silent.worker_id
      returning h.tenant_id
    )
    select array_agg(distinct e.tenant_id) into v_tenant_ids from excused e;
  end if;
  return v_tenant_ids;
end
$$;
comment on function muster_private.excuse_silence(timestamptz) is
  'After an outage of the database: gives workers 10 s to be heard again before they count as lost; answers their tenants';

create function muster_private.expire_attempts(at timestamptz, out count integer, out tenant_ids uuid[])
language plpgsql set search_path = ''
as $$
declare
  v_workers uuid[];
  v_endings muster_private.attempt_ending[];
  v_unheard uuid[];
  v_stop record;
begin
  select array_agg(l.id) into v_workers from (
    select w.id from muster.worker_devices w
    where w.id in (
      (
        select h.worker_id from muster_private.held_jobs h
        where h.deadline_at < expire_attempts.at order by h.deadline_at limit 500
      )
      union all
      (
        select h.worker_id from muster_private.job_deadlines d
        join muster_private.held_jobs h on h.job_id = d.job_id
        where d.at < expire_attempts.at order by d.at limit 500
      ))
    order by w.id
    for no key update skip locked
  ) l;
  count := 0;
  if v_workers is null then
    return;
  end if;
  for v_stop in
    select o.worker_id,
      array_agg(row (o.id, case when o.is_expired then 'expired' when o.status = 'assigned' then 'released' else 'timed_out' end, null,
        case when o.is_expired then muster_private.expired_error(o.expires_at, expire_attempts.at)
          when o.status = 'running' then jsonb_build_object('code', 'attempt_timeout', 'message',
            format('Attempt %s did not finish within %s seconds', o.attempts, extract(epoch from o.attempt_timeout)::integer))
        end, false)::muster_private.attempt_ending) as endings,
      bool_or(o.status = 'assigned' and not o.is_expired) as is_unheard,
      jsonb_agg(jsonb_build_object('jobId', o.id, 'attempt', o.attempts, 'reason',
        case when o.is_expired then 'expired' else 'timed_out' end)) as jobs
    from (
      -- What is assigned has not started: its deadline may still be that of the start.
      select j.*, coalesce(d.at < expire_attempts.at, false) as is_expired
      from muster_private.held_jobs h
      join muster.jobs j on j.id = h.job_id
      left join muster_private.job_deadlines d on d.job_id = h.job_id
      where h.worker_id = any (v_workers)
        and (h.deadline_at < expire_attempts.at or d.at < expire_attempts.at)
      for update of h skip locked
    ) o
    group by o.worker_id
  loop
    v_endings := v_endings || v_stop.endings;
    if v_stop.is_unheard then
      v_unheard := v_unheard || v_stop.worker_id;
    end if;
    perform muster_private.send_cancels(v_stop.worker_id, v_stop.jobs);
  end loop;
  if v_endings is null then
    return;
  end if;
  -- Who did not take up a pushed job in time has probably not heard of it: serve it by polling until it echoes anew.
  update muster.worker_devices w set deaf = true where w.id = any (v_unheard) and w.listening;
  perform muster_private.send_wake(u.id, expire_attempts.at) from unnest(v_unheard) u (id);
  perform muster_private.end_attempts(v_endings, false, expire_attempts.at);
  count := cardinality(v_endings);
  select array_agg(distinct w.tenant_id) into expire_attempts.tenant_ids
  from muster.worker_devices w where w.id = any (v_workers);
end
$$;
comment on function muster_private.expire_attempts(timestamptz) is
  'Ends attempts that were not taken up or not finished in time, and jobs past their total time';

create function muster_private.expired_error(expires_at timestamptz, at timestamptz) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_build_object('code', 'expired', 'message', case when expired_error.expires_at < expired_error.at
    then 'The time the job was given is over' else 'No attempt had begun by the time it had to' end);
end
$$;
comment on function muster_private.expired_error(timestamptz, timestamptz) is
  'The error of a job that is given up: its whole time is over, or else the time by which it had to start';

create function muster_private.expire_waiting_jobs(at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_ids uuid[];
  v_kind record;
begin
  -- Those that are held were looked at before.
  v_ids := muster_private.leave_waiting(array(
    select d.id from unnest(muster_private.due_jobs('deadlines', expire_waiting_jobs.at - interval '1 microsecond', 1000)) d (id)
    where not exists (select from muster_private.held_jobs h where h.job_id = d.id)));
  for v_kind in
    select muster_private.expired_error(j.expires_at, expire_waiting_jobs.at) as error, array_agg(j.id) as ids
    from muster.jobs j where j.id = any (v_ids) group by 1
  loop
    perform muster_private.end_waiting_jobs(v_kind.ids, 'failed', v_kind.error, expire_waiting_jobs.at);
  end loop;
  perform muster_private.admit_jobs(
    muster_private.after_jobs_ended(v_ids, expire_waiting_jobs.at), false, expire_waiting_jobs.at);
  return cardinality(v_ids);
end
$$;
comment on function muster_private.expire_waiting_jobs(timestamptz) is
  'Fails waiting jobs whose total time is over, or the time by which they were to start';

create function muster_private.queue_due_jobs(at timestamptz, out count integer, out tenant_ids uuid[])
language plpgsql set search_path = ''
as $$
declare
  v_ids constant uuid[] := muster_private.due_jobs('scheduled', queue_due_jobs.at, 1000);
  v_plain uuid[];
  v_gated uuid[];
begin
  with taken as (
    delete from muster_private.scheduled_jobs s where s.job_id in (
      select d.job_id from muster_private.scheduled_jobs d
      where d.job_id = any (v_ids)
      for update skip locked)
    returning s.job_id
  ), due as (
    update muster.jobs j
    set status = case when j.has_gates then 'blocked' else 'queued' end::muster.job_status,
      waiting_for = case when j.has_gates then 'concurrency' end,
      queued_at = case when j.has_gates then j.queued_at else queue_due_jobs.at end, updated_at = queue_due_jobs.at
    from taken t where j.id = t.job_id
    returning j.id, j.tenant_id, j.has_gates
  )
  select array_agg(d.id) filter (where not d.has_gates), array_agg(d.id) filter (where d.has_gates),
    count(*), array_agg(distinct d.tenant_id)
  into v_plain, v_gated, queue_due_jobs.count, queue_due_jobs.tenant_ids from due d;
  perform muster_private.enter_queue(v_plain);
  perform muster_private.record_status(v_plain, queue_due_jobs.at);
  perform muster_private.admit_jobs(v_gated, false, queue_due_jobs.at);
end
$$;
comment on function muster_private.queue_due_jobs(timestamptz) is 'Queues scheduled jobs whose time has come, as far as their gates let them';

-- Hops over the index from key to key: keys are many, and most of them have nothing waiting.
create function muster_private.blocked_keys() returns table (tenant_id uuid, concurrency_key text)
language plpgsql stable set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
  with recursive hops as (
    (
      select b.tenant_id, b.waiting_for, b.key from muster_private.blocked_jobs b
      where b.key is not null order by b.tenant_id, b.waiting_for, b.key limit 1
    )
    union all
    select next.tenant_id, next.waiting_for, next.key from hops h
    cross join lateral (
      select b.tenant_id, b.waiting_for, b.key from muster_private.blocked_jobs b
      where (b.tenant_id, b.waiting_for, b.key) > (h.tenant_id, h.waiting_for, h.key) and b.key is not null
      order by b.tenant_id, b.waiting_for, b.key limit 1
    ) next
  )
  select h.tenant_id, h.key from hops h where h.waiting_for = 'concurrency';
end
$$;
comment on function muster_private.blocked_keys() is 'Concurrency keys that jobs wait for';

create function muster.tick() returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off
as $$
declare
  v_now timestamptz;
  v_lost record;
  v_overdue record;
  v_due record;
  v_runs record;
  v_late record;
  v_expired integer;
  v_assigned integer := 0;
  v_bridged uuid[];
  v_freed uuid[];
  v_queued uuid[];
  v_tenant record;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('muster.tick', 0)) then
    return jsonb_build_object('ran', false);
  end if;
  v_now := muster_private.now();
  perform muster_private.set_actor('{"kind": "system"}');
  perform muster_private.wait_for_no_affinity();
  -- Before any lock is taken that the scheduler's other functions wait for.
  perform muster_private.tend_audit(v_now);
  perform muster_private.sweep_limits(v_now);
  perform muster_private.sweep_history(v_now);
  select * into v_runs from muster_private.run_schedules(v_now);
  v_bridged := muster_private.tend_bridges(v_now);
  -- Pushes passed over the workers while they were locked for this: the tenants are looked at again below.
  v_freed := muster_private.excuse_silence(v_now);
  select * into v_lost from muster_private.expire_leases(v_now);
  perform muster_private.forget_workers(v_now);
  select * into v_overdue from muster_private.expire_attempts(v_now);
  v_expired := muster_private.expire_waiting_jobs(v_now);
  select * into v_due from muster_private.queue_due_jobs(v_now);
  perform muster_private.age_jobs(v_now);
  select * into v_late from muster_private.admit_late(null, v_now);
  v_freed := coalesce(v_freed, '{}') || v_overdue.tenant_ids || v_late.freed;
  v_queued := v_bridged || coalesce(v_lost.tenant_ids, '{}') || v_due.tenant_ids || v_runs.tenant_ids || v_late.queued
    || muster_private.tend_affinities(v_now);
  for v_tenant in
    select b.tenant_id as id, array_agg(b.concurrency_key) as keys
    from muster_private.blocked_keys() b
    join muster.concurrency_keys c on c.tenant_id = b.tenant_id and c.key = b.concurrency_key
    where c.max_running > (
      select count(*) from muster_private.admitted_jobs a
      where a.tenant_id = c.tenant_id and a.key = c.key)
    group by b.tenant_id order by b.tenant_id
  loop
    if muster_private.unblock_jobs(v_tenant.id, v_tenant.keys, false, v_now) > 0 then
      v_queued := v_queued || v_tenant.id;
    end if;
  end loop;
  delete from muster_private.used_proofs p where p.expires_at < v_now;
  update muster_private.scheduler_state s
  set last_tick_at = v_now, was_late = s.last_tick_at < v_now - muster_private.timing('tick_late'),
    beating_count = c.beating, busy_count = c.busy
  from (
    select count(*) as beating, count(*) filter (where w.held_count > 0) as busy from muster.worker_devices w
    where w.status in ('online', 'draining')
  ) c
  -- The only row; the Data API refuses an update that names none.
  where s.id;

  -- Where this tick freed slots it takes the tenant lock alone; where it queued jobs assign_jobs() takes it shared, which
  -- keeps no submission waiting; elsewhere it only catches up.
  for v_tenant in
    select t.id, t.id = any (v_freed) as is_freed
    from muster.tenants t
    where t.id = any (v_freed) or t.id = any (v_queued) or cardinality(muster_private.assignable_classes(t.id)) > 0
    order by t.id
  loop
    if v_tenant.is_freed then
      perform muster_private.lock_going_idle(v_tenant.id);
    end if;
    v_assigned := v_assigned + muster_private.assign_jobs(v_tenant.id, v_now);
  end loop;
  perform muster_private.call_all_claimers(v_now);
  return jsonb_build_object('ran', true, 'lost_workers', v_lost.count, 'overdue_attempts', v_overdue.count,
    'expired_jobs', v_expired, 'due_jobs', v_due.count, 'assigned_jobs', v_assigned);
end
$$;
comment on function muster.tick() is
  'The periodic sweep: lost workers, overdue attempts, expired and due jobs, idle workers. Safe to call at any time';
revoke execute on function muster.tick() from public;
grant execute on function muster.tick() to service_role;

-- Where pg_cron knows seconds it ticks by itself; an older one starts each minute a loop that ticks for that minute.
-- Run it again after pg_cron was enabled or updated later: a name is scheduled once.
create function muster_private.schedule_tick() returns text
language plpgsql set search_path = ''
as $$
declare
  v_version text;
  v_schedule text := '3 seconds';
  v_command text := 'select muster.tick()';
  -- Where there is no pg_cron a statement that names it would be a fault of this function.
  v_make constant text := format('select %I.schedule($1, $2, $3)', 'cron');
begin
  if to_regnamespace('cron') is null then
    raise warning 'There is no pg_cron: the tick is left to workers that find it late';
    return null;
  end if;
  select e.extversion into v_version from pg_catalog.pg_extension e where e.extname = 'pg_cron';
  if regexp_match(v_version, '^(\d+)\.(\d+)')::integer[] < array[1, 5] then
    v_schedule := '* * * * *';
    v_command :=
      'do $tick$ begin for i in 1..19 loop perform muster.tick(); commit; perform pg_catalog.pg_sleep(3); end loop; end $tick$';
  end if;
  execute v_make using 'muster-tick', v_schedule, v_command;
  execute v_make using 'muster-cron-history', '17 * * * *',
    $history$delete from cron.job_run_details d using cron.job j
      where j.jobid = d.jobid and j.jobname like 'muster-%' and d.end_time < now() - interval '1 day'$history$;
  return v_schedule;
end
$$;
comment on function muster_private.schedule_tick() is
  'Makes the jobs of pg_cron, as its version can carry them out; answers the schedule of the tick, or null without pg_cron';

do $$
begin
  if to_regnamespace('cron') is null and exists (select from pg_available_extensions e where e.name = 'pg_cron') then
    begin
      create extension pg_cron with schema pg_catalog;
    exception when others then
      raise warning 'pg_cron cannot be created: %', sqlerrm;
    end;
  end if;
  begin
    perform muster_private.schedule_tick();
  exception when insufficient_privilege then
    raise warning 'pg_cron may not be used by role %, so the tick is left to workers that find it late: %', current_user, sqlerrm;
  end;
end
$$;
revoke execute on all functions in schema muster_private from public;
