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
  -- Most jobs have little of the rest, and each check is a call.
  if check_job.item ?| '{requires,labels,where,prefer,resources}'::text[] then
    perform muster_private.check_placement(check_job.item);
  end if;
  if check_job.item ?| '{idempotency_key,correlation_id,concurrency_key}'::text[] then
    foreach v_name in array array['idempotency_key', 'correlation_id', 'concurrency_key'] loop
      perform muster_private.check_text(check_job.item, v_name, 255);
    end loop;
  end if;
  if check_job.item ?| '{affinity,resource_ref}'::text[] then
    perform muster_private.check_affinity(check_job.item, check_job.index);
  end if;
  if check_job.item ?| '{priority,max_attempts,attempt_timeout_seconds,timeout_seconds,concurrency_limit}'::text[] then
    perform muster_private.check_number(check_job.item, 'priority', -100, 100);
    perform muster_private.check_number(check_job.item, 'max_attempts', 1, 20);
    perform muster_private.check_number(check_job.item, 'attempt_timeout_seconds', 1, 604800);
    perform muster_private.check_number(check_job.item, 'timeout_seconds', 1, 604800);
    perform muster_private.check_number(check_job.item, 'concurrency_limit', 1, 1000);
  end if;
  if check_job.item ?| '{concurrency_policy,rate_limit,after,after_policy,parent_id}'::text[] or check_job.item ->> 'type' like 'muster.%' then
    perform muster_private.check_gates(check_job.item, check_job.index, check_job.at);
  end if;
  if check_job.item ?| '{retry_base_seconds,retry_cap_seconds}'::text[] then
    perform muster_private.check_number(check_job.item, 'retry_base_seconds', 0, 86400);
    perform muster_private.check_number(check_job.item, 'retry_cap_seconds', 0, 86400);
  end if;
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

-- Checks jobs, stores them and lets them into the queue. `read` is what read_items() makes of the items, `locked` are the
-- jobs that lock_for_gates() took, `batch_id` is a batch of the same transaction.
create function muster_private.store_items(
  tenant_id uuid, executor_id uuid, items jsonb, read muster_private.read_items, correlation_id text, at timestamptz,
  locked uuid[], batch_id uuid, out job_ids uuid[], out created boolean[]
)
language plpgsql set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
#variable_conflict use_column
declare
  v_count constant integer := jsonb_array_length(store_items.items);
  v_shapes constant jsonb := to_jsonb((store_items.read).shapes);
  v_numbers constant integer[] := (store_items.read).shape_numbers;
  v_payloads constant jsonb[] := (store_items.read).payloads;
  v_keys constant text[] := (store_items.read).keys;
  v_correlation_ids constant text[] := (store_items.read).correlation_ids;
  v_ids constant uuid[] := muster_private.new_job_ids(v_count, store_items.at);
  v_positions bigint[];
  v_classes jsonb;
  v_class_ids jsonb;
  v_jobs muster.jobs[];
  v_shape record;
  v_new record;
  v_stored uuid[];
  v_later uuid[];
  v_gated uuid[];
  v_replaced uuid[];
  v_free uuid[];
