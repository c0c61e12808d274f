-- How the items of a submission are read. Jobs of a batch are mostly alike: what they share, all but payload, idempotency
-- key and correlation id, is their shape. It is checked, matched with a class and turned into columns once, however many
-- jobs have it.

create type muster_private.read_items as (
  shapes jsonb[],
  -- The place, from 1, of the first item of each shape.
  firsts integer[],
  -- By item: the number of its shape, and what is its own.
  shape_numbers integer[],
  payloads jsonb[],
  keys text[],
  correlation_ids text[]
);

-- An item that check_job() will refuse for what is its own is a shape by itself, with all it has.
create function muster_private.read_items(items jsonb) returns muster_private.read_items
language plpgsql immutable set search_path = ''
as $$
declare
  v_read muster_private.read_items;
  v_shapes jsonb[];
begin
  select array_agg(case when jsonb_typeof(i.item) = 'object'
        and coalesce(octet_length(i.payload::text) <= 524288
          -- In small ones nothing can be deep: most need no call.
          and (pg_column_size(i.payload) <= 200 or not muster_private.is_too_deep(i.payload)), true)
        and (i.key is null or jsonb_typeof(i.item -> 'idempotency_key') = 'string' and length(i.key) between 1 and 255)
        and (i.correlation_id is null or jsonb_typeof(i.item -> 'correlation_id') = 'string' and length(i.correlation_id) between 1 and 255)
      then i.item - '{payload,idempotency_key,correlation_id}'::text[] else i.item end order by i.place),
    array_agg(coalesce(i.payload, '{}') order by i.place), array_agg(i.key order by i.place), array_agg(i.correlation_id order by i.place)
  into v_shapes, v_read.payloads, v_read.keys, v_read.correlation_ids
  from (
    select e.item, e.place, e.item -> 'payload' as payload, e.item ->> 'idempotency_key' as key,
      e.item ->> 'correlation_id' as correlation_id
    from jsonb_array_elements(read_items.items) with ordinality e (item, place)
  ) i;
  if v_shapes is null then
    return row ('{}', '{}', '{}', '{}', '{}', '{}')::muster_private.read_items;
  end if;
  if v_shapes[1] = all (v_shapes) then
    v_read.shapes := v_shapes[:1];
    v_read.firsts := array[1];
    v_read.shape_numbers := array_fill(1, array[cardinality(v_shapes)]);
    return v_read;
  end if;
  with alike as (
    select s.shape, min(s.place) as first, row_number() over (order by min(s.place)) as number
    from unnest(v_shapes) with ordinality s (shape, place)
    group by s.shape
  ), items as (
    select a.number, s.place from unnest(v_shapes) with ordinality s (shape, place) join alike a on a.shape = s.shape
  )
  select (select array_agg(a.shape order by a.number) from alike a), (select array_agg(a.first order by a.number) from alike a),
    (select array_agg(i.number order by i.place) from items i)
  into v_read.shapes, v_read.firsts, v_read.shape_numbers;
  return v_read;
end
$$;
comment on function muster_private.read_items(jsonb) is 'The shapes of the items of a submission, and what each has for itself';

-- What makes a job its own, the caller fills in: id, position, payload, idempotency key. A job that has a gate is in the
-- making until it is admitted.
create function muster_private.job_of_shape(
  shape jsonb, tenant_id uuid, executor_id uuid, class_id bigint, class jsonb, correlation_id text, at timestamptz
) returns muster.jobs
language plpgsql stable set search_path = ''
as $$
declare
  v_job muster.jobs;
  v_run_at constant timestamptz := (job_of_shape.shape ->> 'run_at')::timestamptz;
