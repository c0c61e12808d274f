-- Jobs and all that hangs on them: the requirement sets they share, their events, their files.
--
-- No index on jobs names a column that changes while a job lives, so its updates stay within its page. What the scheduler
-- searches by stands in the narrow tables of muster_private, a row for as long as a job is in that state.

create type muster.job_status as enum (
  'scheduled', 'blocked', 'queued', 'assigned', 'running', 'succeeded', 'failed', 'cancelled');

create table muster.job_classes (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references muster.tenants on delete cascade,
  digest text not null,
  requires text[] not null,
  labels jsonb not null,
  expressions jsonb not null default '[]',
  preferences jsonb not null default '[]',
  resources jsonb not null default '{}',
  slots smallint not null default 1,
  created_at timestamptz not null default muster_private.now(),
  constraint slots_are_1_to_256 check (slots between 1 and 256),
  unique (tenant_id, digest),
  unique (tenant_id, id)
);
comment on table muster.job_classes is 'Distinct sets of requirements; jobs of one class fit the same workers';

create table muster.worker_classes (
  worker_id uuid not null,
  class_id bigint not null,
  tenant_id uuid not null,
  preference real not null default 0,
  primary key (worker_id, class_id),
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id) on delete cascade,
  foreign key (tenant_id, class_id) references muster.job_classes (tenant_id, id) on delete cascade
);
comment on table muster.worker_classes is
  'Which workers can serve which classes; of those that can, the ones of higher preference are given its jobs first';
create index worker_classes_of_worker_idx on muster.worker_classes (tenant_id, worker_id);
create index worker_classes_of_class_idx on muster.worker_classes (tenant_id, class_id, preference desc, worker_id);

create sequence muster.job_positions;
comment on sequence muster.job_positions is 'Order in which jobs were handed in';

create table muster.jobs (
  -- As new_job_ids() makes them, of what any role may use: the default is for rows that others insert.
  id uuid primary key default encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from now()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid,
  tenant_id uuid not null references muster.tenants on delete cascade,
  position bigint not null default nextval('muster.job_positions'),
  type text not null,
  status muster.job_status not null,
  class_id bigint not null,
  executor_id uuid,
  worker_id uuid,
  payload jsonb not null default '{}',
  result jsonb,
  error jsonb,
  progress real,
  progress_note text,
  idempotency_key text,
  correlation_id text,
  concurrency_key text,
  priority smallint not null default 0,
  rank bigint not null default 0,
  fairness_key text,
  fairness_weight smallint not null default 1,
  attempts integer not null default 0,
  released_count integer not null default 0,
  max_attempts integer not null default 3,
  retry_base interval not null default '1 second',
  retry_cap interval not null default '5 minutes',
  attempt_timeout interval not null default '1 hour',
  requires text[] not null default '{}',
  labels jsonb not null default '{}',
  secret_names text[] not null default '{}',
  notify boolean not null default false,
  retry_of uuid,
  parent_id uuid,
  waiting_for text,
  policy jsonb not null default '{}',
  has_gates boolean not null
    generated always as (concurrency_key is not null or policy ?| '{rate_limit,after_policy,affinity,resource_ref,bound_to}'::text[]) stored,
  last_sequence bigint not null default 0,
  stored_sequence bigint not null default 0,
  run_at timestamptz not null,
  start_by timestamptz,
  expires_at timestamptz,
  attempt_deadline_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  queued_at timestamptz,
  assigned_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  constraint held_jobs_name_their_worker
    check (status not in ('assigned', 'running') or worker_id is not null),
  constraint waiting_jobs_name_no_worker
    check (status not in ('scheduled', 'blocked', 'queued') or worker_id is null),
  constraint held_jobs_have_a_deadline
    check ((status in ('assigned', 'running')) = (attempt_deadline_at is not null)),
  constraint ended_jobs_say_when
    check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint blocked_jobs_say_what_they_wait_for
    check ((status = 'blocked') = (waiting_for is not null)),
  constraint reasons_to_wait_are_known
    check (waiting_for in ('dependencies', 'children', 'concurrency', 'rate', 'affinity')),
  constraint weights_are_1_to_100 check (fairness_weight between 1 and 100),
  constraint priorities_are_small check (priority between -100 and 100),
  constraint attempts_are_limited check (max_attempts between 1 and 20),
  constraint secrets_are_few check (cardinality(secret_names) <= 20)
-- Room for the three versions of a job that is given and ends at once: the first cannot be cleared away yet by then.
) with (fillfactor = 33);
comment on table muster.jobs is
  'Units of work. attempts is the number of the current attempt, its fencing token; released_count counts the attempts '
  'that were handed back and do not spend the job''s tries';
