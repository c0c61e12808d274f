-- How jobs are handed over to the worker that calls, and how it is found to hear.

-- Jobs as they are handed to a worker, payload and all: this answer, never a message, is what it acts on.
create function muster_private.assignments_json(job_ids uuid[]) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  if cardinality(assignments_json.job_ids) = 0 then
    return '[]'::jsonb;
  end if;
  return (
    -- Few jobs have any, and to ask for all at once costs less than to ask for each.
    with inputs as materialized (
      select jsonb_object_agg(i.job_id, i.ids) as of_jobs
      from (
        select n.job_id, jsonb_agg(n.artifact_id order by n.ordinal) as ids
        from muster.job_inputs n where n.job_id = any (assignments_json.job_ids) group by n.job_id
      ) i
    )
    select coalesce(jsonb_agg(jsonb_build_object(
      'job_id', j.id, 'attempt', j.attempts, 'type', j.type, 'payload', j.payload, 'requires', j.requires,
      'correlation_id', j.correlation_id, 'max_attempts', j.max_attempts,
      'attempt_timeout_seconds', extract(epoch from j.attempt_timeout)::integer,
      'expires_at', case when j.expires_at is not null then muster_private.iso(j.expires_at) end, 'secrets', j.secret_names, 'concurrency_key', j.concurrency_key,
      'concurrency_limit', case when j.concurrency_key is not null then (
        select k.max_running from muster.concurrency_keys k where k.tenant_id = j.tenant_id and k.key = j.concurrency_key) end,
      'inputs', coalesce((select i.of_jobs from inputs i) -> j.id::text, '[]'))
      order by j.priority desc, j.rank, j.position), '[]')
    from muster.jobs j
    where j.id = any (assignments_json.job_ids)
  );
end
$$;
comment on function muster_private.assignments_json(uuid[]) is 'Jobs as a worker receives them';

create function muster_private.attempts_of(items jsonb) returns table (job_id uuid, attempt integer)
language sql immutable rows 10 set search_path = ''
as $$
  select distinct r.job_id, r.attempt from jsonb_to_recordset(attempts_of.items) r (job_id uuid, attempt integer)
$$;
comment on function muster_private.attempts_of(jsonb) is 'Reads [{job_id, attempt}]';

-- The places are read by themselves, and joined afterwards: a plan for both that was made while the table was empty would
-- read all of it.
create function muster_private.unnamed_jobs(worker_id uuid, running jsonb) returns uuid[]
language plpgsql stable set search_path = ''
as $$
begin
  return array(
    with held as materialized (
      select h.job_id, h.attempt from muster_private.held_jobs h
      where h.worker_id = unnamed_jobs.worker_id and h.is_running
    )
    select h.job_id from held h
    where not exists (
      select from muster_private.attempts_of(unnamed_jobs.running) r where r.job_id = h.job_id and r.attempt = h.attempt));
end
$$;
comment on function muster_private.unnamed_jobs(uuid, jsonb) is 'Jobs that were handed over to a worker and are not among the attempts it says it runs';

-- The status is asked again: a revocation may have been what the lock was waited for.
create function muster_private.lock_worker(worker_id uuid) returns muster.worker_devices
language plpgsql set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
begin
  select * into v_worker from muster.worker_devices w where w.id = lock_worker.worker_id for no key update;
  if not found or v_worker.status = 'revoked' then
    perform muster_private.fail('MU014', format('Cannot serve worker %s: it was revoked', coalesce(v_worker.name, lock_worker.worker_id::text)),
      'Ask an operator for a new enrollment token, and enroll with a new identity');
  end if;
  return v_worker;
end
$$;
comment on function muster_private.lock_worker(uuid) is
  'Locks a worker that is not revoked: who changes the jobs it holds has to have this lock first';

