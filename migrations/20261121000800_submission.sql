-- What apps do with jobs: submit, look, cancel, retry.

create function muster_private.check_job(item jsonb, index integer, at timestamptz) returns void
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
  perform muster_private.check_placement(check_job.item);
  foreach v_name in array array['idempotency_key', 'correlation_id', 'concurrency_key'] loop
    perform muster_private.check_text(check_job.item, v_name, 255);
  end loop;
  perform muster_private.check_affinity(check_job.item, check_job.index);
  perform muster_private.check_number(check_job.item, 'priority', -100, 100);
  perform muster_private.check_number(check_job.item, 'max_attempts', 1, 20);
  perform muster_private.check_number(check_job.item, 'attempt_timeout_seconds', 1, 604800);
  perform muster_private.check_number(check_job.item, 'timeout_seconds', 1, 604800);
  perform muster_private.check_number(check_job.item, 'concurrency_limit', 1, 1000);
  if check_job.item ?| '{concurrency_policy,rate_limit,after,after_policy,parent_id}'::text[] or check_job.item ->> 'type' like 'muster.%' then
    perform muster_private.check_gates(check_job.item, check_job.index, check_job.at);
  end if;
  perform muster_private.check_number(check_job.item, 'retry_base_seconds', 0, 86400);
  perform muster_private.check_number(check_job.item, 'retry_cap_seconds', 0, 86400);
  perform muster_private.check_retry(check_job.item, check_job.index);
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
comment on function muster_private.check_job(jsonb, integer, timestamptz) is 'Refuses a job that the API''s own limits would have refused';

-- Checks jobs, stores them and lets them into the queue. `locked` are the jobs that lock_for_gates() took, `batch_id` is a
-- batch of the same transaction.
create function muster_private.store_items(
  tenant_id uuid, executor_id uuid, items jsonb, correlation_id text, at timestamptz, locked uuid[], batch_id uuid,
  out job_ids uuid[], out created boolean[]
)
language plpgsql set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
#variable_conflict use_column
declare
  v_items jsonb;
  v_ids constant uuid[] := muster_private.new_job_ids(jsonb_array_length(store_items.items), store_items.at);
  v_classes jsonb;
  v_class_ids jsonb;
  v_stored uuid[];
  v_plain uuid[];
  v_gated uuid[];
  v_replaced uuid[];
  v_free uuid[];
