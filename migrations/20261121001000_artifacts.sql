-- Files of jobs. Bytes lie in a private bucket and travel by presigned URLs; here is who may have which.

do $$
begin
  if to_regclass('storage.buckets') is not null then
    insert into storage.buckets (id, name, public, file_size_limit)
    values ('muster-artifacts', 'muster-artifacts', false, 52428800)
    on conflict (id) do nothing;
  end if;
end
$$;

create function muster_private.artifact_json(artifact muster.artifacts) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select to_jsonb(artifact) - '{executor_id,created_at,finished_at}'::text[] || jsonb_build_object(
      'created_at', muster_private.iso(artifact.created_at), 'finished_at', muster_private.iso(artifact.finished_at))
  );
end
$$;
comment on function muster_private.artifact_json(muster.artifacts) is 'An artifact as its callers see it';

create function muster_private.audit_artifact(artifact muster.artifacts, actor jsonb, action text) returns void
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.audit((audit_artifact.artifact).tenant_id, audit_artifact.actor, audit_artifact.action,
    (audit_artifact.artifact).id::text, jsonb_strip_nulls(jsonb_build_object(
      'job_id', (audit_artifact.artifact).job_id, 'attempt', (audit_artifact.artifact).attempt)));
end
$$;
comment on function muster_private.audit_artifact(muster.artifacts, jsonb, text) is 'Notes in the audit log that a file was made, finished, rejected or handed out';

-- The function that reads a file's bytes calls as itself, after it has asked who may finish the file.
create function muster_private.artifact_owner(artifact muster.artifacts) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return case
    when (artifact_owner.artifact).worker_id is not null
      then jsonb_build_object('kind', 'worker', 'id', (artifact_owner.artifact).worker_id)
    when (artifact_owner.artifact).executor_id is not null
      then jsonb_build_object('kind', 'executor', 'id', (artifact_owner.artifact).executor_id)
    else '{"kind": "system"}' end;
end
$$;
comment on function muster_private.artifact_owner(muster.artifacts) is 'Who announced a file: its worker or executor';

-- A worker calls with its own token, the Edge Function on behalf of everybody else with the secret key.
create function muster_private.is_worker() returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'muster_worker', false);
end
$$;
comment on function muster_private.is_worker() is 'Whether the call was made with a worker token';

-- The lock lets no attempt end between this look and the caller's write.
create function muster_private.held_job(worker muster.worker_devices, job_id uuid, attempt integer) returns muster.jobs
language plpgsql set search_path = ''
as $$
declare
  v_job muster.jobs;
begin
  select * into v_job from muster.jobs j
  where j.id = held_job.job_id and j.tenant_id = (held_job.worker).tenant_id
  for share;
  if not found or v_job.worker_id is distinct from (held_job.worker).id or v_job.attempts is distinct from held_job.attempt
    or v_job.status not in ('assigned', 'running') then
    perform muster_private.fail('MU006', format('Cannot write for attempt %s of job %s: the worker does not hold it (any more)',
      held_job.attempt, held_job.job_id), 'Drop the attempt: its result would be refused too');
  end if;
  return v_job;
end
$$;
comment on function muster_private.held_job(muster.worker_devices, uuid, integer) is 'The job of an attempt that is the worker''s own, or stale_attempt (I2)';

