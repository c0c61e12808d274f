-- What apps do to jobs they have submitted: cancel, retry.

-- Locks jobs that have not ended and the workers that hold them, workers first; of the jobs their places, all in one order.
-- When a job has changed hands in between it fails with MUX01: the caller leaves its block by that, which gives the locks
-- back before any other job is waited for, and starts over. A block around the caller's would not do: who waits for what
-- a finished block has locked waits for the whole transaction, even when an outer block gives it back.
create function muster_private.try_lock_jobs(tenant_id uuid, job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
declare
  v_workers uuid[];
  v_locked uuid[];
begin
  select coalesce(array_agg(w.id), '{}') into v_workers from (
    select w.id from muster.worker_devices w
    where w.id in (
      select h.worker_id from muster_private.held_jobs h
      where h.job_id = any (try_lock_jobs.job_ids) and h.tenant_id = try_lock_jobs.tenant_id)
    order by w.id
    for no key update
  ) w;
  with held as (
    select h.job_id, h.worker_id from muster_private.held_jobs h
    where h.job_id = any (try_lock_jobs.job_ids) and h.tenant_id = try_lock_jobs.tenant_id
    order by h.job_id for update
  )
  select coalesce(array_agg(h.job_id) filter (where h.worker_id = any (v_workers)), '{}') into v_locked from held h;
  v_locked := v_locked || array(
    select r.job_id from muster_private.ready_jobs r
    where r.job_id = any (try_lock_jobs.job_ids) and r.tenant_id = try_lock_jobs.tenant_id
    order by r.job_id for update);
  v_locked := v_locked || array(
    select b.job_id from muster_private.blocked_jobs b
    where b.job_id = any (try_lock_jobs.job_ids) and b.tenant_id = try_lock_jobs.tenant_id
    order by b.job_id for update);
  v_locked := v_locked || array(
    select s.job_id from muster_private.scheduled_jobs s
    where s.job_id = any (try_lock_jobs.job_ids) and s.tenant_id = try_lock_jobs.tenant_id
    order by s.job_id for update);
  if exists (
    select from muster.jobs j
    where j.id = any (try_lock_jobs.job_ids) and j.tenant_id = try_lock_jobs.tenant_id
      and j.status not in ('succeeded', 'failed', 'cancelled') and j.id <> all (v_locked)
  ) then
    raise exception using errcode = 'MUX01', message = 'A job changed hands';
  end if;
end
$$;
comment on function muster_private.try_lock_jobs(uuid, uuid[]) is
  'Locks jobs of a tenant and, before them, the workers that hold them; fails with MUX01 when one changed hands meanwhile';

create function muster_private.lock_jobs(tenant_id uuid, job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
begin
  loop
    begin
      perform muster_private.try_lock_jobs(lock_jobs.tenant_id, lock_jobs.job_ids);
      return;
    exception when sqlstate 'MUX01' then
      null;
    end;
  end loop;
end
$$;
comment on function muster_private.lock_jobs(uuid, uuid[]) is 'Locks jobs of a tenant and, before them, the workers that hold them';

-- Cancels jobs: `held` are locked with their workers, `others` that wait only where nobody has them in hand. Answers all
-- that it ended. The caller settles what follows from that, unblocks their keys, and assigns.
create function muster_private.cancel_locked_jobs(held uuid[], others uuid[], error jsonb, reason text, at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_endings muster_private.attempt_ending[] := array[]::muster_private.attempt_ending[];
  v_held record;
  v_waiting uuid[];
begin
  for v_held in
    select h.worker_id,
      array_agg(row (h.job_id, 'cancelled', null, cancel_locked_jobs.error, true)::muster_private.attempt_ending order by h.job_id) as endings,
      jsonb_agg(jsonb_build_object('jobId', h.job_id, 'attempt', h.attempt, 'reason', cancel_locked_jobs.reason)) as jobs
    from muster_private.held_jobs h
    where h.job_id = any (cancel_locked_jobs.held)
    group by h.worker_id order by h.worker_id
  loop
    v_endings := v_endings || v_held.endings;
    perform muster_private.send_cancels(v_held.worker_id, v_held.jobs);
  end loop;
  v_waiting := muster_private.leave_waiting(cancel_locked_jobs.others);
  perform muster_private.end_waiting_jobs(v_waiting, 'cancelled', cancel_locked_jobs.error, cancel_locked_jobs.at);
  if cardinality(v_endings) > 0 then
    perform muster_private.end_attempts(v_endings, null, cancel_locked_jobs.at);
  end if;
  return v_waiting || array(select e.job_id from unnest(v_endings) e);
end
$$;
comment on function muster_private.cancel_locked_jobs(uuid[], uuid[], jsonb, text, timestamptz) is
  'Cancels jobs that the caller has locked, and tells the workers that run them; answers which it ended';

create function muster.cancel_jobs(caller jsonb, job_ids uuid[], reason text default null) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(cancel_jobs.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_most constant integer := 1000;
  v_error constant jsonb := jsonb_build_object('code', 'cancelled', 'message', coalesce(left(cancel_jobs.reason, 1000), 'Cancelled by the submitter'));
  v_ids uuid[] := cancel_jobs.job_ids;
  v_held uuid[];
  v_ended uuid[];
  v_id uuid;
begin
  if coalesce(cardinality(cancel_jobs.job_ids), 0) not between 1 and 1000 then
    perform muster_private.fail('MU015', 'Cannot cancel: name 1 to 1000 jobs');
  end if;
  foreach v_id in array cancel_jobs.job_ids loop
    perform muster_private.job_of_tenant(v_id, v_caller.tenant_id);
  end loop;
  -- With a batch go its jobs; those that are too many for one call, or are just being added, with the next ticks.
  v_ids := v_ids || array(
    select c.job_id from muster_private.open_children c where c.parent_id = any (cancel_jobs.job_ids) limit v_most);
  perform muster_private.lock_jobs(v_caller.tenant_id, v_ids);
  v_held := array(select h.job_id from muster_private.held_jobs h where h.job_id = any (v_ids));
  v_ended := muster_private.cancel_locked_jobs(v_held, v_ids, v_error, 'cancelled', v_now);
  perform muster_private.leave_unsettled(array(
    select distinct c.parent_id from muster_private.open_children c
    where c.parent_id = any (cancel_jobs.job_ids) and c.job_id <> all (v_ended)), 'cancel');

  -- One pass over the concurrency keys of all, in order.
  perform muster_private.admit_jobs(muster_private.after_jobs_ended(v_ended, v_now), true, v_now, v_ended);
  if cardinality(v_held) > 0 then
    perform muster_private.lock_going_idle(v_caller.tenant_id);
  end if;
  perform muster_private.assign_jobs(v_caller.tenant_id, v_now);

  return jsonb_build_object('jobs', (
    select jsonb_agg(muster_private.job_json(j) order by c.ordinal)
    from unnest(cancel_jobs.job_ids) with ordinality c (id, ordinal) join muster.jobs j on j.id = c.id));
end
$$;
comment on function muster.cancel_jobs(jsonb, uuid[], text) is
  'Cancels jobs that have not ended, and tells the workers that run them; ended jobs are answered as they are';

-- Submits jobs that have ended again, in the order of their positions: as they were asked for, with what the changes say
-- instead. What they depended on has ended; a concurrency key is waited for, whatever the policy was, as a repetition
-- shall not drive away others. The letters of failed ones are marked, and are the caller's lock. The caller assigns.
create function muster_private.repeat_jobs(tenant_id uuid, executor_id uuid, job_ids uuid[], changes jsonb, at timestamptz)
returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_old constant uuid[] := array(
    select j.id from muster.jobs j where j.id = any (repeat_jobs.job_ids) and j.tenant_id = repeat_jobs.tenant_id order by j.position);
  v_new constant uuid[] := muster_private.new_job_ids(cardinality(v_old), repeat_jobs.at);
  v_positions constant bigint[] := array(select nextval('muster.job_positions') from unnest(v_old));
  v_plain uuid[];
  v_gated uuid[];
begin
  perform muster_private.check_job_quota(repeat_jobs.tenant_id, (select jsonb_agg('{}'::jsonb) from unnest(v_old)));
  with stored as (
    insert into muster.jobs as k (id, tenant_id, position, rank, type, status, waiting_for, class_id, executor_id, payload,
      correlation_id, concurrency_key, priority, fairness_key, fairness_weight, max_attempts, retry_base, retry_cap,
      attempt_timeout, requires, labels, secret_names, notify, policy, retry_of, run_at, start_by, expires_at, created_at,
      updated_at, queued_at)
    select n.new_id, o.tenant_id, n.position, n.position * 1000000, o.type,
      case when g.has_gates then 'blocked' else 'queued' end::muster.job_status,
      case when g.has_gates then 'concurrency' end, o.class_id, coalesce(repeat_jobs.executor_id, o.executor_id), o.payload,
      o.correlation_id, o.concurrency_key, coalesce((repeat_jobs.changes ->> 'priority')::smallint, o.priority), o.fairness_key,
      o.fairness_weight, coalesce((repeat_jobs.changes ->> 'max_attempts')::integer, o.max_attempts), o.retry_base, o.retry_cap,
      o.attempt_timeout, o.requires, o.labels, o.secret_names, o.notify,
      g.policy, o.id, repeat_jobs.at,
      repeat_jobs.at + (o.start_by - o.created_at), repeat_jobs.at + (o.expires_at - o.created_at), repeat_jobs.at,
      repeat_jobs.at, case when not g.has_gates then repeat_jobs.at end
    from unnest(v_old, v_new, v_positions) n (old_id, new_id, position)
    join muster.jobs o on o.id = n.old_id
    -- What it came after is past, and so is what somebody else did with the first one.
    cross join lateral (
      select p.policy, o.concurrency_key is not null or p.policy ?| '{rate_limit,affinity,resource_ref}'::text[] as has_gates
      from (select o.policy - '{concurrency_policy,after_policy,batch,bound_to,message}'::text[] as policy) p
    ) g
    returning k.id, k.tenant_id, k.has_gates, k.start_by, k.expires_at
  ), limited as (
    insert into muster_private.job_deadlines (job_id, tenant_id, at)
    select s.id, s.tenant_id, least(s.start_by, s.expires_at) from stored s where num_nonnulls(s.start_by, s.expires_at) > 0
  )
  select array_agg(s.id) filter (where not s.has_gates), array_agg(s.id) filter (where s.has_gates)
  into v_plain, v_gated from stored s;
  insert into muster.job_inputs (job_id, artifact_id, tenant_id, ordinal)
  select n.new_id, i.artifact_id, i.tenant_id, i.ordinal
  from unnest(v_old, v_new) n (old_id, new_id) join muster.job_inputs i on i.job_id = n.old_id;
  update muster.dead_letters l set replayed_as = n.new_id, replayed_at = repeat_jobs.at
  from unnest(v_old, v_new) n (old_id, new_id)
  where l.job_id = n.old_id and l.replayed_as is null and l.dismissed_at is null;
  perform muster_private.enter_queue(v_plain);
  perform muster_private.record_status(v_plain, repeat_jobs.at);
  perform muster_private.admit_jobs(v_gated, true, repeat_jobs.at);
  return array(
    select n.new_id from unnest(repeat_jobs.job_ids) with ordinality i (id, ordinal)
    join unnest(v_old, v_new) n (old_id, new_id) on n.old_id = i.id
    order by i.ordinal);
end
$$;
comment on function muster_private.repeat_jobs(uuid, uuid, uuid[], jsonb, timestamptz) is
  'Submits ended jobs again as new ones, which name them in retry_of; answers the new ids in the order of the old';

create function muster.retry_job(caller jsonb, job_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(retry_job.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_old constant muster.jobs := muster_private.job_of_tenant(retry_job.job_id, v_caller.tenant_id);
  v_new uuid[];
begin
  if v_old.type = 'muster.batch' then
    perform muster_private.fail('MU008', format('Cannot retry job %s: it is a batch', v_old.id), 'Retry the jobs of the batch that failed');
  end if;
  if v_old.status not in ('failed', 'cancelled') then
    perform muster_private.fail('MU008', format('Cannot retry job %s: it is %s', v_old.id, v_old.status),
      'Only a failed or cancelled job can be retried');
  end if;
  -- Against a replay at the same moment, which then passes it over.
  perform from muster.dead_letters l where l.job_id = v_old.id for no key update;
  v_new := muster_private.repeat_jobs(v_old.tenant_id, v_caller.executor_id, array[v_old.id], '{}', v_now);
  perform muster_private.assign_jobs(v_old.tenant_id, v_now);
  return muster_private.job_json(muster_private.job_of_tenant(v_new[1], v_old.tenant_id));
end
$$;
comment on function muster.retry_job(jsonb, uuid) is
  'Submits a failed or cancelled job again as a new one, which names it in retry_of: a terminal state never changes';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'cancel_jobs(jsonb, uuid[], text)', 'retry_job(jsonb, uuid)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