-- Jobs that were pushed to the worker and that it asks for now.
create function muster_private.hand_over(worker_id uuid, tenant_id uuid, at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_actor constant jsonb := muster_private.current_actor();
  v_ids uuid[];
begin
  if not exists (
    select from muster_private.held_jobs h
    where h.worker_id = hand_over.worker_id and h.tenant_id = hand_over.tenant_id and not h.is_running
  ) then
    return array[]::uuid[];
  end if;
  with taken as (
    select h.job_id from muster_private.held_jobs h
    where h.worker_id = hand_over.worker_id and h.tenant_id = hand_over.tenant_id and not h.is_running
    order by uuid_send(h.job_id)
    for update
  ), handed as (
    update muster.jobs j
    set status = 'running', started_at = hand_over.at, attempt_deadline_at = hand_over.at + j.attempt_timeout,
      updated_at = hand_over.at, last_sequence = j.last_sequence + 1
    from taken t
    where j.id = t.job_id
    returning j.id, j.attempt_deadline_at, j.attempts
  ), placed as (
    update muster_private.held_jobs h set is_running = true, deadline_at = d.attempt_deadline_at
    from handed d where h.job_id = d.id
  ), noted as (
    insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
    select hand_over.tenant_id, v_actor, 'jobs.changed', 'jobs',
      muster_private.change_json('running', d.attempts, hand_over.worker_id), array_agg(d.id), hand_over.at
    from handed d group by d.attempts
  )
  select coalesce(array_agg(h.id), '{}') into v_ids from handed h;
  if cardinality(v_ids) = 0 then
    return v_ids;
  end if;
  perform muster_private.note_start(v_ids);
  return v_ids;
end
$$;
comment on function muster_private.hand_over(uuid, uuid, timestamptz) is 'Starts the jobs that are assigned to a worker whose row the caller has locked';

-- All that a worker with a locked row may start now: what was pushed to it, and up to `want` more from the queue. If
-- that leaves it with less than it wants, it goes idle under the tenant lock, so that no job slips past it.
-- With `is_newer` the worker is not yet written as it is: what it holds was given back in the caller's hands alone.
create function muster_private.next_jobs(worker muster.worker_devices, want integer, at timestamptz, is_newer boolean default false)
returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_ids uuid[] := array[]::uuid[];
  v_want integer := least(greatest(coalesce(next_jobs.want, 0), 0), 256);
  v_more uuid[] := array[]::uuid[];
  v_late uuid[];
begin
  if (next_jobs.worker).status in ('online', 'draining') and (next_jobs.worker).held_count > 0 then
    v_ids := muster_private.hand_over((next_jobs.worker).id, (next_jobs.worker).tenant_id, next_jobs.at);
    v_want := v_want - cardinality(v_ids);
  end if;
  if (next_jobs.worker).status <> 'online' then
    v_want := 0;
  end if;
  if v_want > 0 then
    v_more := muster_private.claim_for_worker((next_jobs.worker).id, v_want, next_jobs.at,
      case when next_jobs.is_newer then next_jobs.worker end);
    v_ids := v_ids || v_more;
    v_want := v_want - cardinality(v_more);
  end if;
  if next_jobs.is_newer and cardinality(v_more) = 0 then
    update muster.worker_devices w
    set held_count = (next_jobs.worker).held_count, held_resources = (next_jobs.worker).held_resources
    where w.id = (next_jobs.worker).id;
  end if;
  if v_want > 0 then
    select l.queued into v_late from muster_private.admit_late((next_jobs.worker).tenant_id, next_jobs.at) l;
    perform muster_private.lock_going_idle((next_jobs.worker).tenant_id);
    v_ids := v_ids || muster_private.claim_for_worker((next_jobs.worker).id, v_want, next_jobs.at);
    if cardinality(v_late) > 0 then
      perform muster_private.assign_jobs((next_jobs.worker).tenant_id, next_jobs.at);
    end if;
  end if;
  return v_ids;
end
$$;
comment on function muster_private.next_jobs(muster.worker_devices, integer, timestamptz, boolean) is
  'Starts what was pushed to the worker and up to want more; a worker left idle has looked under the tenant lock';

create function muster_private.send_wake(worker_id uuid, at timestamptz) returns text
language plpgsql set search_path = ''
as $$
declare
  v_nonce constant text := gen_random_uuid();
begin
  update muster.worker_heartbeats h set wake_nonce = v_nonce, wake_sent_at = send_wake.at
  where h.worker_id = send_wake.worker_id;
  perform muster_private.send_message(
    muster_private.tasks_topic(send_wake.worker_id), 'wake', jsonb_build_object('nonce', v_nonce));
  return v_nonce;
end
$$;
comment on function muster_private.send_wake(uuid, timestamptz) is 'Sends a nonce that a worker which hears will echo with its next heartbeat';

revoke execute on all functions in schema muster_private from public;