begin
  perform muster_private.check_patterns(v_shapes);
  for v_shape in
    select s.shape, s.first - 1 as index
    from unnest((store_items.read).shapes, (store_items.read).firsts) s (shape, first) order by s.first
  loop
    perform muster_private.check_job(v_shape.shape, v_shape.index, store_items.at);
  end loop;
  v_classes := muster_private.classes_of(v_shapes);

  -- Each gets its place in the order before anything is stored.
  v_positions := array(select nextval('muster.job_positions') from generate_series(1, v_count));
  perform muster_private.check_job_quota(store_items.tenant_id, store_items.items);
  v_class_ids := muster_private.intern_classes(store_items.tenant_id, v_classes);

  if jsonb_path_exists(v_shapes, '$[*].start_by') then
    perform muster_private.check_start_by(store_items.tenant_id, store_items.items, store_items.at);
  end if;
  if jsonb_path_exists(v_shapes, '$[*].inputs') then
    perform muster_private.check_inputs(store_items.tenant_id, store_items.items);
  end if;
  if jsonb_path_exists(v_shapes, '$[*].secrets') then
    perform muster_private.check_job_secrets(store_items.tenant_id, (
      select jsonb_agg(i.item || jsonb_build_object('index', i.place) order by i.place)
      from jsonb_array_elements(store_items.items) with ordinality i (item, place)));
  end if;
  v_jobs := muster_private.jobs_of_shapes((store_items.read).shapes, v_classes, v_class_ids, store_items.tenant_id,
    store_items.executor_id, store_items.correlation_id, store_items.at);

  -- In the order of the idempotency keys: two batches that share some wait for each other in one direction only. Jobs
  -- without one cannot be known already, and are spared what an insert does that may give way.
  with wanted as (
    select i.id, s.tenant_id, i.position, i.position * 1000000 as rank, s.type, s.status, s.waiting_for, s.class_id, s.executor_id,
      i.payload, i.key, coalesce(i.correlation_id, s.correlation_id) as correlation_id, s.concurrency_key, s.priority,
      s.fairness_key, s.fairness_weight, s.max_attempts, s.retry_base, s.retry_cap, s.attempt_timeout, s.requires, s.labels,
      s.secret_names, s.notify, s.parent_id, s.policy, s.run_at, s.start_by, s.expires_at, s.created_at, s.updated_at, s.queued_at,
      s.last_sequence, s.stored_sequence
    from unnest(v_ids, v_positions, v_numbers, v_payloads, v_keys, v_correlation_ids)
      i (id, position, number, payload, key, correlation_id)
    join unnest(v_jobs) with ordinality s on s.ordinality = i.number
  ), without_key as (
    insert into muster.jobs (
      id, tenant_id, position, rank, type, status, waiting_for, class_id, executor_id, payload, idempotency_key, correlation_id,
      concurrency_key, priority, fairness_key, fairness_weight, max_attempts, retry_base, retry_cap, attempt_timeout,
      requires, labels, secret_names, notify, parent_id, policy, run_at, start_by, expires_at, created_at, updated_at, queued_at,
      last_sequence, stored_sequence)
    select w.* from wanted w where w.key is null
    returning id, status, tenant_id, run_at, start_by, expires_at
  ), with_key as (
    insert into muster.jobs (
      id, tenant_id, position, rank, type, status, waiting_for, class_id, executor_id, payload, idempotency_key, correlation_id,
      concurrency_key, priority, fairness_key, fairness_weight, max_attempts, retry_base, retry_cap, attempt_timeout,
      requires, labels, secret_names, notify, parent_id, policy, run_at, start_by, expires_at, created_at, updated_at, queued_at,
      last_sequence, stored_sequence)
    select w.* from wanted w where w.key is not null
    order by w.key, w.position
    on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
    returning id, status, tenant_id, run_at, start_by, expires_at
  ), stored as (
    select o.* from without_key o union all select k.* from with_key k
  ), later as (
    insert into muster_private.scheduled_jobs (job_id, tenant_id, run_at)
    select s.id, s.tenant_id, s.run_at from stored s where s.status = 'scheduled'
  ), limited as (
    insert into muster_private.job_deadlines (job_id, tenant_id, at)
    select s.id, s.tenant_id, least(s.start_by, s.expires_at) from stored s where num_nonnulls(s.start_by, s.expires_at) > 0
  )
  select coalesce(array_agg(s.id), '{}'), array_agg(s.id) filter (where s.status = 'scheduled'),
    array_agg(s.id) filter (where s.status = 'blocked')
  into v_stored, v_later, v_gated from stored s;

  if jsonb_path_exists(v_shapes, '$[*].inputs') then
    insert into muster.job_inputs (job_id, artifact_id, tenant_id, ordinal)
    select v_ids[i.place], n.id::uuid, store_items.tenant_id, min(n.ordinal)
    from jsonb_array_elements(store_items.items) with ordinality i (item, place)
    cross join lateral jsonb_array_elements_text(coalesce(nullif(i.item -> 'inputs', 'null'), '[]')) with ordinality n (id, ordinal)
    where v_ids[i.place] = any (v_stored)
    group by 1, 2;
  end if;

  -- What is queued at once takes its turns as it was stored, without being read again.
  select array_agg(i.id) as ids, array_agg(s.class_id) as class_ids, array_agg(s.priority) as priorities,
    array_agg(i.position) as positions, array_agg(s.flow) as flows, array_agg(s.fairness_weight) as weights
  into v_new
  from unnest(v_ids, v_positions, v_numbers) i (id, position, number)
  join (
    select n.number, n.class_id, n.priority, n.fairness_weight, n.flow from (
      select j.ordinality as number, j.status, j.class_id, j.priority, j.fairness_weight,
        coalesce(j.fairness_key, j.executor_id::text, '') as flow
      from unnest(v_jobs) with ordinality j
      where j.status = 'queued'
      offset 0
    ) n
  ) s on s.number = i.number
  where cardinality(v_stored) = v_count or i.id = any (v_stored);
  perform muster_private.take_turns(store_items.tenant_id, v_new.ids, v_new.class_ids, v_new.priorities, v_new.positions,
    v_new.flows, v_new.weights, v_new.positions, store_items.at);
  perform muster_private.record_queued(store_items.tenant_id, v_new.ids, store_items.at);
  perform muster_private.record_stored(v_later, store_items.at);

  -- What is still to come sets the limit of its key as well.
  if jsonb_path_exists(v_shapes, '$[*].concurrency_key') then
    insert into muster.concurrency_keys as c (tenant_id, key, max_running)
    select store_items.tenant_id, s.shape ->> 'concurrency_key', max(coalesce((s.shape ->> 'concurrency_limit')::integer, 1))
    from jsonb_array_elements(v_shapes) s (shape)
    where s.shape ->> 'concurrency_key' in (
      select v_shapes -> i.number - 1 ->> 'concurrency_key' from unnest(v_ids, v_numbers) i (id, number) where i.id = any (v_stored))
    group by s.shape ->> 'concurrency_key' order by s.shape ->> 'concurrency_key'
    on conflict (tenant_id, key) do update set max_running = case when c.fixed then c.max_running else excluded.max_running end;
  end if;

  if cardinality(v_stored) = v_count then
    store_items.job_ids := v_ids;
    store_items.created := array_fill(true, array[v_count]);
  else
    select array_agg(coalesce(own.id, known.id) order by i.place), array_agg(own.id is not null order by i.place)
    into store_items.job_ids, store_items.created
    from unnest(v_ids, v_keys) with ordinality i (id, key, place)
    left join unnest(v_stored) own (id) on own.id = i.id
    left join muster.jobs known on own.id is null
      and known.tenant_id = store_items.tenant_id and known.idempotency_key = i.key;
  end if;

  if muster_private.has_followers(v_shapes) then
    perform muster_private.store_dependencies(
      store_items.tenant_id, store_items.items, store_items.job_ids, store_items.created, v_stored, store_items.locked);
    perform muster_private.store_children(store_items.tenant_id, v_stored, store_items.batch_id, store_items.locked);
  end if;
  if v_gated is not null then
    v_replaced := muster_private.enforce_concurrency(store_items.tenant_id, v_gated, store_items.locked, store_items.at);
    perform muster_private.admit_jobs(v_gated, true, store_items.at);
  end if;
  if muster_private.has_followers(v_shapes) then
    -- Keys of these come after those of the new jobs: who has them now is not waited for.
    v_free := muster_private.after_jobs_ended(v_replaced || muster_private.ended_before(v_stored), store_items.at);
    perform muster_private.admit_jobs(v_free, false, store_items.at);
  end if;
  if cardinality(v_replaced) > 0 then
    perform muster_private.lock_going_idle(store_items.tenant_id);
  end if;
