-- How an attempt ends: well, badly, or because its worker is gone.

create type muster_private.attempt_ending as (
  job_id uuid,
  -- succeeded | failed | lost | timed_out | released | cancelled | expired
  outcome text,
  result jsonb,
  error jsonb,
  is_final boolean
);

-- One entry a job, in both. Most often all are of one worker. Resources are null where none of the classes takes any.
create function muster_private.use_of(worker_ids uuid[], class_ids bigint[])
returns table (worker_id uuid, slots integer, resources jsonb)
language plpgsql stable rows 1 set search_path = ''
as $$
begin
  return query
  select l.worker_id, sum(l.jobs * k.slots)::integer,
    case when bool_or(k.resources <> '{}') then muster_private.sum_resources(array_agg(k.id), array_agg(l.jobs)) end
  from (
    select u.worker_id, u.class_id, count(*)::integer as jobs
    from unnest(use_of.worker_ids, use_of.class_ids) u (worker_id, class_id)
    group by u.worker_id, u.class_id
  ) l
  -- One by one: joined, a plan may read all classes there are.
  cross join lateral (select c.id, c.slots, c.resources from muster.job_classes c where c.id = l.class_id offset 0) k
  group by l.worker_id;
end
$$;
comment on function muster_private.use_of(uuid[], bigint[]) is 'The slots and resources that jobs of these classes take of each worker';

create function muster_private.give_back(worker_ids uuid[], class_ids bigint[]) returns void
language plpgsql set search_path = ''
as $$
begin
  update muster.worker_devices w
  set held_count = w.held_count - n.slots,
    held_resources = case when n.resources is null then w.held_resources
      else muster_private.add_resources(w.held_resources, n.resources, -1) end
  from muster_private.use_of(give_back.worker_ids, give_back.class_ids) n
  where w.id = n.worker_id;
end
$$;
comment on function muster_private.give_back(uuid[], bigint[]) is 'Gives workers back the slots and resources that jobs of these classes took';

-- Ends held attempts. The caller has locked the workers and the jobs' rows in held_jobs, and has checked that the attempts
-- are current. Jobs go to a terminal state, back to the queue, or to a later try; slots, resources and concurrency keys are
-- given back.
-- `wait` says whether to wait for keys that others work on; null leaves unblocking, and what follows from the end of jobs,
-- to the caller.
-- The caller assigns what is queued now (assign_jobs), after it has taken every other lock it needs. Answered are the jobs
-- that go on, and whether anything was queued for which that is worth while.
-- A caller that is to write the one worker's row anyway says so with `keeps`: then `freed` is what it has to give back
-- itself, unless others had to know of it at once.
create function muster_private.end_attempts(
  endings muster_private.attempt_ending[], wait boolean, at timestamptz, keeps boolean default false,
  out again uuid[], out queued boolean, out freed_slots integer, out freed_resources jsonb
)
language plpgsql set search_path = ''
as $$
declare
  v_actor constant jsonb := muster_private.current_actor();
  v_ending muster_private.attempt_ending;
  v_unsure uuid[] := array[]::uuid[];
  v_ids uuid[];
  v_workers uuid[];
  v_classes bigint[];
  v_has_keys boolean;
  v_notifies boolean;
  v_queued uuid[];
  v_gated uuid[];
  v_limited uuid[];
  v_is_delayed boolean;
  v_followed uuid[];
  v_freed uuid[] := array[]::uuid[];