begin
  perform muster_private.check_patterns(store_items.items);
  -- Jobs of a batch are mostly alike: what they share is looked at once, and a job that has something else by itself.
  perform muster_private.check_job(
    coalesce(i.shape, (array_agg(i.item))[1]), min(i.index)::integer - 1, store_items.at)
  from (
    select e.item, e.index, s.shape
    from jsonb_array_elements(store_items.items) with ordinality e (item, index)
    cross join lateral (
      select case when jsonb_typeof(e.item) = 'object'
          and coalesce(octet_length((e.item -> 'payload')::text) <= 524288
            and (pg_column_size(e.item -> 'payload') <= 200 or not jsonb_path_exists(e.item -> 'payload', 'strict $.**{101}')), true)
          and (not e.item ? 'idempotency_key'
            or (jsonb_typeof(e.item -> 'idempotency_key') = 'string' and length(e.item ->> 'idempotency_key') between 1 and 255))
        then e.item - '{payload,idempotency_key}'::text[] end as shape
    ) s
  ) i
  group by i.shape, case when i.shape is null then i.index end;

  -- Each item gets its id, its place in the order and its class before anything is stored. Most of a batch ask for the same.
  v_classes := muster_private.classes_of(store_items.items);
  select jsonb_agg(i.item || (c.found - '{asked,class}'::text[]) || jsonb_build_object(
      'id', v_ids[i.index], 'index', i.index, 'position', nextval('muster.job_positions'))
      order by i.index)
  into v_items
  from jsonb_array_elements(store_items.items) with ordinality i (item, index)
  join jsonb_array_elements(v_classes) c (found) on c.found -> 'asked' = jsonb_build_array(
    i.item -> 'requires', i.item -> 'labels', i.item -> 'where', i.item -> 'prefer', i.item -> 'resources');

  perform muster_private.check_job_quota(store_items.tenant_id, v_items);

  v_class_ids := muster_private.intern_classes(store_items.tenant_id, v_classes);

  perform muster_private.check_start_by(store_items.tenant_id, v_items, store_items.at);
  perform muster_private.check_inputs(store_items.tenant_id, v_items);
  perform muster_private.check_job_secrets(store_items.tenant_id, v_items);

  -- In the order of the idempotency keys: two batches that share some wait for each other in one direction only. A job
  -- that has a gate is in the making until it is admitted below.
  with stored as (
    insert into muster.jobs (
      id, tenant_id, position, rank, type, status, waiting_for, class_id, executor_id, payload, idempotency_key, correlation_id,
      concurrency_key, priority, fairness_key, fairness_weight, max_attempts, retry_base, retry_cap, attempt_timeout,
      requires, labels, secret_names, notify, parent_id, policy, run_at, start_by, expires_at, created_at, updated_at, queued_at,
      last_sequence, stored_sequence)
    select (i ->> 'id')::uuid, store_items.tenant_id, (i ->> 'position')::bigint, (i ->> 'position')::bigint * 1000000, i ->> 'type',
      (case when g.is_later then 'scheduled' when g.has_gates then 'blocked' else 'queued' end)::muster.job_status,
      case when g.has_gates and not g.is_later then 'concurrency' end,
      (v_class_ids ->> (i ->> 'digest'))::bigint, store_items.executor_id, coalesce(i -> 'payload', '{}'),
      i ->> 'idempotency_key', coalesce(i ->> 'correlation_id', store_items.correlation_id),
      i ->> 'concurrency_key', coalesce((i ->> 'priority')::smallint, 0),
      i ->> 'fairness_key', coalesce((i ->> 'fairness_weight')::smallint, 1),
      coalesce((i ->> 'max_attempts')::integer, 3),
      make_interval(secs => coalesce((i ->> 'retry_base_seconds')::double precision, 1)),
      make_interval(secs => coalesce((i ->> 'retry_cap_seconds')::double precision, 300)),
      make_interval(secs => coalesce((i ->> 'attempt_timeout_seconds')::double precision, 3600)),
      array(select jsonb_array_elements_text(i -> 'requires')), i -> 'labels',
      array(select distinct n from jsonb_array_elements_text(coalesce(nullif(i -> 'secrets', 'null'), '[]')) n order by n),
      coalesce((i ->> 'notify')::boolean, false), (i ->> 'parent_id')::uuid, g.policy,
      greatest(coalesce((i ->> 'run_at')::timestamptz, store_items.at), store_items.at), (i ->> 'start_by')::timestamptz,
      store_items.at + make_interval(secs => (i ->> 'timeout_seconds')::double precision),
      store_items.at, store_items.at, case when not g.is_later and not g.has_gates then store_items.at end,
      (g.is_later or not g.has_gates)::integer, g.is_later::integer
    from jsonb_array_elements(v_items) i
    cross join lateral (
      select p.policy, coalesce((i ->> 'run_at')::timestamptz > store_items.at, false) as is_later,
        i ->> 'concurrency_key' is not null or p.policy ?| '{rate_limit,after_policy,affinity,resource_ref}'::text[] as has_gates
      from (select muster_private.policy_of(i) as policy offset 0) p
    ) g
    order by i ->> 'idempotency_key', (i ->> 'index')::integer
    on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
    returning id, status, tenant_id, run_at, start_by, expires_at
  ), later as (
    insert into muster_private.scheduled_jobs (job_id, tenant_id, run_at)
    select s.id, s.tenant_id, s.run_at from stored s where s.status = 'scheduled'
  ), limited as (
    insert into muster_private.job_deadlines (job_id, tenant_id, at)
    select s.id, s.tenant_id, least(s.start_by, s.expires_at) from stored s where num_nonnulls(s.start_by, s.expires_at) > 0
  )
  select coalesce(array_agg(s.id), '{}'), array_agg(s.id) filter (where s.status <> 'blocked'),
    array_agg(s.id) filter (where s.status = 'blocked')
  into v_stored, v_plain, v_gated from stored s;

  insert into muster.job_inputs (job_id, artifact_id, tenant_id, ordinal)
  select (i ->> 'id')::uuid, n.id::uuid, store_items.tenant_id, min(n.ordinal)
  from jsonb_array_elements(v_items) i
  cross join lateral jsonb_array_elements_text(coalesce(nullif(i -> 'inputs', 'null'), '[]')) with ordinality n (id, ordinal)
  where (i ->> 'id')::uuid = any (v_stored)
  group by 1, 2;

  perform muster_private.enter_queue(v_plain);
  perform muster_private.record_stored(v_plain, store_items.at);

  -- What is still to come sets the limit of its key as well.
  insert into muster.concurrency_keys as c (tenant_id, key, max_running)
  select store_items.tenant_id, i ->> 'concurrency_key', max(coalesce((i ->> 'concurrency_limit')::integer, 1))
  from jsonb_array_elements(v_items) i
  where i ->> 'concurrency_key' in (
    select n ->> 'concurrency_key' from jsonb_array_elements(v_items) n where (n ->> 'id')::uuid = any (v_stored))
  group by i ->> 'concurrency_key' order by i ->> 'concurrency_key'
  on conflict (tenant_id, key) do update set max_running = case when c.fixed then c.max_running else excluded.max_running end;

  select array_agg(coalesce(own.id, known.id) order by (i ->> 'index')::integer),
    array_agg(own.id is not null order by (i ->> 'index')::integer)
  into store_items.job_ids, store_items.created
  from jsonb_array_elements(v_items) i
  left join unnest(v_stored) own (id) on own.id = (i ->> 'id')::uuid
  left join muster.jobs known on own.id is null
    and known.tenant_id = store_items.tenant_id and known.idempotency_key = i ->> 'idempotency_key';

  if muster_private.has_followers(store_items.items) then
    perform muster_private.store_dependencies(
      store_items.tenant_id, store_items.items, store_items.job_ids, store_items.created, v_stored, store_items.locked);
    perform muster_private.store_children(store_items.tenant_id, v_stored, store_items.batch_id, store_items.locked);
  end if;
  v_replaced := muster_private.enforce_concurrency(store_items.tenant_id, v_gated, store_items.locked, store_items.at);
  perform muster_private.admit_jobs(v_gated, true, store_items.at);
  if muster_private.has_followers(store_items.items) then
    -- Keys of these come after those of the new jobs: who has them now is not waited for.
    v_free := muster_private.after_jobs_ended(v_replaced || muster_private.ended_before(v_stored), store_items.at);
    perform muster_private.admit_jobs(v_free, false, store_items.at);
  end if;
  if cardinality(v_replaced) > 0 then
    perform muster_private.lock_going_idle(store_items.tenant_id);
  end if;