end
$$;
comment on function muster_private.store_items(uuid, uuid, jsonb, muster_private.read_items, text, timestamptz, uuid[], uuid) is
  'Stores jobs of a tenant and lets them into the queue; answers their ids, and which of them are new';

-- The inside of a submission, for all who make jobs. Answers, in the order of the items, the id of each and whether it is
-- new: a known idempotency key has its job already (I3). What jobs come after, into or in the place of is locked first; if
-- something else turns out to be in the way, that has changed hands in between, it starts over, without the locks.
-- The caller assigns what is queued now (assign_jobs), after it has taken every other lock it needs.
create function muster_private.store_jobs(
  tenant_id uuid, executor_id uuid, items jsonb, correlation_id text, at timestamptz, batch_id uuid default null,
  read muster_private.read_items default null, out job_ids uuid[], out created boolean[]
)
language plpgsql set search_path = ''
as $$
declare
  v_read muster_private.read_items := store_jobs.read;
begin
  if (store_jobs.read).shapes is null then
    v_read := muster_private.read_items(store_jobs.items);
  end if;
  if not muster_private.has_followers(to_jsonb((v_read).shapes)) then
    select s.job_ids, s.created into store_jobs.job_ids, store_jobs.created
    from muster_private.store_items(store_jobs.tenant_id, store_jobs.executor_id, store_jobs.items, v_read,
      store_jobs.correlation_id, store_jobs.at, '{}', store_jobs.batch_id) s;
    return;
  end if;
  perform muster_private.check_job(s.shape, s.first - 1, store_jobs.at)
  from unnest((v_read).shapes, (v_read).firsts) s (shape, first);
  loop
    begin
      select s.job_ids, s.created into store_jobs.job_ids, store_jobs.created
      from muster_private.lock_for_gates(store_jobs.tenant_id, store_jobs.items) l (locked)
      cross join lateral muster_private.store_items(store_jobs.tenant_id, store_jobs.executor_id, store_jobs.items, v_read,
        store_jobs.correlation_id, store_jobs.at, l.locked, store_jobs.batch_id) s;
      return;
    exception when sqlstate 'MUX01' then
      null;
    end;
  end loop;
