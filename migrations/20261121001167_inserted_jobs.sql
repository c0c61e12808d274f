-- Jobs that are inserted into muster.jobs, rather than submitted by a function: by the service role, over the Data API or in
-- SQL. Such a row says what is wanted, all else is filled in, and it becomes a job as if it had been submitted.

-- What a transaction brought, looked at when it commits: until then it holds none of the scheduler's locks, however long
-- it takes. The rows are gone by the commit, so each transaction sees only its own.
create table muster_private.commit_inbox (
  id bigint primary key generated always as identity,
  kind text not null,
  queue text,
  msg_ids bigint[],
  job_ids uuid[],
  constraint kinds_are_known check (kind in ('sent', 'gone', 'inserted'))
) with (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
comment on table muster_private.commit_inbox is
  'What the present transaction sent to bridged queues, took from them, or inserted into jobs: dealt with at its commit';
alter table muster_private.commit_inbox enable row level security;
create policy nobody on muster_private.commit_inbox as restrictive for all to public using (false);

-- The same names and units as a submission has.
create function muster_private.item_of_row(job muster.jobs) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_strip_nulls(jsonb_build_object(
      'type', job.type, 'requires', job.requires, 'labels', job.labels, 'idempotency_key', job.idempotency_key,
      'correlation_id', job.correlation_id, 'concurrency_key', job.concurrency_key, 'priority', job.priority,
      'fairness_key', job.fairness_key, 'fairness_weight', job.fairness_weight, 'max_attempts', job.max_attempts,
      'retry_base_seconds', extract(epoch from job.retry_base), 'retry_cap_seconds', extract(epoch from job.retry_cap),
      'attempt_timeout_seconds', extract(epoch from job.attempt_timeout), 'start_by', muster_private.iso(job.start_by),
      'run_at', muster_private.iso(job.run_at), 'secrets', job.secret_names))
    || jsonb_build_object('payload', job.payload);
end
$$;
comment on function muster_private.item_of_row(muster.jobs) is 'What an inserted row asks for, as submit_jobs() takes it';

-- Only for rows that name no class, which the scheduler's own always do. What the row says of its own state is not believed.
create function muster_private.tg_jobs__take_in() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_item jsonb;
begin
  if not exists (select from muster.tenants t where t.id = new.tenant_id) then
    perform muster_private.fail('MU003', format('Cannot find tenant %s', coalesce(new.tenant_id::text, '(none given)')),
      'Name the tenant in the column tenant_id');
  end if;
  if new.executor_id is not null
    and not exists (select from muster.executors e where e.tenant_id = new.tenant_id and e.id = new.executor_id) then
    perform muster_private.fail('MU003', format('Cannot find executor %s', new.executor_id), 'Name one of the tenant in the column executor_id, or none');
  end if;
  -- A key that is known has its job (I3): the row is left out.
  if exists (select from muster.jobs j where j.tenant_id = new.tenant_id and j.idempotency_key = new.idempotency_key) then
    return null;
  end if;
  new.id := coalesce(new.id, (muster_private.new_job_ids(1, v_now))[1]);
  new.position := coalesce(new.position, nextval('muster.job_positions'));
  new.rank := new.position * 1000000;
  new.payload := coalesce(new.payload, '{}');
  new.labels := coalesce(new.labels, '{}');
  new.priority := coalesce(new.priority, 0);
  new.notify := coalesce(new.notify, false);
  new.fairness_weight := coalesce(new.fairness_weight, 1);
  new.max_attempts := coalesce(new.max_attempts, 3);
  new.retry_base := coalesce(new.retry_base, interval '1 second');
  new.retry_cap := coalesce(new.retry_cap, interval '5 minutes');
  new.attempt_timeout := coalesce(new.attempt_timeout, interval '1 hour');
  new.run_at := greatest(coalesce(new.run_at, v_now), v_now);
  new.requires := array(select distinct r from unnest(new.requires) r order by r);
  new.secret_names := array(select distinct n from unnest(new.secret_names) n order by n);
  v_item := muster_private.item_of_row(new);
  perform muster_private.check_job(v_item, 0, v_now);
  if new.expires_at <= v_now then
    perform muster_private.fail('MU004', format('Cannot insert the job: its time is over at %s already', muster_private.iso(new.expires_at)));
  end if;
  perform muster_private.check_job_secrets(new.tenant_id, jsonb_build_array(v_item));
  select muster_private.intern_class(new.tenant_id, c ->> 'digest', c -> 'class') into new.class_id
  from jsonb_array_elements(muster_private.classes_of(jsonb_build_array(v_item))) c;
  -- It waits for its time until the commit: then it is let in, if its time has come.
  new.status := 'scheduled';
  new.waiting_for := null;
  new.parent_id := null;
  new.policy := '{}';
  new.worker_id := null;
  new.attempts := 0;
  new.released_count := 0;
  new.last_sequence := 0;
  new.result := null;
  new.error := null;
  new.progress := null;
  new.progress_note := null;
  new.retry_of := null;
  new.created_at := v_now;
  new.updated_at := v_now;
  new.queued_at := null;
  new.assigned_at := null;
  new.started_at := null;
  new.finished_at := null;
  new.attempt_deadline_at := null;
  insert into muster_private.commit_inbox (kind, job_ids) values ('inserted', array[new.id]);
  return new;
end
$$;
comment on function muster_private.tg_jobs__take_in() is 'Makes a job of a row that somebody inserts, or refuses it as a submission would be';
create trigger take_in before insert on muster.jobs
  for each row when (new.class_id is null)
  execute function muster_private.tg_jobs__take_in();

-- All that a function of ours would have filled in is left out; the position comes from its sequence.
grant insert (id, tenant_id, type, payload, requires, labels, priority, run_at, start_by, expires_at, idempotency_key,
  correlation_id, concurrency_key, fairness_key, fairness_weight, max_attempts, retry_base, retry_cap, attempt_timeout,
  secret_names, notify, executor_id) on muster.jobs to service_role;
grant usage on sequence muster.job_positions to service_role;

-- As in a submission, of what was really inserted: a row may have been turned away by the unique index, and then its id is
-- another job's. Answers the tenants whose jobs are to be assigned.
create function muster_private.admit_inserted(job_ids uuid[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_tenant record;
  v_ids uuid[];
  v_tenants uuid[] := array[]::uuid[];
  v_later uuid[];
  v_plain uuid[];
  v_gated uuid[];
begin
  select array_agg(j.id) into v_ids from muster.jobs j
  where j.id = any (admit_inserted.job_ids) and j.status = 'scheduled' and j.last_sequence = 0;
  if v_ids is null then
    return v_tenants;
  end if;
  if nullif(current_setting('muster.actor', true), '') is null then
    perform muster_private.set_actor('{"kind": "service"}');
  end if;
  for v_tenant in
    select j.tenant_id as id, jsonb_agg('{}'::jsonb) as items from muster.jobs j
    where j.id = any (v_ids) group by j.tenant_id order by j.tenant_id
  loop
    perform muster_private.check_job_quota(v_tenant.id, v_tenant.items);
    v_tenants := v_tenants || v_tenant.id;
  end loop;
  insert into muster_private.job_deadlines (job_id, tenant_id, at)
  select j.id, j.tenant_id, least(j.start_by, j.expires_at) from muster.jobs j
  where j.id = any (v_ids) and num_nonnulls(j.start_by, j.expires_at) > 0;
  insert into muster.concurrency_keys (tenant_id, key)
  select distinct j.tenant_id, j.concurrency_key from muster.jobs j
  where j.id = any (v_ids) and j.concurrency_key is not null
  order by 1, 2
  on conflict do nothing;
  insert into muster_private.scheduled_jobs (job_id, tenant_id, run_at)
  select j.id, j.tenant_id, j.run_at from muster.jobs j
  where j.id = any (v_ids) and j.run_at > admit_inserted.at;
  select array_agg(j.id) into v_later from muster.jobs j where j.id = any (v_ids) and j.run_at > admit_inserted.at;
  with due as (
    update muster.jobs j
    set status = case when j.has_gates then 'blocked' else 'queued' end::muster.job_status,
      waiting_for = case when j.has_gates then 'concurrency' end,
      queued_at = case when j.has_gates then null else admit_inserted.at end
    where j.id = any (v_ids) and j.run_at <= admit_inserted.at
    returning j.id, j.has_gates
  )
  select array_agg(d.id) filter (where not d.has_gates), array_agg(d.id) filter (where d.has_gates) into v_plain, v_gated from due d;
  perform muster_private.enter_queue(v_plain);
  perform muster_private.record_status(v_later || v_plain, admit_inserted.at);
  perform muster_private.admit_jobs(v_gated, true, admit_inserted.at);
  return v_tenants;
end
$$;
comment on function muster_private.admit_inserted(uuid[], timestamptz) is
  'Lets inserted jobs into the queue, as far as quota and gates let them; answers their tenants';

-- At the commit, with nothing of the scheduler in hand yet: first what is stored, which takes keys, then what is cancelled,
-- which waits for nobody, and at last what is given to workers.
create function muster_private.tg_commit_inbox__deal() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_actor constant text := current_setting('muster.actor', true);
  v_notes muster_private.commit_inbox[];
  v_note muster_private.commit_inbox;
  v_tenants uuid[] := array[]::uuid[];
  v_tenant_id uuid;
  v_id uuid;
begin
  with taken as (
    delete from muster_private.commit_inbox i where i.id > 0 returning i
  )
  select array_agg(t.i order by (t.i).id) into v_notes from taken t;
  -- The first note of a transaction deals with all of them.
  if v_notes is null then
    return null;
  end if;
  foreach v_note in array v_notes loop
    if v_note.kind = 'sent' then
      while cardinality(v_note.msg_ids) > 0 loop
        exit when muster_private.take_messages(v_note.queue, v_note.msg_ids[:500], v_now) is null;
        v_note.msg_ids := v_note.msg_ids[501:];
      end loop;
      v_tenants := v_tenants || array(select b.tenant_id from muster.queue_bridges b where b.queue = v_note.queue);
    end if;
  end loop;
  v_tenants := v_tenants || muster_private.admit_inserted(
    array(select j from unnest(v_notes) n cross join unnest(n.job_ids) j where n.kind = 'inserted'), v_now);
  foreach v_note in array v_notes loop
    if v_note.kind = 'gone' then
      foreach v_id in array v_note.job_ids loop
        if not muster_private.cancel_of_message(v_id) then
          insert into muster_private.queue_leftovers (job_id) values (v_id);
        end if;
      end loop;
    end if;
  end loop;
  for v_tenant_id in select distinct t from unnest(v_tenants) t order by t loop
    begin
      perform muster_private.assign_jobs(v_tenant_id, v_now);
    exception when others then
      raise log 'Cannot assign jobs of tenant % at a commit, which leaves them to the tick: % (%)', v_tenant_id, sqlerrm, sqlstate;
    end;
  end loop;
  perform set_config('muster.actor', coalesce(v_actor, ''), true);
  return null;
end
$$;
comment on function muster_private.tg_commit_inbox__deal() is
  'Makes jobs of what the transaction sent or inserted, cancels those of messages it took away, and gives them to workers';
create constraint trigger deal after insert on muster_private.commit_inbox
  deferrable initially deferred for each row execute function muster_private.tg_commit_inbox__deal();

revoke execute on all functions in schema muster_private from public;