create function muster.create_artifact(caller jsonb, artifact jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_id constant uuid := gen_random_uuid();
  v_name constant text := create_artifact.artifact ->> 'name';
  v_safe_name constant text := regexp_replace(coalesce(v_name, ''), '[^A-Za-z0-9._-]+', '_', 'g');
  v_caller muster_private.caller;
  v_worker muster.worker_devices;
  v_job muster.jobs;
  v_artifact muster.artifacts;
begin
  if coalesce(length(v_name), 0) not between 1 and 255
    or coalesce(create_artifact.artifact ->> 'sha256', '') !~ '^[0-9a-f]{64}$'
    or coalesce((create_artifact.artifact ->> 'size_bytes')::bigint, -1) < 0
    or coalesce(create_artifact.artifact ->> 'content_type', 'x') !~ '^[ -~]{1,255}$' then
    perform muster_private.fail('MU004',
      'Cannot create the artifact: it needs a name of 1 to 255 characters, size_bytes and a sha256 in hex; content_type is one line');
  end if;
  if (create_artifact.artifact ->> 'size_bytes')::bigint > 52428800 then
    perform muster_private.fail('MU005', format('Cannot create artifact "%s": %s bytes are over the limit of 50 MiB',
      left(v_name, 100), create_artifact.artifact ->> 'size_bytes'), 'Split the file');
  end if;
  if muster_private.is_worker() then
    v_worker := muster_private.current_worker();
    v_job := muster_private.held_job(v_worker,
      muster_private.to_uuid(create_artifact.artifact ->> 'job_id', 'job id'), (create_artifact.artifact ->> 'attempt')::integer);
    v_caller.tenant_id := v_worker.tenant_id;
  else
    v_caller := muster_private.resolve_caller(create_artifact.caller, 'submit');
    if create_artifact.artifact ->> 'job_id' is not null then
      perform muster_private.fail('MU002', 'Cannot write an output of a job: only the worker that runs it can');
    end if;
  end if;
  if (select count(*) from muster.artifacts a where a.tenant_id = v_caller.tenant_id and a.job_id = v_job.id) >= 1000 then
    perform muster_private.fail('MU015', format('Cannot add another artifact to job %s: it has 1000', v_job.id));
  end if;
  insert into muster.artifacts (id, tenant_id, job_id, attempt, worker_id, executor_id, name, path, content_type,
    size_bytes, sha256, created_at)
  values (v_id, v_caller.tenant_id, v_job.id, v_job.attempts, v_worker.id, v_caller.executor_id, v_name,
    v_caller.tenant_id || case when v_job.id is null then '/inputs/' else '/jobs/' || v_job.id || '/' || v_job.attempts || '/' end
      || v_id || '/' || right(case when v_safe_name ~ '[A-Za-z0-9]' then v_safe_name else 'file' end, 100),
    coalesce(create_artifact.artifact ->> 'content_type', 'application/octet-stream'),
    (create_artifact.artifact ->> 'size_bytes')::bigint, create_artifact.artifact ->> 'sha256', v_now)
  returning * into v_artifact;
  perform muster_private.audit_artifact(v_artifact, muster_private.current_actor(), 'artifact.created');
  return muster_private.artifact_json(v_artifact);
end
$$;
comment on function muster.create_artifact(jsonb, jsonb) is
  'Announces a file: an input by an app, or an output by the worker that holds the attempt';

create function muster_private.artifact_of_tenant(artifact_id uuid, tenant_id uuid) returns muster.artifacts
language plpgsql stable set search_path = ''
as $$
declare
  v_artifact muster.artifacts;
begin
  select * into v_artifact from muster.artifacts a
  where a.id = artifact_of_tenant.artifact_id and a.tenant_id = artifact_of_tenant.tenant_id;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find artifact %s', artifact_of_tenant.artifact_id));
  end if;
  return v_artifact;
end
$$;
comment on function muster_private.artifact_of_tenant(uuid, uuid) is 'An artifact of the tenant, or not_found';

create function muster.get_artifact(caller jsonb, artifact_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller muster_private.caller;
  v_worker muster.worker_devices;
  v_artifact muster.artifacts;
begin
  if not muster_private.is_worker() then
    v_caller := muster_private.resolve_caller(get_artifact.caller, 'read');
    v_artifact := muster_private.artifact_of_tenant(get_artifact.artifact_id, v_caller.tenant_id);
    perform muster_private.audit_artifact(v_artifact, v_caller.actor, 'artifact.read');
    return muster_private.artifact_json(v_artifact);
  end if;
  v_worker := muster_private.current_worker();
  v_artifact := muster_private.artifact_of_tenant(get_artifact.artifact_id, v_worker.tenant_id);
  if not exists (
    select from muster_private.held_jobs h
    where h.worker_id = v_worker.id and h.tenant_id = v_worker.tenant_id
      and ((h.job_id = v_artifact.job_id and h.attempt = v_artifact.attempt)
        or exists (select from muster.job_inputs i where i.job_id = h.job_id and i.artifact_id = v_artifact.id))
  ) then
    -- The same answer as for an unknown id: an unassigned worker learns nothing (I6).
    perform muster_private.fail('MU003', format('Cannot find artifact %s', get_artifact.artifact_id));
  end if;
  perform muster_private.audit_artifact(v_artifact, muster_private.current_actor(), 'artifact.read');
  return muster_private.artifact_json(v_artifact);
end
$$;
comment on function muster.get_artifact(jsonb, uuid) is
  'An artifact the caller may read; a worker reads the inputs of jobs it holds and its own outputs';

create function muster.authorize_artifact_finish(caller jsonb, artifact_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller muster_private.caller;
  v_worker muster.worker_devices;
  v_artifact muster.artifacts;
begin
  if muster_private.is_worker() then
    v_worker := muster_private.current_worker();
    v_artifact := muster_private.artifact_of_tenant(authorize_artifact_finish.artifact_id, v_worker.tenant_id);
    if v_artifact.worker_id is distinct from v_worker.id then
      perform muster_private.fail('MU003', format('Cannot find artifact %s', authorize_artifact_finish.artifact_id));
    end if;
    perform muster_private.held_job(v_worker, v_artifact.job_id, v_artifact.attempt);
  else
    v_caller := muster_private.resolve_caller(authorize_artifact_finish.caller, 'submit');
    v_artifact := muster_private.artifact_of_tenant(authorize_artifact_finish.artifact_id, v_caller.tenant_id);
    if v_artifact.job_id is not null then
      perform muster_private.fail('MU002', 'Cannot finish an output of a job: only the worker that runs it can');
    end if;
  end if;
  if v_artifact.status = 'rejected' then
    perform muster_private.fail('MU008', format('Cannot finish artifact %s: it was rejected', v_artifact.id), 'Create a new artifact');
  end if;
  return muster_private.artifact_json(v_artifact);
end
$$;
comment on function muster.authorize_artifact_finish(jsonb, uuid) is 'The artifact, if the caller may declare it complete';

create function muster.finish_artifact(artifact_id uuid, size_bytes bigint, sha256 text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_artifact muster.artifacts;
  v_worker muster.worker_devices;
begin
  select * into v_artifact from muster.artifacts a where a.id = finish_artifact.artifact_id for no key update;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find artifact %s', finish_artifact.artifact_id));
  end if;
  if v_artifact.status = 'rejected' then
    perform muster_private.fail('MU008', format('Cannot finish artifact %s: it was rejected', v_artifact.id), 'Create a new artifact');
  end if;
  if (v_artifact.size_bytes, v_artifact.sha256) is distinct from (finish_artifact.size_bytes, finish_artifact.sha256) then
    perform muster_private.fail('MU016', format('Cannot finish artifact %s: its bytes are not the ones declared', v_artifact.id));
  end if;
  if v_artifact.job_id is not null then
    select * into strict v_worker from muster.worker_devices w where w.id = v_artifact.worker_id;
    perform muster_private.held_job(v_worker, v_artifact.job_id, v_artifact.attempt);
  end if;
  if v_artifact.status = 'pending' then
    update muster.artifacts a set status = 'ready', finished_at = v_now
    where a.id = v_artifact.id returning * into v_artifact;
    perform muster_private.audit_artifact(v_artifact, muster_private.artifact_owner(v_artifact), 'artifact.finished');
  end if;
  return muster_private.artifact_json(v_artifact);
end
$$;
comment on function muster.finish_artifact(uuid, bigint, text) is
  'Declares an artifact complete, after its bytes were read and measured; an output only while its attempt is current';

create function muster.reject_artifact(artifact_id uuid, reason text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_artifact muster.artifacts;
begin
  update muster.artifacts a
  set status = 'rejected', error = left(reject_artifact.reason, 500), finished_at = muster_private.now()
  where a.id = reject_artifact.artifact_id and a.status = 'pending'
  returning * into v_artifact;
  if not found then
    return null;
  end if;
  perform muster_private.audit_artifact(v_artifact, muster_private.artifact_owner(v_artifact), 'artifact.rejected');
  return muster_private.artifact_json(v_artifact);
end
$$;
comment on function muster.reject_artifact(uuid, text) is 'Marks an artifact whose bytes are not the ones declared; null when it was not pending';

create function muster.list_artifacts(caller jsonb, job_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_artifacts.caller, 'read');
  v_job constant muster.jobs := muster_private.job_of_tenant(list_artifacts.job_id, v_caller.tenant_id);
begin
  return jsonb_build_object('artifacts', (
    select coalesce(jsonb_agg(muster_private.artifact_json(a) order by a.job_id is not null, a.created_at, a.id), '[]')
    from muster.artifacts a
    where a.tenant_id = v_caller.tenant_id
      and ((a.job_id = v_job.id and a.attempt = v_job.attempts and a.status = 'ready')
        or a.id in (select i.artifact_id from muster.job_inputs i where i.job_id = v_job.id))));
end
$$;
comment on function muster.list_artifacts(jsonb, uuid) is 'The inputs of a job and the finished outputs of its current attempt, which is the winning one once it has ended';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'create_artifact(jsonb, jsonb)', 'get_artifact(jsonb, uuid)', 'authorize_artifact_finish(jsonb, uuid)',
    'finish_artifact(uuid, bigint, text)', 'reject_artifact(uuid, text)', 'list_artifacts(jsonb, uuid)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
grant execute on function muster.create_artifact(jsonb, jsonb) to muster_worker;
grant execute on function muster.get_artifact(jsonb, uuid) to muster_worker;
grant execute on function muster.authorize_artifact_finish(jsonb, uuid) to muster_worker;
revoke execute on all functions in schema muster_private from public;