begin
  foreach v_ending in array coalesce(end_attempts.endings, '{}') loop
    if v_ending.outcome not in ('succeeded', 'cancelled') then
      v_unsure := v_unsure || v_ending.job_id;
    end if;
  end loop;
  if cardinality(v_unsure) > 0 then
    -- Those may go on, and their rows then tell of another attempt.
    perform muster_private.store_told_events(v_unsure);
  end if;
  with chosen as (
    select e.job_id, e.outcome, e.result, e.error, j.worker_id,
      case
        when e.outcome in ('succeeded', 'cancelled') then e.outcome
        when e.outcome = 'expired' or e.is_final then 'failed'
        when j.expires_at <= end_attempts.at then 'failed'
        when e.outcome = 'released' then 'again'
        when j.attempts - j.released_count >= j.max_attempts then 'failed'
        when j.policy -> 'retry' ? 'final_errors' and muster_private.is_final_error(j.policy -> 'retry', e.error) then 'failed'
        else 'again'
      end as fate,
      case
        when e.is_final or e.outcome in ('released', 'succeeded', 'cancelled', 'expired') then interval '0'
        -- A lost worker says little about the job: the first time it goes on at once.
        when e.outcome = 'lost' then muster_private.retry_delay(
          j.attempts - j.released_count - 1, j.retry_base, j.retry_cap, j.policy -> 'retry')
        else muster_private.retry_delay(j.attempts - j.released_count, j.retry_base, j.retry_cap, j.policy -> 'retry')
      end as delay
    from unnest(end_attempts.endings) e
    join muster.jobs j on j.id = e.job_id
  ), ended as (
    update muster.jobs j
    set status = case
          when c.fate <> 'again' then c.fate::muster.job_status
          when c.delay > interval '0' then 'scheduled'
          when j.has_gates then 'blocked'
          else 'queued' end,
      -- Until it is admitted below.
      waiting_for = case when c.fate = 'again' and c.delay = interval '0' and j.has_gates then 'concurrency' end,
      worker_id = case when c.fate = 'again' then null else j.worker_id end,
      result = c.result,
      error = case when c.fate = 'failed' and c.error is null
        then jsonb_build_object('code', 'expired', 'message', 'The time the job was given is over') else c.error end,
      progress = case when c.fate = 'succeeded' then 1 when c.fate = 'again' then null else j.progress end,
      released_count = j.released_count + (c.outcome = 'released')::integer,
      run_at = case when c.fate = 'again' then end_attempts.at + c.delay else j.run_at end,
      queued_at = case when c.fate = 'again' and c.delay = interval '0' then end_attempts.at else j.queued_at end,
      attempt_deadline_at = null,
      finished_at = case when c.fate <> 'again' then end_attempts.at end,
      updated_at = end_attempts.at,
      -- What goes on is recorded below, or once it is admitted.
      last_sequence = j.last_sequence + (c.fate <> 'again')::integer
    from chosen c
    where j.id = c.job_id
    returning j.id, j.tenant_id, c.worker_id as held_by, j.class_id, j.status, j.attempts, j.worker_id, j.concurrency_key, j.notify, j.start_by, j.expires_at, j.parent_id, j.finished_at
  ), left_places as (
    delete from muster_private.held_jobs h using ended e where h.job_id = e.id
  ), noted as (
    insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
    -- Without the error: it may carry what the log shall not.
    select e.tenant_id, v_actor, 'jobs.changed', 'jobs', muster_private.change_json(e.status::text, e.attempts, e.worker_id),
      array_agg(e.id), end_attempts.at
    from ended e where e.finished_at is not null group by e.tenant_id, e.status, e.attempts, e.worker_id
  )
  select array_agg(e.id) filter (where e.status in ('scheduled', 'blocked', 'queued')),
    array_agg(e.id) filter (where e.status = 'queued'), array_agg(e.id) filter (where e.status = 'blocked'),
    array_agg(e.id) filter (where e.status in ('succeeded', 'failed', 'cancelled') and num_nonnulls(e.start_by, e.expires_at) > 0),
    bool_or(e.status = 'scheduled'), bool_or(e.notify), bool_or(e.concurrency_key is not null),
    array_agg(e.id) filter (where e.finished_at is not null and (e.parent_id is not null
      or exists (select from muster_private.open_dependencies d where d.after_id = e.id))),
    array_agg(e.id), array_agg(e.held_by), array_agg(e.class_id)
  into end_attempts.again, v_queued, v_gated, v_limited, v_is_delayed, v_notifies, v_has_keys, v_followed, v_ids, v_workers, v_classes
  from ended e;
  if v_ids is null then
    end_attempts.queued := false;
    return;
  end if;
  if end_attempts.keeps and not v_has_keys and num_nonnulls(v_gated, v_followed) = 0 then
    select u.slots, u.resources into end_attempts.freed_slots, end_attempts.freed_resources
    from muster_private.use_of(v_workers, v_classes) u;
  else
    perform muster_private.give_back(v_workers, v_classes);
  end if;

  -- What most jobs do not have is not looked for.
  if v_queued is not null or v_is_delayed then
    perform muster_private.record_status(array(
      select j.id from muster.jobs j where j.id = any (end_attempts.again) and j.status in ('queued', 'scheduled')), end_attempts.at);
  end if;
  if v_has_keys then
    delete from muster_private.admitted_jobs a using unnest(end_attempts.endings) e, muster.jobs j
    where j.id = e.job_id and a.tenant_id = j.tenant_id and a.key = j.concurrency_key and a.job_id = j.id;
  end if;
  if v_limited is not null then
    delete from muster_private.job_deadlines d where d.job_id = any (v_limited);
  end if;
  if v_is_delayed then
    insert into muster_private.scheduled_jobs (job_id, tenant_id, run_at)
    select j.id, j.tenant_id, j.run_at from muster.jobs j where j.id = any (end_attempts.again) and j.status = 'scheduled';
  end if;
  end_attempts.queued := v_queued is not null or v_gated is not null or v_has_keys;
  if v_queued is not null then
    perform muster_private.enter_queue(v_queued);
  end if;
  if v_notifies then
    perform muster_private.send_results(array(select e.job_id from unnest(end_attempts.endings) e));
  end if;
  if end_attempts.wait is null then
    return;
  end if;
  if v_followed is not null then
    v_freed := muster_private.after_jobs_ended(v_followed, end_attempts.at);
    end_attempts.queued := end_attempts.queued or cardinality(v_freed) > 0;
  end if;
  if v_gated is not null or v_has_keys or cardinality(v_freed) > 0 then
    perform muster_private.admit_jobs(coalesce(v_gated, '{}') || v_freed, end_attempts.wait, end_attempts.at,
      array(select e.job_id from unnest(end_attempts.endings) e));
  end if;