comment on column muster.jobs.rank is 'Order among the jobs of a class and priority; where it is equal, position tells';
comment on column muster.jobs.waiting_for is 'What a blocked job waits for';
comment on column muster.jobs.policy is 'What few jobs have: limits, affinity, and how failures are retried';
comment on column muster.jobs.has_gates is 'Whether it may be kept from the queue each time it comes to it';
comment on column muster.jobs.last_sequence is 'Number of its last event';
comment on column muster.jobs.stored_sequence is 'Number of its last event in stored_events; those after it are told by this row';
comment on column muster.jobs.start_by is 'An attempt must have started by then';

create unique index jobs_idempotency_key_idx on muster.jobs (tenant_id, idempotency_key) where idempotency_key is not null;
create index jobs_newest_idx on muster.jobs (tenant_id, created_at, id);

-- Ids that go up with the time and within a call: what is new stands at the right edge of every index of ids, which stays in
-- memory however much history there is. The layout is that of UUIDv7: milliseconds, then 12 bits that count, then 62 bits of
-- chance, so none can be guessed.
create function muster_private.new_job_ids(count integer, at timestamptz) returns uuid[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_time constant text := lpad(to_hex(greatest(extract(epoch from new_job_ids.at) * 1000, 0)::bigint), 12, '0');
  v_start constant text := left(v_time, 8) || '-' || substr(v_time, 9) || '-7';
begin
  return array(
    select (v_start || substr(to_hex(n % 4096 + 4096), 2) || substr(gen_random_uuid()::text, 19))::uuid
    from generate_series(0, new_job_ids.count - 1) n);
end
$$;
comment on function muster_private.new_job_ids(integer, timestamptz) is 'So many ids for new jobs, in the order of the time and of each other';

create function muster_private.tg_jobs__keep_terminal_states() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if (new.status, new.attempts, new.result, new.error, new.finished_at)
    is distinct from (old.status, old.attempts, old.result, old.error, old.finished_at) then
    perform muster_private.fail('MU008', format('Cannot change job %s: it has %s', old.id, old.status));
  end if;
  return new;
end
$$;
comment on function muster_private.tg_jobs__keep_terminal_states() is 'A terminal state never changes (I2), whoever writes';
create trigger keep_terminal_states before update on muster.jobs
  for each row when (old.status in ('succeeded', 'failed', 'cancelled'))
  execute function muster_private.tg_jobs__keep_terminal_states();

create table muster.concurrency_keys (
  tenant_id uuid not null references muster.tenants on delete cascade,
  key text not null,
  max_running integer not null default 1,
  fixed boolean not null default false,
  primary key (tenant_id, key),
  constraint limits_are_not_negative check (max_running between 0 and 10000),
  constraint only_operators_pause_keys check (fixed or max_running > 0)
);
comment on table muster.concurrency_keys is
  'How many jobs of a key may be queued or held at once; its row is the lock under which blocked jobs are let in';
comment on column muster.concurrency_keys.fixed is 'An operator has set the limit, and submissions leave it';

create table muster.stored_events (
  job_id uuid not null,
  sequence bigint not null,
  tenant_id uuid not null,
  attempt integer not null,
  number bigint,
  kind text not null,
  data jsonb not null,
  created_at timestamptz not null,
  primary key (job_id, sequence),
  constraint kinds_are_known check (kind in ('status', 'progress', 'log', 'chunk'))
);
comment on table muster.stored_events is
  'Of job_events, those that the row of their job does not tell; number is the worker''s own count within its attempt, null for status';
create unique index stored_events_number_idx on muster.stored_events (job_id, attempt, number) where number is not null;

-- An attempt that goes the plain way, which most do, is told by its job's row: who queued it, gave it, started it and ended
-- it wrote down when. Before one of these columns is overwritten, its event is stored (store_told_events).
create view muster.job_events with (security_invoker = true) as
select e.job_id, e.sequence, e.tenant_id, e.attempt, e.number, e.kind, e.data, e.created_at
from muster.stored_events e
union all
select j.id, t.sequence, j.tenant_id, case when t.status = 'queued' then 0 else j.attempts end, null, 'status',
  case when t.status = 'queued' then '{"status": "queued"}'
    else jsonb_strip_nulls(jsonb_build_object('status', t.status, 'worker_id', j.worker_id,
      'error', case when t.sequence = j.last_sequence and j.finished_at is not null then j.error end)) end,
  t.created_at
from muster.jobs j
cross join lateral (values
  (case when j.finished_at is not null then j.last_sequence end, j.status::text, j.finished_at),
  (case when j.started_at is not null then j.last_sequence - num_nonnulls(j.finished_at) end, 'running', j.started_at),
  (nullif(j.last_sequence - num_nonnulls(j.finished_at, j.started_at), 1), 'assigned', j.assigned_at),
  (case when j.last_sequence > num_nonnulls(j.finished_at, j.started_at) then 1 end, 'queued', j.created_at)
) t (sequence, status, created_at)
where t.sequence > j.stored_sequence and t.sequence <= j.last_sequence;
comment on view muster.job_events is
  'What happened to a job, numbered without gaps; number is the worker''s own count within its attempt, null for status';

create table muster.late_results (
  job_id uuid not null,
  attempt integer not null,
  tenant_id uuid not null,
  worker_id uuid not null,
  status text not null,
  result jsonb,
  error jsonb,
  received_at timestamptz not null,
  primary key (job_id, attempt),
  foreign key (job_id) references muster.jobs on delete cascade,
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id),
  constraint statuses_are_of_results check (status in ('succeeded', 'failed'))
);
comment on table muster.late_results is
  'What workers answered for attempts that were no longer theirs: refused, and kept as evidence of what ran';
