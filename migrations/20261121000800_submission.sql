-- What apps do with jobs: submit, look, cancel, retry.

create function muster_private.check_job(item jsonb, index integer) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_name text;
begin
  if jsonb_typeof(check_job.item) <> 'object' or jsonb_typeof(check_job.item -> 'type') is distinct from 'string'
    or check_job.item ->> 'type' !~ '^[a-zA-Z0-9][a-zA-Z0-9._/:-]{0,199}$' then
    perform muster_private.fail('MU004', format('Cannot submit job %s: its type must be 1 to 200 letters, digits and . _ / : -', check_job.index));
  end if;
  -- The API counts compact JSON; jsonb writes a space after each comma and colon, so this one is generous.
  if octet_length((check_job.item -> 'payload')::text) > 524288 then
    perform muster_private.fail('MU005', format('Cannot submit job %s: its payload is over the limit of 256 KiB', check_job.index),
      'Upload the data as an artifact and name it in "inputs"');
  end if;
  if muster_private.is_too_deep(check_job.item -> 'payload') then
    perform muster_private.fail('MU004', format('Cannot submit job %s: its payload is nested deeper than 100 levels', check_job.index));
  end if;
  perform muster_private.check_capabilities(check_job.item -> 'requires', 20);
  perform muster_private.check_labels(check_job.item -> 'labels');
  foreach v_name in array array['idempotency_key', 'correlation_id', 'concurrency_key'] loop
    perform muster_private.check_text(check_job.item, v_name, 255);
  end loop;
  perform muster_private.check_number(check_job.item, 'priority', -100, 100);
  perform muster_private.check_number(check_job.item, 'max_attempts', 1, 20);
  perform muster_private.check_number(check_job.item, 'attempt_timeout_seconds', 1, 604800);
  perform muster_private.check_number(check_job.item, 'timeout_seconds', 1, 604800);
  perform muster_private.check_number(check_job.item, 'concurrency_limit', 1, 1000);
  perform muster_private.check_number(check_job.item, 'retry_base_seconds', 0, 86400);
  perform muster_private.check_number(check_job.item, 'retry_cap_seconds', 0, 86400);
  if jsonb_typeof(coalesce(check_job.item -> 'secrets', '[]')) not in ('array', 'null')
    or (jsonb_typeof(check_job.item -> 'secrets') = 'array' and jsonb_array_length(check_job.item -> 'secrets') > 20) then
    perform muster_private.fail('MU004', format('Cannot submit job %s: secrets must be an array of at most 20 names', check_job.index));
  end if;
  if jsonb_typeof(coalesce(check_job.item -> 'inputs', '[]')) not in ('array', 'null')
    or (jsonb_typeof(check_job.item -> 'inputs') = 'array' and jsonb_array_length(check_job.item -> 'inputs') > 100) then
    perform muster_private.fail('MU004', format('Cannot submit job %s: inputs must be an array of at most 100 artifact ids', check_job.index));
  end if;
end
$$;
comment on function muster_private.check_job(jsonb, integer) is 'Refuses a job that the API''s own limits would have refused';