end
$$;
comment on function muster_private.store_jobs(uuid, uuid, jsonb, text, timestamptz, uuid, muster_private.read_items) is
  'Stores jobs of a tenant and lets them into the queue; answers their ids, and which of them are new';

-- Jobs of one shape that were stored by this call, and went nowhere from where they were put, are answered alike but for
-- what is their own: one of them is read for all. The others are read one by one.
create function muster_private.answer_of(
  job_ids uuid[], created boolean[], read muster_private.read_items, correlation_id text, some_assigned boolean
)
returns text
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_own constant text[] := '{id,payload,idempotency_key,correlation_id}'::text[];
  v_correlation_id constant text := coalesce(to_json(answer_of.correlation_id)::text, 'null');
  v_held uuid[] := array[]::uuid[];
  v_likes text[];
begin
  if answer_of.some_assigned then
    v_held := array(select h.job_id from muster_private.held_jobs h where h.job_id = any (answer_of.job_ids));
  end if;
  -- By the number of the shape: what its jobs have in common; null where each has to be read.
  v_likes := array(
    select (
      select substr((muster_private.job_json(j) - v_own)::text, 2) || ',"created":true}'
      from muster.jobs j where j.id = f.id and not j.has_gates)
    from generate_series(1, cardinality((answer_of.read).shapes)) n (number)
    left join (
      select i.number, min(i.id::text)::uuid as id
      from unnest(answer_of.job_ids, answer_of.created, (answer_of.read).shape_numbers) i (id, is_new, number)
      where i.is_new and i.id <> all (v_held)
      group by i.number
    ) f on f.number = n.number
    order by n.number);
  return coalesce((
    select string_agg(case when i.alike is null then (
          select '{"job":' || muster_private.job_json(j)::text || case when i.is_new then ',"created":true}' else ',"created":false}' end
          from muster.jobs j where j.id = i.id)
        else '{"job":{"id":"' || i.id::text || '","payload":' || i.payload::text
          || case when i.key is null then ',"idempotency_key":null,"correlation_id":'
            else ',"idempotency_key":' || to_json(i.key)::text || ',"correlation_id":' end
          || coalesce(to_json(i.correlation_id)::text, v_correlation_id) || ',' || i.alike end, ',' order by i.place)
    from (
      select u.place, u.id, u.is_new, u.payload, u.key, u.correlation_id,
        case when u.is_new and u.id <> all (v_held) then v_likes[u.number] end as alike
      from unnest(answer_of.job_ids, answer_of.created, (answer_of.read).shape_numbers, (answer_of.read).payloads,
        (answer_of.read).keys, (answer_of.read).correlation_ids)
        with ordinality u (id, is_new, number, payload, key, correlation_id, place)
    ) i), '');
end
$$;
comment on function muster_private.answer_of(uuid[], boolean[], muster_private.read_items, text, boolean) is
  'What submit_jobs() answers of each job, as the inside of an array';

-- As text, which it is in the end: an object made of so many fields a job would be taken apart again to be sent.
create function muster.submit_jobs(caller jsonb, jobs jsonb, correlation_id text default null, batch jsonb default null) returns json
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(submit_jobs.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_count constant integer := case when jsonb_typeof(submit_jobs.jobs) = 'array' then jsonb_array_length(submit_jobs.jobs) else -1 end;
  v_items jsonb := submit_jobs.jobs;
  v_batch_id uuid;
  v_is_new boolean;
  v_assigned integer := 0;
  v_read muster_private.read_items;
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
  v_read := muster_private.read_items(v_items);
  select * into v_stored from muster_private.store_jobs(
    v_caller.tenant_id, v_caller.executor_id, v_items, submit_jobs.correlation_id, v_now,
    case when v_is_new then v_batch_id end, v_read);
  if v_batch_id is not null then
    -- All may have ended already, or there are none.
    v_free := muster_private.after_jobs_ended(muster_private.end_empty_batches(array[v_batch_id], v_now), v_now);
    perform muster_private.admit_jobs(v_free, false, v_now);
  end if;
  if true = any (v_stored.created) or cardinality(v_free) > 0 then
    v_assigned := muster_private.assign_jobs(v_caller.tenant_id, v_now);
  end if;
  return concat('{"jobs":[',
    muster_private.answer_of(v_stored.job_ids, v_stored.created, v_read, submit_jobs.correlation_id, v_assigned > 0),
    ']', (
      select ',"batch":' || (muster_private.job_json(j) || jsonb_build_object('batch', muster_private.batch_counts(j)))::text
      from muster.jobs j where j.id = v_batch_id), '}')::json;
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