end
$$;
comment on function muster_private.store_items(uuid, uuid, jsonb, text, timestamptz, uuid[], uuid) is
  'Stores jobs of a tenant and lets them into the queue; answers their ids, and which of them are new';

-- The inside of a submission, for all who make jobs. Answers, in the order of the items, the id of each and whether it is
-- new: a known idempotency key has its job already (I3). What jobs come after, into or in the place of is locked first; if
-- something else turns out to be in the way, that has changed hands in between, it starts over, without the locks.
-- The caller assigns what is queued now (assign_jobs), after it has taken every other lock it needs.
create function muster_private.store_jobs(
  tenant_id uuid, executor_id uuid, items jsonb, correlation_id text, at timestamptz, batch_id uuid default null,
  out job_ids uuid[], out created boolean[]
)
language plpgsql set search_path = ''
as $$
begin
  if not muster_private.has_followers(store_jobs.items) then
    select s.job_ids, s.created into store_jobs.job_ids, store_jobs.created
    from muster_private.store_items(store_jobs.tenant_id, store_jobs.executor_id, store_jobs.items, store_jobs.correlation_id,
      store_jobs.at, '{}', store_jobs.batch_id) s;
    return;
  end if;
  perform muster_private.check_job(i.item, i.index::integer - 1, store_jobs.at)
  from jsonb_array_elements(store_jobs.items) with ordinality i (item, index);
  loop
    begin
      select s.job_ids, s.created into store_jobs.job_ids, store_jobs.created
      from muster_private.lock_for_gates(store_jobs.tenant_id, store_jobs.items) l (locked)
      cross join lateral muster_private.store_items(store_jobs.tenant_id, store_jobs.executor_id, store_jobs.items,
        store_jobs.correlation_id, store_jobs.at, l.locked, store_jobs.batch_id) s;
      return;
    exception when sqlstate 'MUX01' then
      null;
    end;
  end loop;