create function muster.submit_jobs(caller jsonb, jobs jsonb, correlation_id text default null) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(submit_jobs.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_count constant integer := case when jsonb_typeof(submit_jobs.jobs) = 'array' then jsonb_array_length(submit_jobs.jobs) else -1 end;
  v_items jsonb;
  v_class record;
  v_class_ids jsonb := '{}'::jsonb;
  v_created uuid[];
  v_keys text[];
  v_answer jsonb;
begin
  if v_count < 0 then
    perform muster_private.fail('MU004', 'Cannot submit jobs: they must be an array');
  end if;
  if v_count not between 1 and 1000 then
    perform muster_private.fail('MU015', format('Cannot submit %s jobs: a batch has 1 to 1000', v_count), 'Send several batches');
  end if;
  if length(submit_jobs.correlation_id) > 255 then
    perform muster_private.fail('MU004', 'Cannot submit jobs: the correlation id must have at most 255 characters');
  end if;
  perform muster_private.check_job(i.item, i.index::integer - 1)
  from jsonb_array_elements(submit_jobs.jobs) with ordinality i (item, index);

  -- Each item gets its id, its place in the order and its sorted requirements before anything is stored.
  select jsonb_agg(i.item || jsonb_build_object(
      'id', gen_random_uuid(), 'index', i.index, 'position', nextval('muster.job_positions'), 'requires', r.names,
      'labels', coalesce(nullif(i.item -> 'labels', 'null'), '{}'),
      'digest', muster_private.class_digest(r.names, coalesce(nullif(i.item -> 'labels', 'null'), '{}')))
      order by i.index)
  into v_items
  from jsonb_array_elements(submit_jobs.jobs) with ordinality i (item, index)
  cross join lateral (
    select coalesce(array_agg(distinct n.name order by n.name), '{}') as names
    from jsonb_array_elements_text(coalesce(nullif(i.item -> 'requires', 'null'), '[]')) n (name)
  ) r;

  perform muster_private.check_job_quota(v_caller.tenant_id, v_items);

  for v_class in
    select distinct on (i ->> 'digest') i ->> 'digest' as digest, i -> 'labels' as labels,
      array(select jsonb_array_elements_text(i -> 'requires')) as requires
    from jsonb_array_elements(v_items) i order by i ->> 'digest'
  loop
    v_class_ids := v_class_ids || jsonb_build_object(
      v_class.digest, muster_private.intern_class(v_caller.tenant_id, v_class.requires, v_class.labels));
  end loop;

  perform muster_private.check_inputs(v_caller.tenant_id, v_items);
  perform muster_private.check_job_secrets(v_caller.tenant_id, v_items);

  -- In the order of the idempotency keys: two batches that share some wait for each other in one direction only.
  with stored as (
    insert into muster.jobs (
      id, tenant_id, position, type, status, class_id, executor_id, payload, idempotency_key, correlation_id,
      concurrency_key, priority, max_attempts, retry_base, retry_cap, attempt_timeout, requires, labels, secret_names, notify,
      run_at, expires_at, created_at, updated_at, queued_at)
    select (i ->> 'id')::uuid, v_caller.tenant_id, (i ->> 'position')::bigint, i ->> 'type',
      (case
        when (i ->> 'run_at')::timestamptz > v_now then 'scheduled'
        when i ->> 'concurrency_key' is not null then 'blocked'
        else 'queued' end)::muster.job_status,
      (v_class_ids ->> (i ->> 'digest'))::bigint, v_caller.executor_id, coalesce(i -> 'payload', '{}'),
      i ->> 'idempotency_key', coalesce(i ->> 'correlation_id', submit_jobs.correlation_id),
      i ->> 'concurrency_key', coalesce((i ->> 'priority')::smallint, 0),
      coalesce((i ->> 'max_attempts')::integer, 3),
      make_interval(secs => coalesce((i ->> 'retry_base_seconds')::double precision, 1)),
      make_interval(secs => coalesce((i ->> 'retry_cap_seconds')::double precision, 300)),
      make_interval(secs => coalesce((i ->> 'attempt_timeout_seconds')::double precision, 3600)),
      array(select jsonb_array_elements_text(i -> 'requires')), i -> 'labels',
      array(select distinct n from jsonb_array_elements_text(coalesce(nullif(i -> 'secrets', 'null'), '[]')) n order by n),
      coalesce((i ->> 'notify')::boolean, false),
      greatest(coalesce((i ->> 'run_at')::timestamptz, v_now), v_now),
      v_now + make_interval(secs => (i ->> 'timeout_seconds')::double precision),
      v_now, v_now, case when (i ->> 'run_at')::timestamptz > v_now or i ->> 'concurrency_key' is not null then null else v_now end
    from jsonb_array_elements(v_items) i
    order by i ->> 'idempotency_key', (i ->> 'index')::integer
    on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
    returning id
  )
  select coalesce(array_agg(s.id), '{}') into v_created from stored s;

  insert into muster.job_inputs (job_id, artifact_id, tenant_id, ordinal)
  select (i ->> 'id')::uuid, n.id::uuid, v_caller.tenant_id, min(n.ordinal)
  from jsonb_array_elements(v_items) i
  cross join lateral jsonb_array_elements_text(coalesce(nullif(i -> 'inputs', 'null'), '[]')) with ordinality n (id, ordinal)
  where (i ->> 'id')::uuid = any (v_created)
  group by 1, 2;

  perform muster_private.record_status(v_created, v_now);

  select array_agg(distinct i ->> 'concurrency_key') into v_keys
  from jsonb_array_elements(v_items) i
  where i ->> 'concurrency_key' is not null and (i ->> 'id')::uuid = any (v_created);
  if v_keys is not null then
    insert into muster.concurrency_keys as c (tenant_id, key, max_running)
    select v_caller.tenant_id, i ->> 'concurrency_key', max(coalesce((i ->> 'concurrency_limit')::integer, 1))
    from jsonb_array_elements(v_items) i
    where i ->> 'concurrency_key' = any (v_keys)
    group by i ->> 'concurrency_key' order by i ->> 'concurrency_key'
    on conflict (tenant_id, key) do update set max_running = excluded.max_running;
    perform muster_private.unblock_jobs(v_caller.tenant_id, v_keys, true, v_now);
  end if;

  if cardinality(v_created) > 0 then
    perform muster_private.assign_jobs(v_caller.tenant_id, v_now);
  end if;

  select jsonb_agg(jsonb_build_object('job', muster_private.job_json(j), 'created', own.id is not null)
    order by (i ->> 'index')::integer)
  into v_answer
  from jsonb_array_elements(v_items) i
  left join muster.jobs own on own.id = (i ->> 'id')::uuid
  left join muster.jobs known on own.id is null
    and known.tenant_id = v_caller.tenant_id and known.idempotency_key = i ->> 'idempotency_key'
  cross join lateral (select (case when own.id is null then known else own end).*) j;
  return jsonb_build_object('jobs', v_answer);
end
$$;
comment on function muster.submit_jobs(jsonb, jsonb, text) is
  'Stores 1 to 1000 jobs and gives them to idle workers in one transaction; a known idempotency key answers its job (I3)';

create function muster_private.check_inputs(tenant_id uuid, items jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
  v_missing text;
begin
  select n.id into v_missing
  from jsonb_array_elements(check_inputs.items) i
  cross join lateral jsonb_array_elements_text(coalesce(nullif(i -> 'inputs', 'null'), '[]')) n (id)
  where not exists (
    select from muster.artifacts a
    where a.tenant_id = check_inputs.tenant_id and a.id = muster_private.to_uuid(n.id, 'artifact id')
      and a.status = 'ready')
  limit 1;
  if found then
    perform muster_private.fail('MU003', format('Cannot use artifact %s as an input: there is no finished artifact of that id', v_missing),
      'Upload the file and finish the artifact first');
  end if;
end
$$;
comment on function muster_private.check_inputs(uuid, jsonb) is 'Refuses inputs that are not finished artifacts of the tenant';

create function muster_private.job_of_tenant(job_id uuid, tenant_id uuid) returns muster.jobs
language plpgsql stable set search_path = ''
as $$
declare
  v_job muster.jobs;
begin
  select * into v_job from muster.jobs j where j.id = job_of_tenant.job_id and j.tenant_id = job_of_tenant.tenant_id;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find job %s', job_of_tenant.job_id));
  end if;
  return v_job;
end
$$;
comment on function muster_private.job_of_tenant(uuid, uuid) is 'A job of the tenant, or not_found: other tenants'' jobs do not exist';

create function muster.get_job(caller jsonb, job_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(get_job.caller, 'read');
begin
  return muster_private.job_json(muster_private.job_of_tenant(get_job.job_id, v_caller.tenant_id))
    || coalesce((
      select jsonb_build_object('late_results', jsonb_agg(jsonb_build_object('attempt', l.attempt, 'worker_id', l.worker_id,
        'status', l.status, 'result', l.result, 'error', l.error, 'received_at', muster_private.iso(l.received_at))
        order by l.attempt))
      from muster.late_results l
      where l.job_id = get_job.job_id
      having count(*) > 0), '{}');
end
$$;
comment on function muster.get_job(jsonb, uuid) is 'One job of the caller''s tenant, with the late results of its attempts where there are any';

-- Each combination of filters wants a plan of its own.
create function muster.list_jobs(caller jsonb, filters jsonb default '{}', page_size integer default 50, cursor text default null)
returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_jobs.caller, 'read');
  v_size constant integer := least(greatest(coalesce(list_jobs.page_size, 50), 1), 200);
  v_before_at timestamptz := 'infinity'::timestamptz;
  v_before_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_statuses text[];
  v_unknown text;
  v_rows jsonb;
begin
  if jsonb_typeof(list_jobs.filters) not in ('object', 'null')
    or jsonb_typeof(coalesce(list_jobs.filters -> 'status', 'null')) not in ('array', 'null') then
    perform muster_private.fail('MU004', 'Cannot read the filters: they are an object, and status is an array');
  end if;
  select k into v_unknown from jsonb_object_keys(case jsonb_typeof(list_jobs.filters) when 'object' then list_jobs.filters else '{}' end) k
  where k not in ('status', 'type', 'worker_id', 'correlation_id', 'idempotency_key', 'created_after', 'created_before')
  limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot filter jobs by %s', left(v_unknown, 100)));
  end if;
  if list_jobs.cursor is not null then
    if list_jobs.cursor !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z_[0-9a-f-]{36}$' then
      perform muster_private.fail('MU004', 'Cannot read the cursor: it must be one that a list answered');
    end if;
    v_before_at := split_part(list_jobs.cursor, '_', 1)::timestamptz;
    v_before_id := muster_private.to_uuid(split_part(list_jobs.cursor, '_', 2), 'cursor');
  end if;
  if jsonb_typeof(list_jobs.filters -> 'status') = 'array' then
    v_statuses := array(select jsonb_array_elements_text(list_jobs.filters -> 'status'));
  end if;
  select coalesce(jsonb_agg(muster_private.job_json(p) - '{payload,result}'::text[] order by p.created_at desc, p.id desc), '[]')
  into v_rows
  from (
    select j.* from muster.jobs j
    where j.tenant_id = v_caller.tenant_id
      and (j.created_at, j.id) < (v_before_at, v_before_id)
      and (v_statuses is null or j.status::text = any (v_statuses))
      and (list_jobs.filters ->> 'type' is null or j.type = list_jobs.filters ->> 'type')
      and (list_jobs.filters ->> 'worker_id' is null or j.worker_id = muster_private.to_uuid(list_jobs.filters ->> 'worker_id', 'worker id'))
      and (list_jobs.filters ->> 'correlation_id' is null or j.correlation_id = list_jobs.filters ->> 'correlation_id')
      and (list_jobs.filters ->> 'idempotency_key' is null or j.idempotency_key = list_jobs.filters ->> 'idempotency_key')
      and (list_jobs.filters ->> 'created_after' is null or j.created_at > (list_jobs.filters ->> 'created_after')::timestamptz)
      and (list_jobs.filters ->> 'created_before' is null or j.created_at < (list_jobs.filters ->> 'created_before')::timestamptz)
    order by j.created_at desc, j.id desc
    limit v_size + 1
  ) p;
  -- One more than asked for was read: whether it is there says whether another page follows.
  if jsonb_array_length(v_rows) <= v_size then
    return jsonb_build_object('jobs', v_rows, 'next_cursor', null);
  end if;
  return jsonb_build_object('jobs', v_rows - v_size, 'next_cursor',
    (v_rows -> v_size - 1 ->> 'created_at') || '_' || (v_rows -> v_size - 1 ->> 'id'));
end
$$;
comment on function muster.list_jobs(jsonb, jsonb, integer, text) is 'Jobs of the tenant, newest first, without payloads and results; at most 200 a page';

-- Locks jobs and the workers that hold them, workers first. A job that changes hands in between is met by starting over:
-- leaving the block through the exception gives its locks back, before any other job is waited for.
create function muster_private.lock_jobs(tenant_id uuid, job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
declare
  v_workers uuid[];
  v_job_id uuid;
  v_holder uuid;
begin
  loop
    begin
      select coalesce(array_agg(w.id), '{}') into v_workers from (
        select w.id from muster.worker_devices w
        where w.id in (
          select j.worker_id from muster.jobs j
          where j.id = any (lock_jobs.job_ids) and j.tenant_id = lock_jobs.tenant_id and j.status in ('assigned', 'running'))
        order by w.id
        for no key update
      ) w;
      for v_job_id in select distinct i from unnest(lock_jobs.job_ids) i order by i loop
        select case when j.status in ('assigned', 'running') then j.worker_id end into v_holder from muster.jobs j
        where j.id = v_job_id and j.tenant_id = lock_jobs.tenant_id
        for no key update;
        if v_holder is not null and v_holder <> all (v_workers) then
          raise exception using errcode = 'MUX01', message = 'A job changed hands';
        end if;
      end loop;
      return;
    exception when sqlstate 'MUX01' then
      null;
    end;
  end loop;
end
$$;
comment on function muster_private.lock_jobs(uuid, uuid[]) is 'Locks jobs of a tenant and, before them, the workers that hold them';

create function muster.cancel_jobs(caller jsonb, job_ids uuid[], reason text default null) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(cancel_jobs.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_error constant jsonb := jsonb_build_object('code', 'cancelled', 'message', coalesce(left(cancel_jobs.reason, 1000), 'Cancelled by the submitter'));
  v_endings muster_private.attempt_ending[] := array[]::muster_private.attempt_ending[];
  v_held record;
  v_waiting uuid[];
  v_keys text[];
  v_id uuid;
begin
  if coalesce(cardinality(cancel_jobs.job_ids), 0) not between 1 and 1000 then
    perform muster_private.fail('MU015', 'Cannot cancel: name 1 to 1000 jobs');
  end if;
  foreach v_id in array cancel_jobs.job_ids loop
    perform muster_private.job_of_tenant(v_id, v_caller.tenant_id);
  end loop;
  perform muster_private.lock_jobs(v_caller.tenant_id, cancel_jobs.job_ids);

  for v_held in
    select j.worker_id,
      array_agg(row (j.id, 'cancelled', null, v_error, true)::muster_private.attempt_ending order by j.id) as endings,
      jsonb_agg(jsonb_build_object('jobId', j.id, 'attempt', j.attempts, 'reason', 'cancelled')) as jobs
    from muster.jobs j
    where j.id = any (cancel_jobs.job_ids) and j.status in ('assigned', 'running')
    group by j.worker_id order by j.worker_id
  loop
    v_endings := v_endings || v_held.endings;
    perform muster_private.send_cancels(v_held.worker_id, v_held.jobs);
  end loop;

  with ended as (
    update muster.jobs j
    set status = 'cancelled', error = v_error, finished_at = v_now, updated_at = v_now
    where j.id = any (cancel_jobs.job_ids) and j.status in ('scheduled', 'blocked', 'queued')
    returning j.id
  )
  select array_agg(e.id) into v_waiting from ended e;
  perform muster_private.record_status(v_waiting, v_now);
  perform muster_private.send_results(v_waiting);

  -- One pass over the concurrency keys of both, in order.
  if cardinality(v_endings) > 0 then
    perform muster_private.end_attempts(v_endings, null, v_now);
  end if;
  select array_agg(j.concurrency_key) into v_keys from muster.jobs j
  where j.id = any (cancel_jobs.job_ids) and j.concurrency_key is not null;
  perform muster_private.unblock_jobs(v_caller.tenant_id, v_keys, true, v_now);
  if cardinality(v_endings) > 0 then
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

create function muster.retry_job(caller jsonb, job_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(retry_job.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_old constant muster.jobs := muster_private.job_of_tenant(retry_job.job_id, v_caller.tenant_id);
  v_new muster.jobs;
begin
  if v_old.status not in ('failed', 'cancelled') then
    perform muster_private.fail('MU008', format('Cannot retry job %s: it is %s', v_old.id, v_old.status),
      'Only a failed or cancelled job can be retried');
  end if;
  perform muster_private.check_job_quota(v_old.tenant_id, '[{}]', false);
  insert into muster.jobs (tenant_id, type, status, class_id, executor_id, payload, correlation_id, concurrency_key,
    priority, max_attempts, retry_base, retry_cap, attempt_timeout, requires, labels, secret_names, notify, retry_of,
    run_at, expires_at, created_at, updated_at, queued_at)
  values (v_old.tenant_id, v_old.type, case when v_old.concurrency_key is null then 'queued' else 'blocked' end::muster.job_status,
    v_old.class_id, coalesce(v_caller.executor_id, v_old.executor_id), v_old.payload, v_old.correlation_id,
    v_old.concurrency_key, v_old.priority, v_old.max_attempts, v_old.retry_base, v_old.retry_cap, v_old.attempt_timeout,
    v_old.requires, v_old.labels, v_old.secret_names, v_old.notify, v_old.id,
    v_now, v_now + (v_old.expires_at - v_old.created_at), v_now, v_now, case when v_old.concurrency_key is null then v_now end)
  returning * into v_new;
  insert into muster.job_inputs (job_id, artifact_id, tenant_id, ordinal)
  select v_new.id, i.artifact_id, i.tenant_id, i.ordinal from muster.job_inputs i where i.job_id = v_old.id;
  perform muster_private.record_status(array[v_new.id], v_now);
  perform muster_private.unblock_jobs(v_new.tenant_id, array[v_new.concurrency_key], true, v_now);
  perform muster_private.assign_jobs(v_new.tenant_id, v_now);
  return muster_private.job_json(muster_private.job_of_tenant(v_new.id, v_new.tenant_id));
end
$$;
comment on function muster.retry_job(jsonb, uuid) is
  'Submits a failed or cancelled job again as a new one, which names it in retry_of: a terminal state never changes';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'submit_jobs(jsonb, jsonb, text)', 'get_job(jsonb, uuid)', 'list_jobs(jsonb, jsonb, integer, text)',
    'cancel_jobs(jsonb, uuid[], text)', 'retry_job(jsonb, uuid)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
