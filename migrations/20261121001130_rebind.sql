-- An operator's word on where a job goes.

-- The job's row, its place, and before them the workers that hold it and shall have it: each waits for those before it
-- only. A job that changes hands in between is met by starting over, as in lock_jobs().
create function muster_private.lock_job_and_workers(tenant_id uuid, job_id uuid, worker_id uuid) returns muster.jobs
language plpgsql set search_path = ''
as $$
declare
  v_holder uuid;
  v_job muster.jobs;
begin
  loop
    begin
      select h.worker_id into v_holder from muster_private.held_jobs h where h.job_id = lock_job_and_workers.job_id;
      perform from muster.worker_devices w
      where w.tenant_id = lock_job_and_workers.tenant_id and w.id in (v_holder, lock_job_and_workers.worker_id)
      order by w.id for no key update;
      perform muster_private.lock_jobs(lock_job_and_workers.tenant_id, array[lock_job_and_workers.job_id]);
      v_job := muster_private.job_of_tenant(lock_job_and_workers.job_id, lock_job_and_workers.tenant_id);
      if v_job.status in ('assigned', 'running') and v_job.worker_id is distinct from v_holder then
        raise exception using errcode = 'MUX01', message = 'A job changed hands';
      end if;
      exit;
    exception when sqlstate 'MUX01' then
      null;
    end;
  end loop;
  return v_job;
end
$$;
comment on function muster_private.lock_job_and_workers(uuid, uuid, uuid) is
  'Locks a job of a tenant and, before it, the worker that holds it and the one named';

create function muster.rebind_job(caller jsonb, job_id uuid, worker_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(rebind_job.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_job muster.jobs := muster_private.job_of_tenant(rebind_job.job_id, v_caller.tenant_id);
  v_worker muster.worker_devices;
  v_changed uuid[];
begin
  if rebind_job.worker_id is not null then
    v_worker := muster_private.worker_of_tenant(rebind_job.worker_id, v_caller.tenant_id);
  end if;
  v_job := muster_private.lock_job_and_workers(v_caller.tenant_id, v_job.id, v_worker.id);
  if v_job.status in ('succeeded', 'failed', 'cancelled') then
    perform muster_private.fail('MU008', format('Cannot rebind job %s: it has %s', v_job.id, v_job.status));
  end if;
  if v_job.waiting_for = 'children' then
    perform muster_private.fail('MU008', format('Cannot rebind job %s: it is a batch, which no worker carries out', v_job.id));
  end if;
  if v_worker.id is not null and not exists (
    select from muster.worker_classes c where c.worker_id = v_worker.id and c.class_id = v_job.class_id)
  then
    perform muster_private.fail('MU032', format('Cannot bind job %s to worker %I: the worker does not have what the job requires',
      v_job.id, v_worker.name));
  end if;

  update muster.jobs j
  set policy = case when v_worker.id is null then j.policy - 'bound_to'
      else j.policy || jsonb_build_object('bound_to', v_worker.id) end,
    updated_at = v_now
  where j.id = v_job.id;
  perform muster_private.audit(v_job.tenant_id, v_caller.actor, 'job.rebound', v_job.id::text,
    jsonb_build_object('worker_id', v_worker.id, 'from_worker_id', case when v_job.status in ('assigned', 'running') then v_job.worker_id end));
  if v_job.status in ('assigned', 'running') and v_worker.id is not null and v_worker.id <> v_job.worker_id then
    perform muster_private.send_cancels(v_job.worker_id,
      jsonb_build_array(jsonb_build_object('jobId', v_job.id, 'attempt', v_job.attempts, 'reason', 'rebound')));
    perform muster_private.end_attempts(array[row (v_job.id, 'released', null,
      jsonb_build_object('code', 'rebound', 'message', format('An operator gave the job to worker %s', v_worker.name)),
      false)::muster_private.attempt_ending], true, v_now);
    perform muster_private.lock_going_idle(v_job.tenant_id);
  elsif v_job.status = 'queued' or v_job.waiting_for = 'affinity' then
    v_changed := muster_private.put_jobs(
      array(select c from muster_private.choose_workers(array[v_job.id], v_now) c), v_now);
    perform muster_private.record_status(v_changed, v_now);
  end if;
  perform muster_private.assign_jobs(v_job.tenant_id, v_now);
  return muster_private.job_json(muster_private.job_of_tenant(v_job.id, v_job.tenant_id));
end
$$;
comment on function muster.rebind_job(jsonb, uuid, uuid) is
  'Names the worker that a job goes to from now on, taking it from another; null lets the job choose again';
revoke execute on function muster.rebind_job(jsonb, uuid, uuid) from public;
grant execute on function muster.rebind_job(jsonb, uuid, uuid) to service_role;
revoke execute on all functions in schema muster_private from public;