end
$$;
comment on function muster_private.end_attempts(muster_private.attempt_ending[], boolean, timestamptz, boolean) is
  'Ends attempts whose jobs and workers the caller has locked: terminal, queued again, or scheduled for a later try';

-- Locks the held jobs of workers whose rows the caller has locked, and ends them all one way.
create function muster_private.end_held_jobs(worker_ids uuid[], outcome text, error jsonb, wait boolean, at timestamptz)
returns integer
language plpgsql set search_path = ''
as $$
declare
  v_endings muster_private.attempt_ending[];
begin
  select array_agg(row (l.job_id, end_held_jobs.outcome, null, end_held_jobs.error, false)::muster_private.attempt_ending)
  into v_endings
  from (
    select h.job_id from muster_private.held_jobs h
    where h.worker_id = any (end_held_jobs.worker_ids)
    order by uuid_send(h.job_id)
    for update
  ) l;
  if v_endings is null then
    return 0;
  end if;
  perform muster_private.end_attempts(v_endings, end_held_jobs.wait, end_held_jobs.at);
  return cardinality(v_endings);
end
$$;
comment on function muster_private.end_held_jobs(uuid[], text, jsonb, boolean, timestamptz) is
  'Ends all jobs that the given workers hold, in one way';

-- Only what the worker has really held is kept, and once an attempt: evidence must not be made up. It changes nothing
-- about the job (I2).
create function muster_private.keep_late_results(worker muster.worker_devices, results jsonb, outcomes jsonb, at timestamptz)
returns void
language plpgsql set search_path = ''
as $$
begin
  insert into muster.late_results (job_id, attempt, tenant_id, worker_id, status, result, error, received_at)
  select j.id, (r.item ->> 'attempt')::integer, j.tenant_id, (keep_late_results.worker).id, r.item ->> 'status',
    nullif(r.item -> 'result', 'null'), nullif(r.item -> 'error', 'null'), keep_late_results.at
  from jsonb_array_elements(keep_late_results.results) with ordinality r (item, ordinal)
  join jsonb_array_elements(keep_late_results.outcomes) with ordinality o (item, ordinal) on o.ordinal = r.ordinal
  join muster.jobs j on j.id = (r.item ->> 'job_id')::uuid and j.tenant_id = (keep_late_results.worker).tenant_id
  where o.item ->> 'outcome' = 'stale'
    and coalesce(octet_length((r.item -> 'result')::text), 0) <= 524288
    and coalesce(octet_length((r.item -> 'error')::text), 0) <= 65536
    and not muster_private.is_too_deep(r.item -> 'result') and not muster_private.is_too_deep(r.item -> 'error')
    and exists (
      select from muster.job_events e
      where e.job_id = j.id and e.attempt = (r.item ->> 'attempt')::integer and e.kind = 'status'
        and e.data ->> 'status' in ('assigned', 'running') and e.data ->> 'worker_id' = (keep_late_results.worker).id::text)
  order by j.id, (r.item ->> 'attempt')::integer
  -- One that retention is about to delete is waited for by nobody.
  for key share of j skip locked
  on conflict do nothing;
end
$$;
comment on function muster_private.keep_late_results(muster.worker_devices, jsonb, jsonb, timestamptz) is
  'Keeps refused results of attempts that the worker once held';

create function muster_private.lose_jobs(worker_ids uuid[], becoming muster.worker_status, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_endings muster_private.attempt_ending[];
begin
  select array_agg(row (l.job_id, 'lost', null, jsonb_build_object('code', 'worker_lost', 'message',
      format('Worker %s went %s while it held the job', l.name, lose_jobs.becoming)), false)::muster_private.attempt_ending)
  into v_endings
  from (
    select h.job_id, w.name from muster_private.held_jobs h
    join muster.worker_devices w on w.id = h.worker_id
    where w.id = any (lose_jobs.worker_ids)
    order by uuid_send(h.job_id)
    for update of h
  ) l;
  if v_endings is null then
    return 0;
  end if;
  perform muster_private.end_attempts(v_endings, false, lose_jobs.at);
  return cardinality(v_endings);
end
$$;
comment on function muster_private.lose_jobs(uuid[], muster.worker_status, timestamptz) is
  'Ends the attempts of workers that are gone, whose rows the caller has locked; waits for no concurrency key';

-- A worker that goes offline, by whatever hand, loses its jobs. It waits for no concurrency key and assigns nothing:
-- several workers may go at once, and their caller does that after the last of them.
create function muster_private.tg_worker_devices__requeue_jobs() returns trigger
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.lose_jobs(array[new.id], new.status, muster_private.now());
  return null;
end
$$;
comment on function muster_private.tg_worker_devices__requeue_jobs() is
  'Requeues or fails the jobs of a worker that went offline or was revoked';
create trigger requeue_jobs after update of status on muster.worker_devices
  for each row when (new.status in ('offline', 'revoked') and old.status is distinct from new.status and new.held_count > 0)
  execute function muster_private.tg_worker_devices__requeue_jobs();

revoke execute on all functions in schema muster_private from public;