create index late_results_of_worker_idx on muster.late_results (tenant_id, worker_id);

create type muster.artifact_status as enum ('pending', 'ready', 'rejected');

create table muster.artifacts (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  job_id uuid,
  attempt integer,
  worker_id uuid,
  executor_id uuid,
  name text not null,
  path text not null unique,
  content_type text not null,
  size_bytes bigint not null,
  sha256 text not null,
  status muster.artifact_status not null default 'pending',
  error text,
  created_at timestamptz not null,
  finished_at timestamptz,
  unique (tenant_id, id),
  foreign key (job_id) references muster.jobs on delete cascade,
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id),
  foreign key (tenant_id, executor_id) references muster.executors (tenant_id, id),
  constraint outputs_name_job_attempt_and_worker check (num_nulls(job_id, attempt, worker_id) in (0, 3)),
  constraint sizes_are_limited check (size_bytes between 0 and 52428800),
  constraint hashes_are_sha256 check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint names_are_short check (length(name) between 1 and 255)
);
comment on table muster.artifacts is
  'Files in Storage: inputs belong to their tenant, outputs to the attempt that wrote them';
create index artifacts_of_job_idx on muster.artifacts (job_id) where job_id is not null;
create index artifacts_of_worker_idx on muster.artifacts (tenant_id, worker_id) where worker_id is not null;
create index artifacts_of_executor_idx on muster.artifacts (tenant_id, executor_id) where executor_id is not null;

create table muster.job_inputs (
  job_id uuid not null,
  artifact_id uuid not null,
  tenant_id uuid not null,
  ordinal integer not null,
  primary key (job_id, artifact_id),
  foreign key (job_id) references muster.jobs on delete cascade,
  foreign key (tenant_id, artifact_id) references muster.artifacts (tenant_id, id)
);
comment on table muster.job_inputs is 'Artifacts that a job may read, in the order the submitter named them';
create index job_inputs_of_artifact_idx on muster.job_inputs (tenant_id, artifact_id);