begin
  v_job.tenant_id := job_of_shape.tenant_id;
  v_job.executor_id := job_of_shape.executor_id;
  v_job.class_id := job_of_shape.class_id;
  v_job.requires := array(select jsonb_array_elements_text(job_of_shape.class -> 'requires'));
  v_job.labels := job_of_shape.class -> 'labels';
  v_job.type := job_of_shape.shape ->> 'type';
  v_job.correlation_id := job_of_shape.correlation_id;
  v_job.concurrency_key := job_of_shape.shape ->> 'concurrency_key';
  v_job.priority := coalesce((job_of_shape.shape ->> 'priority')::smallint, 0);
  v_job.fairness_key := job_of_shape.shape ->> 'fairness_key';
  v_job.fairness_weight := coalesce((job_of_shape.shape ->> 'fairness_weight')::smallint, 1);
  v_job.max_attempts := coalesce((job_of_shape.shape ->> 'max_attempts')::integer, 3);
  v_job.retry_base := make_interval(secs => coalesce((job_of_shape.shape ->> 'retry_base_seconds')::double precision, 1));
  v_job.retry_cap := make_interval(secs => coalesce((job_of_shape.shape ->> 'retry_cap_seconds')::double precision, 300));
  v_job.attempt_timeout := make_interval(secs => coalesce((job_of_shape.shape ->> 'attempt_timeout_seconds')::double precision, 3600));
  v_job.secret_names := array(
    select distinct n from jsonb_array_elements_text(coalesce(nullif(job_of_shape.shape -> 'secrets', 'null'), '[]')) n order by n);
  v_job.notify := coalesce((job_of_shape.shape ->> 'notify')::boolean, false);
  v_job.parent_id := (job_of_shape.shape ->> 'parent_id')::uuid;
  v_job.policy := muster_private.policy_of(job_of_shape.shape);
  v_job.has_gates := v_job.concurrency_key is not null
    or v_job.policy ?| '{rate_limit,after_policy,affinity,resource_ref}'::text[];
  v_job.run_at := greatest(coalesce(v_run_at, job_of_shape.at), job_of_shape.at);
  v_job.start_by := (job_of_shape.shape ->> 'start_by')::timestamptz;
  v_job.expires_at := job_of_shape.at + make_interval(secs => (job_of_shape.shape ->> 'timeout_seconds')::double precision);
  v_job.created_at := job_of_shape.at;
  v_job.updated_at := job_of_shape.at;
  v_job.attempts := 0;
  v_job.stored_sequence := 0;
  if v_run_at > job_of_shape.at then
    v_job.status := 'scheduled';
    v_job.last_sequence := 1;
    v_job.stored_sequence := 1;
  elsif v_job.has_gates then
    v_job.status := 'blocked';
    v_job.waiting_for := 'concurrency';
    v_job.last_sequence := 0;
  else
    v_job.status := 'queued';
    v_job.queued_at := job_of_shape.at;
    v_job.last_sequence := 1;
  end if;
  return v_job;
end
$$;
comment on function muster_private.job_of_shape(jsonb, uuid, uuid, bigint, jsonb, text, timestamptz) is
  'The columns of the jobs of a shape, before they are stored';

-- A job for each shape, each set of requirements interned once.
create function muster_private.jobs_of_shapes(
  shapes jsonb[], classes jsonb, class_ids jsonb, tenant_id uuid, executor_id uuid, correlation_id text, at timestamptz
) returns muster.jobs[]
language plpgsql stable set search_path = ''
as $$
begin
  return array(
    select muster_private.job_of_shape(s.shape, jobs_of_shapes.tenant_id, jobs_of_shapes.executor_id,
      (jobs_of_shapes.class_ids ->> (c.found ->> 'digest'))::bigint, c.found, jobs_of_shapes.correlation_id, jobs_of_shapes.at)
    from unnest(jobs_of_shapes.shapes) with ordinality s (shape, number)
    join jsonb_array_elements(jobs_of_shapes.classes) c (found) on c.found -> 'asked' = jsonb_build_array(
      s.shape -> 'requires', s.shape -> 'labels', s.shape -> 'where', s.shape -> 'prefer', s.shape -> 'resources')
    order by s.number);
end
$$;
comment on function muster_private.jobs_of_shapes(jsonb[], jsonb, jsonb, uuid, uuid, text, timestamptz) is
  'The columns of the jobs of each shape, of classes that classes_of() and intern_classes() answer';

revoke execute on all functions in schema muster_private from public;
