-- Jobs and all that hangs on them: the requirement sets they share, their events, their files.

create type muster.job_status as enum (
  'scheduled', 'blocked', 'queued', 'assigned', 'running', 'succeeded', 'failed', 'cancelled');

create table muster.job_classes (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references muster.tenants on delete cascade,
  digest text not null,
  requires text[] not null,
  labels jsonb not null,
  created_at timestamptz not null default muster_private.now(),
  unique (tenant_id, digest),
  unique (tenant_id, id)
);
comment on table muster.job_classes is 'Distinct sets of requirements; jobs of one class fit the same workers';

create table muster.worker_classes (
  worker_id uuid not null,
  class_id bigint not null,
  tenant_id uuid not null,
  primary key (worker_id, class_id),
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id) on delete cascade,
  foreign key (tenant_id, class_id) references muster.job_classes (tenant_id, id) on delete cascade
);
comment on table muster.worker_classes is 'Which workers can serve which classes';
create index worker_classes_of_worker_idx on muster.worker_classes (tenant_id, worker_id);
create index worker_classes_of_class_idx on muster.worker_classes (tenant_id, class_id, worker_id);

create sequence muster.job_positions;
comment on sequence muster.job_positions is 'Order in which jobs were handed in';

create table muster.jobs (
  id uuid primary key default gen_random_uuid(),
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
  run_at timestamptz not null,
  expires_at timestamptz,
  attempt_deadline_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  queued_at timestamptz,
  assigned_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  unique (tenant_id, id),
  foreign key (tenant_id, class_id) references muster.job_classes (tenant_id, id),
  foreign key (tenant_id, executor_id) references muster.executors (tenant_id, id),
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id),
  constraint held_jobs_name_their_worker
    check (status not in ('assigned', 'running') or worker_id is not null),
  constraint waiting_jobs_name_no_worker
    check (status not in ('scheduled', 'blocked', 'queued') or worker_id is null),
  constraint held_jobs_have_a_deadline
    check ((status in ('assigned', 'running')) = (attempt_deadline_at is not null)),
  constraint ended_jobs_say_when
    check ((status in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint blocked_jobs_have_a_key check (status <> 'blocked' or concurrency_key is not null),
  constraint priorities_are_small check (priority between -100 and 100),
  constraint attempts_are_limited check (max_attempts between 1 and 20),
  constraint secrets_are_few check (cardinality(secret_names) <= 20)
) with (fillfactor = 80);
comment on table muster.jobs is
  'Units of work. attempts is the number of the current attempt, its fencing token; released_count counts the attempts '
  'that were handed back and do not spend the job''s tries';

create index jobs_claimable_idx on muster.jobs (tenant_id, class_id, priority desc, position) where status = 'queued';
create index jobs_held_idx on muster.jobs (tenant_id, worker_id) where status in ('assigned', 'running');
create index jobs_overdue_idx on muster.jobs (attempt_deadline_at) where status in ('assigned', 'running');
create index jobs_due_idx on muster.jobs (run_at) where status = 'scheduled';
create index jobs_expiring_idx on muster.jobs (expires_at)
  where expires_at is not null and status in ('scheduled', 'blocked', 'queued', 'assigned', 'running');
create index jobs_blocked_idx on muster.jobs (tenant_id, concurrency_key, priority desc, position) where status = 'blocked';
create index jobs_admitted_idx on muster.jobs (tenant_id, concurrency_key)
  where concurrency_key is not null and status in ('queued', 'assigned', 'running');
create unique index jobs_idempotency_key_idx on muster.jobs (tenant_id, idempotency_key) where idempotency_key is not null;
create index jobs_newest_idx on muster.jobs (tenant_id, created_at desc, id desc);
create index jobs_of_executor_idx on muster.jobs (tenant_id, executor_id, created_at desc);

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
  primary key (tenant_id, key),
  constraint limits_are_positive check (max_running between 1 and 10000)
);
comment on table muster.concurrency_keys is
  'How many jobs of a key may be queued or held at once; its row is the lock under which blocked jobs are let in';