-- The fields of a job that its policy was made of, as they were submitted.
create function muster_private.policy_json(policy jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if policy_json.policy = '{}' then
    return policy_json.policy;
  end if;
  return policy_json.policy - '{retry,batch}'::text[] || jsonb_strip_nulls(jsonb_build_object(
    'retry_backoff', policy_json.policy -> 'retry' -> 'backoff', 'retry_jitter', policy_json.policy -> 'retry' -> 'jitter',
    'final_errors', policy_json.policy -> 'retry' -> 'final_errors'));
end
$$;
comment on function muster_private.policy_json(jsonb) is 'A policy as the fields of a job';

create function muster_private.policy_of(item jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if not policy_of.item ?| '{message,concurrency_limit,concurrency_policy,rate_limit,after,affinity,resource_ref,retry_backoff,retry_jitter,final_errors}'::text[] then
    return '{}'::jsonb;
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
      'message', policy_of.item -> 'message', 'concurrency_limit', policy_of.item -> 'concurrency_limit', 'concurrency_policy', policy_of.item -> 'concurrency_policy',
      'rate_limit', policy_of.item -> 'rate_limit',
      -- Of a job that comes after none, it says nothing.
      'after_policy', case when coalesce(policy_of.item -> 'after', 'null') not in ('null', '[]')
        then coalesce(policy_of.item ->> 'after_policy', 'succeeded') end,
      'affinity', policy_of.item -> 'affinity', 'resource_ref', policy_of.item -> 'resource_ref'))
    || coalesce((
      select jsonb_build_object('retry', r.fields)
      from (select jsonb_strip_nulls(jsonb_build_object('backoff', policy_of.item -> 'retry_backoff',
        'jitter', policy_of.item -> 'retry_jitter', 'final_errors', policy_of.item -> 'final_errors')) as fields) r
      where r.fields <> '{}'), '{}');
end
$$;
comment on function muster_private.policy_of(jsonb) is 'The policy of a job that is submitted';

-- Shape of a job as every caller sees it.
create function muster_private.job_json(job muster.jobs) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_worker_name text;
  v_inputs jsonb;
begin
  if job.worker_id is not null then
    select w.name into v_worker_name from muster.worker_devices w where w.id = job.worker_id;
  end if;
  select coalesce(jsonb_agg(i.artifact_id order by i.ordinal), '[]') into v_inputs from muster.job_inputs i where i.job_id = job.id;
  return jsonb_build_object(
      'id', job.id, 'tenant_id', job.tenant_id, 'type', job.type, 'status', job.status,
      'executor_id', job.executor_id, 'worker_id', job.worker_id, 'worker_name', v_worker_name,
      'payload', job.payload, 'result', job.result, 'error', job.error,
      'progress', job.progress, 'progress_note', job.progress_note,
      'idempotency_key', job.idempotency_key, 'correlation_id', job.correlation_id,
      'concurrency_key', job.concurrency_key, 'priority', job.priority,
      'attempts', job.attempts, 'max_attempts', job.max_attempts, 'requires', job.requires, 'labels', job.labels,
      'inputs', v_inputs,
      'secrets', job.secret_names, 'notify', job.notify, 'retry_of', job.retry_of,
      'attempt_timeout_seconds', extract(epoch from job.attempt_timeout)::integer,
      'fairness_key', job.fairness_key, 'fairness_weight', job.fairness_weight,
      'parent_id', job.parent_id, 'waiting_for', job.waiting_for,
      'run_at', muster_private.iso(job.run_at), 'start_by', muster_private.iso(job.start_by),
      'expires_at', muster_private.iso(job.expires_at))
    || muster_private.policy_json(job.policy)
    || case when job.policy ? 'after_policy' then muster_private.after_json(job.tenant_id, job.id) else '{}' end
    || jsonb_build_object(
      'created_at', muster_private.iso(job.created_at), 'updated_at', muster_private.iso(job.updated_at),
      'queued_at', muster_private.iso(job.queued_at), 'assigned_at', muster_private.iso(job.assigned_at),
      'started_at', muster_private.iso(job.started_at), 'finished_at', muster_private.iso(job.finished_at))
    || muster_private.placement_json(job.class_id);
end
$$;
comment on function muster_private.job_json(muster.jobs) is 'A job as its callers see it';

revoke execute on all functions in schema muster_private from public;