end
$$;
comment on function muster_private.store_jobs(uuid, uuid, jsonb, text, timestamptz, uuid) is
  'Stores jobs of a tenant and lets them into the queue; answers their ids, and which of them are new';

create function muster.submit_jobs(caller jsonb, jobs jsonb, correlation_id text default null, batch jsonb default null) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(submit_jobs.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_count constant integer := case when jsonb_typeof(submit_jobs.jobs) = 'array' then jsonb_array_length(submit_jobs.jobs) else -1 end;
  v_items jsonb := submit_jobs.jobs;
  v_batch_id uuid;
  v_is_new boolean;
  v_answer jsonb;
  v_stored record;
  v_free uuid[];
begin
  if v_count < 0 then
    perform muster_private.fail('MU004', 'Cannot submit jobs: they must be an array');
  end if;
  if v_count > 1000 or v_count = 0 and coalesce(submit_jobs.batch, 'null') = 'null' then
    perform muster_private.fail('MU015', format('Cannot submit %s jobs: a request has 1 to 1000', v_count), 'Send several requests');
  end if;
  if length(submit_jobs.correlation_id) > 255 then
    perform muster_private.fail('MU004', 'Cannot submit jobs: the correlation id must have at most 255 characters');
  end if;
  if coalesce(submit_jobs.batch, 'null') <> 'null' then
    select b.id, b.is_new into v_batch_id, v_is_new
    from muster_private.store_batch(v_caller, submit_jobs.batch, submit_jobs.correlation_id, v_now) b;
    v_items := muster_private.children_items(submit_jobs.jobs, v_batch_id, submit_jobs.batch ->> 'idempotency_key');
  end if;
  select * into v_stored from muster_private.store_jobs(
    v_caller.tenant_id, v_caller.executor_id, v_items, submit_jobs.correlation_id, v_now,
    case when v_is_new then v_batch_id end);
  if v_batch_id is not null then
    -- All may have ended already, or there are none.
    v_free := muster_private.after_jobs_ended(muster_private.end_empty_batches(array[v_batch_id], v_now), v_now);
    perform muster_private.admit_jobs(v_free, false, v_now);
  end if;
  if true = any (v_stored.created) or cardinality(v_free) > 0 then
    perform muster_private.assign_jobs(v_caller.tenant_id, v_now);
  end if;
  v_answer := jsonb_build_object('jobs', (
    select coalesce(jsonb_agg(jsonb_build_object('job', muster_private.job_json(j), 'created', s.created) order by s.n), '[]')
    from unnest(v_stored.job_ids, v_stored.created) with ordinality s (id, created, n)
    join muster.jobs j on j.id = s.id));
  if v_batch_id is null then
    return v_answer;
  end if;
  return v_answer || jsonb_build_object('batch', (
    select muster_private.job_json(j) || jsonb_build_object('batch', muster_private.batch_counts(j))
    from muster.jobs j where j.id = v_batch_id));
end
$$;
comment on function muster.submit_jobs(jsonb, jsonb, text, jsonb) is
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
  v_job constant muster.jobs := muster_private.job_of_tenant(get_job.job_id, v_caller.tenant_id);
begin
  return muster_private.job_json(v_job)
    || case when v_job.type = 'muster.batch' then jsonb_build_object('batch', muster_private.batch_counts(v_job)) else '{}' end
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

do $$
declare
  v_function text;
begin
  foreach v_function in array array['submit_jobs(jsonb, jsonb, text, jsonb)', 'get_job(jsonb, uuid)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