create table muster.job_events (
  job_id uuid not null,
  sequence bigint not null,
  tenant_id uuid not null,
  attempt integer not null,
  number bigint,
  kind text not null,
  data jsonb not null,
  created_at timestamptz not null,
  primary key (job_id, sequence),
  foreign key (job_id) references muster.jobs (id) on delete cascade,
  constraint kinds_are_known check (kind in ('status', 'progress', 'log', 'chunk'))
);
comment on table muster.job_events is
  'What happened to a job, numbered without gaps; number is the worker''s own count within its attempt, null for status';
create unique index job_events_number_idx on muster.job_events (job_id, attempt, number) where number is not null;

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
  foreign key (tenant_id, job_id) references muster.jobs (tenant_id, id) on delete cascade,
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id),
  constraint statuses_are_of_results check (status in ('succeeded', 'failed'))
);
comment on table muster.late_results is
  'What workers answered for attempts that were no longer theirs: refused, and kept as evidence of what ran';
create index late_results_of_job_idx on muster.late_results (tenant_id, job_id);
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
  foreign key (tenant_id, job_id) references muster.jobs (tenant_id, id) on delete cascade,
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id),
  foreign key (tenant_id, executor_id) references muster.executors (tenant_id, id),
  constraint outputs_name_job_attempt_and_worker check (num_nulls(job_id, attempt, worker_id) in (0, 3)),
  constraint sizes_are_limited check (size_bytes between 0 and 52428800),
  constraint hashes_are_sha256 check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint names_are_short check (length(name) between 1 and 255)
);
comment on table muster.artifacts is
  'Files in Storage: inputs belong to their tenant, outputs to the attempt that wrote them';
create index artifacts_of_job_idx on muster.artifacts (tenant_id, job_id) where job_id is not null;
create index artifacts_of_worker_idx on muster.artifacts (tenant_id, worker_id) where worker_id is not null;
create index artifacts_of_executor_idx on muster.artifacts (tenant_id, executor_id) where executor_id is not null;

create table muster.job_inputs (
  job_id uuid not null,
  artifact_id uuid not null,
  tenant_id uuid not null,
  ordinal integer not null,
  primary key (job_id, artifact_id),
  foreign key (tenant_id, job_id) references muster.jobs (tenant_id, id) on delete cascade,
  foreign key (tenant_id, artifact_id) references muster.artifacts (tenant_id, id)
);
comment on table muster.job_inputs is 'Artifacts that a job may read, in the order the submitter named them';
create index job_inputs_of_job_idx on muster.job_inputs (tenant_id, job_id);
create index job_inputs_of_artifact_idx on muster.job_inputs (tenant_id, artifact_id);

-- Shape of a job as every caller sees it.
create function muster_private.job_json(job muster.jobs) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'id', job.id, 'tenant_id', job.tenant_id, 'type', job.type, 'status', job.status,
      'executor_id', job.executor_id, 'worker_id', job.worker_id,
      'worker_name', (select w.name from muster.worker_devices w where w.id = job.worker_id),
      'payload', job.payload, 'result', job.result, 'error', job.error,
      'progress', job.progress, 'progress_note', job.progress_note,
      'idempotency_key', job.idempotency_key, 'correlation_id', job.correlation_id,
      'concurrency_key', job.concurrency_key, 'priority', job.priority,
      'attempts', job.attempts, 'max_attempts', job.max_attempts, 'requires', job.requires, 'labels', job.labels,
      'inputs', coalesce(
        (select jsonb_agg(i.artifact_id order by i.ordinal) from muster.job_inputs i where i.job_id = job.id), '[]'),
      'secrets', job.secret_names, 'notify', job.notify, 'retry_of', job.retry_of,
      'attempt_timeout_seconds', extract(epoch from job.attempt_timeout)::integer,
      'run_at', muster_private.iso(job.run_at), 'expires_at', muster_private.iso(job.expires_at))
    || jsonb_build_object(
      'created_at', muster_private.iso(job.created_at), 'updated_at', muster_private.iso(job.updated_at),
      'queued_at', muster_private.iso(job.queued_at), 'assigned_at', muster_private.iso(job.assigned_at),
      'started_at', muster_private.iso(job.started_at), 'finished_at', muster_private.iso(job.finished_at))
  );
end
$$;
comment on function muster_private.job_json(muster.jobs) is 'A job as its callers see it';

revoke execute on all functions in schema muster_private from public;
