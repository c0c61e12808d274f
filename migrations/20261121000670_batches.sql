-- Batches: a parent, itself a job that no worker runs, which ends when its children have.

create table muster_private.open_children (
  job_id uuid primary key,
  parent_id uuid not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.open_children is 'Jobs of batches that have not ended';
create index open_children_of_parent_idx on muster_private.open_children (parent_id, job_id);

alter table muster_private.open_children enable row level security;
create policy nobody on muster_private.open_children as restrictive for all to public using (false);

create index jobs_of_parent_idx on muster.jobs (tenant_id, parent_id, created_at, id) where parent_id is not null;

create function muster_private.tg_jobs__forget_gates() returns trigger
language plpgsql set search_path = ''
as $$
begin
  delete from muster_private.open_dependencies d using gone g where d.job_id = g.id;
  delete from muster_private.open_children c using gone g where c.job_id = g.id;
  delete from muster_private.rated_jobs r using gone g where r.job_id = g.id;
  return null;
end
$$;
comment on function muster_private.tg_jobs__forget_gates() is 'With a job goes what its gates know of it';
create trigger forget_gates after delete on muster.jobs referencing old table as gone
  for each statement execute function muster_private.tg_jobs__forget_gates();

create function muster_private.check_boolean(item jsonb, name text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if jsonb_typeof(check_boolean.item -> check_boolean.name) not in ('boolean', 'null') then
    perform muster_private.fail('MU004', format('Cannot accept %s %s: it must be true or false',
      check_boolean.name, left((check_boolean.item -> check_boolean.name)::text, 100)));
  end if;
end
$$;
comment on function muster_private.check_boolean(jsonb, text) is 'Refuses a field that is there and neither true nor false';

-- Stores the parent of the jobs that are submitted with it, or answers the one that its idempotency key has already.
create function muster_private.store_batch(
  caller muster_private.caller, batch jsonb, correlation_id text, at timestamptz, out id uuid, out is_new boolean
)
language plpgsql set search_path = ''
as $$
#variable_conflict use_column
declare
  v_id constant uuid := (muster_private.new_job_ids(1, store_batch.at))[1];
  v_position constant bigint := nextval('muster.job_positions');
  v_unknown text;
begin
  if jsonb_typeof(store_batch.batch) <> 'object' then
    perform muster_private.fail('MU004', 'Cannot submit a batch: it must be an object');
  end if;
  select k into v_unknown from jsonb_object_keys(store_batch.batch) k
  where k not in ('name', 'notify', 'open', 'idempotency_key') limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot submit a batch with %s: there is no such field', left(v_unknown, 100)));
  end if;
  perform muster_private.check_boolean(store_batch.batch, n) from unnest(array['notify', 'open']) n;
  perform muster_private.check_text(store_batch.batch, 'name', 100);
  perform muster_private.check_text(store_batch.batch, 'idempotency_key', 200);
  perform muster_private.check_job_quota((store_batch.caller).tenant_id, '[{}]');
  insert into muster.jobs (id, tenant_id, position, rank, type, status, waiting_for, class_id, executor_id, payload,
    idempotency_key, correlation_id, notify, policy, run_at, created_at, updated_at)
  values (v_id, (store_batch.caller).tenant_id, v_position, v_position * 1000000, 'muster.batch', 'blocked', 'children',
    -- Of no class: no worker ever runs it.
    0, (store_batch.caller).executor_id, jsonb_strip_nulls(jsonb_build_object('name', store_batch.batch -> 'name')),
    store_batch.batch ->> 'idempotency_key', store_batch.correlation_id,
    coalesce((store_batch.batch ->> 'notify')::boolean, false),
    jsonb_build_object('batch', jsonb_build_object('open', coalesce((store_batch.batch ->> 'open')::boolean, false))),
    store_batch.at, store_batch.at, store_batch.at)
  on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing;
  if found then
    insert into muster_private.blocked_jobs (job_id, tenant_id, waiting_for, priority, rank, position)
    values (v_id, (store_batch.caller).tenant_id, 'children', 0, v_position * 1000000, v_position);
    perform muster_private.record_status(array[v_id], store_batch.at);
    store_batch.id := v_id;
    store_batch.is_new := true;
    return;
  end if;
  store_batch.is_new := false;
  select j.id into store_batch.id from muster.jobs j
  where j.tenant_id = (store_batch.caller).tenant_id and j.idempotency_key = store_batch.batch ->> 'idempotency_key'
    and j.type = 'muster.batch';
  if not found then
    perform muster_private.fail('MU008', format('Cannot submit a batch as %s: the key belongs to a job that is no batch',
      store_batch.batch ->> 'idempotency_key'));
  end if;
end
$$;
comment on function muster_private.store_batch(muster_private.caller, jsonb, text, timestamptz) is
  'Stores the parent of a batch; a known idempotency key answers its batch, which is not new';

-- The jobs of a request are children of its batch, and repeated with it.
create function muster_private.children_items(items jsonb, parent_id uuid, idempotency_key text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if jsonb_path_exists(children_items.items, '$[*] ? (@.parent_id != null)') then
    perform muster_private.fail('MU004', 'Cannot submit jobs of a batch with a parent id: they are the new batch''s');
  end if;
  return coalesce((
    select jsonb_agg(i.item || jsonb_build_object('parent_id', children_items.parent_id) || case
      when children_items.idempotency_key is not null and coalesce(i.item -> 'idempotency_key', 'null') = 'null'
        then jsonb_build_object('idempotency_key', children_items.idempotency_key || '#' || i.place - 1) else '{}' end order by i.place)
    from jsonb_array_elements(children_items.items) with ordinality i (item, place)), '[]');
end
$$;
comment on function muster_private.children_items(jsonb, uuid, text) is
  'Items of a submission as children of a batch; with its idempotency key they get keys made of it';

-- After the jobs are stored. Their parents take jobs, which has to be so until the commit: `own` is the parent that this
-- transaction made, others are in `locked`.
create function muster_private.store_children(
  tenant_id uuid, created uuid[], own uuid, locked uuid[]
) returns void
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 100000;
  v_parent record;
  v_job muster.jobs;
begin
  for v_parent in
    select j.parent_id as id, count(*) as children from muster.jobs j
    where j.id = any (store_children.created) and j.parent_id is not null
    group by j.parent_id order by j.parent_id
  loop
    select * into v_job from muster.jobs j where j.id = v_parent.id and j.tenant_id = store_children.tenant_id;
    if not found or v_job.type <> 'muster.batch' then
      perform muster_private.fail('MU003', format('Cannot add jobs to batch %s: there is no such batch', v_parent.id));
    end if;
    if v_job.finished_at is null and v_job.id is distinct from store_children.own and v_job.id <> all (store_children.locked) then
      raise exception using errcode = 'MUX01', message = 'A batch was not locked';
    end if;
    if v_job.finished_at is not null
      or v_job.id is distinct from store_children.own and (v_job.policy -> 'batch' ->> 'open')::boolean is not true then
      perform muster_private.fail('MU008', format('Cannot add jobs to batch %s: it is %s', v_parent.id,
        case when v_job.finished_at is null then 'closed' else v_job.status::text end), 'Submit another batch');
    end if;
    if v_parent.children + (
      select count(*) from (
        select from muster.jobs c
        where c.tenant_id = store_children.tenant_id and c.parent_id = v_parent.id and c.id <> all (store_children.created)
        limit v_most) c
    ) > v_most then
      perform muster_private.fail('MU015', format('Cannot add jobs to batch %s: a batch has at most %s', v_parent.id, v_most),
        'Submit another batch');
    end if;
  end loop;
  insert into muster_private.open_children (job_id, parent_id)
  select j.id, j.parent_id from muster.jobs j where j.id = any (store_children.created) and j.parent_id is not null;
end
$$;
comment on function muster_private.store_children(uuid, uuid[], uuid, uuid[]) is 'Adds new jobs to their batches, if these take jobs';

create function muster_private.end_batches_of(ended uuid[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
begin
  delete from muster_private.open_children c where c.job_id = any (end_batches_of.ended);
  return muster_private.end_empty_batches(
    array(select distinct j.parent_id from muster.jobs j where j.id = any (end_batches_of.ended) and j.parent_id is not null),
    end_batches_of.at);
end
$$;
comment on function muster_private.end_batches_of(uuid[], timestamptz) is 'Ends the batches of which these were the last jobs; answers which';

-- Jobs of a batch may end together, and none of the transactions sees the others': one that finds only children left that
-- others are deleting (xmax) leaves the batch to who comes after them.
create function muster_private.end_empty_batches(parent_ids uuid[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_id uuid;
  v_job muster.jobs;
  v_counts jsonb;
  v_ended uuid[] := array[]::uuid[];
begin
  for v_id in select distinct i from unnest(end_empty_batches.parent_ids) i order by i loop
    continue when exists (select from muster_private.open_children c where c.parent_id = v_id and c.xmax = '0');
    select * into v_job from muster.jobs j where j.id = v_id;
    continue when not found or v_job.finished_at is not null;
    perform from muster_private.blocked_jobs b where b.job_id = v_id for update skip locked;
    -- Jobs are being added to it, it is being closed, or it ends elsewhere.
    if not found or exists (select from muster_private.open_children c where c.parent_id = v_id) then
      perform muster_private.leave_unsettled(array[v_id], 'close');
      continue;
    end if;
    select * into v_job from muster.jobs j where j.id = v_id;
    continue when v_job.finished_at is not null or (v_job.policy -> 'batch' ->> 'open')::boolean;
    v_counts := muster_private.batch_counts(v_job);
    delete from muster_private.blocked_jobs b where b.job_id = v_id;
    update muster.jobs j
    set status = e.status, waiting_for = null, finished_at = end_empty_batches.at, updated_at = end_empty_batches.at,
      result = case e.status when 'succeeded' then e.totals end,
      error = case e.status when 'failed' then jsonb_build_object('code', 'children_failed',
        'message', format('Of %s jobs %s failed and %s were cancelled', v_counts ->> 'jobs', v_counts ->> 'failed', v_counts ->> 'cancelled'),
        'details', e.totals) end
    from (
      select (case when v_counts -> 'succeeded' = v_counts -> 'jobs' then 'succeeded' else 'failed' end)::muster.job_status as status,
        jsonb_build_object('succeeded', v_counts -> 'succeeded', 'failed', v_counts -> 'failed', 'cancelled', v_counts -> 'cancelled') as totals
    ) e
    where j.id = v_id;
    perform muster_private.record_status(array[v_id], end_empty_batches.at);
    perform muster_private.send_results(array[v_id]);
    v_ended := v_ended || v_id;
  end loop;
  return v_ended;
end
$$;
comment on function muster_private.end_empty_batches(uuid[], timestamptz) is
  'Ends those of the batches that take no more jobs and have none left that has not ended; answers which';

create function muster_private.batch_counts(batch muster.jobs) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return (
    select jsonb_build_object('open', coalesce(((batch_counts.batch).policy -> 'batch' ->> 'open')::boolean, false) and (batch_counts.batch).finished_at is null,
      'jobs', count(*), 'waiting', count(*) filter (where j.status in ('scheduled', 'blocked', 'queued')),
      'held', count(*) filter (where j.status in ('assigned', 'running')),
      'succeeded', count(*) filter (where j.status = 'succeeded'), 'failed', count(*) filter (where j.status = 'failed'),
      'cancelled', count(*) filter (where j.status = 'cancelled'))
    from muster.jobs j
    where j.tenant_id = (batch_counts.batch).tenant_id and j.parent_id = (batch_counts.batch).id);
end
$$;
comment on function muster_private.batch_counts(muster.jobs) is 'How far the jobs of a batch are';

create function muster.close_batch(caller jsonb, job_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(close_batch.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_job muster.jobs := muster_private.job_of_tenant(close_batch.job_id, v_caller.tenant_id);
  v_free uuid[];
begin
  if v_job.type <> 'muster.batch' then
    perform muster_private.fail('MU008', format('Cannot close job %s: it is no batch', v_job.id));
  end if;
  perform muster_private.lock_jobs(v_caller.tenant_id, array[v_job.id]);
  update muster.jobs j set policy = jsonb_set(j.policy, '{batch,open}', 'false'), updated_at = v_now
  where j.id = v_job.id and j.finished_at is null and (j.policy -> 'batch' ->> 'open')::boolean;
  v_free := muster_private.after_jobs_ended(muster_private.end_empty_batches(array[v_job.id], v_now), v_now);
  perform muster_private.admit_jobs(v_free, true, v_now);
  if cardinality(v_free) > 0 then
    perform muster_private.assign_jobs(v_caller.tenant_id, v_now);
  end if;
  v_job := muster_private.job_of_tenant(v_job.id, v_caller.tenant_id);
  return muster_private.job_json(v_job) || jsonb_build_object('batch', muster_private.batch_counts(v_job));
end
$$;
comment on function muster.close_batch(jsonb, uuid) is 'Takes no more jobs into a batch; it ends once those it has have ended';
revoke execute on function muster.close_batch(jsonb, uuid) from public;
grant execute on function muster.close_batch(jsonb, uuid) to service_role;

-- What is left of batches that were cancelled, 1,000 jobs at a time. Waits for nobody.
create function muster_private.cancel_children(parent_ids uuid[], at timestamptz, out ended uuid[], out freed uuid[])
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_ids uuid[];
  v_held uuid[];
begin
  v_ids := array(
    select c.job_id from muster_private.open_children c where c.parent_id = any (cancel_children.parent_ids) limit v_most);
  with workers as (
    select w.id from muster.worker_devices w
    where w.id in (select h.worker_id from muster_private.held_jobs h where h.job_id = any (v_ids))
    order by w.id
    for no key update skip locked
  )
  select coalesce(array_agg(l.job_id), '{}') into v_held from (
    select h.job_id from muster_private.held_jobs h
    where h.job_id = any (v_ids) and h.worker_id in (select w.id from workers w)
    for update skip locked
  ) l;
  cancel_children.freed := array(select distinct h.tenant_id from muster_private.held_jobs h where h.job_id = any (v_held));
  cancel_children.ended := muster_private.cancel_locked_jobs(v_held, v_ids,
    '{"code": "cancelled", "message": "The batch was cancelled"}', 'cancelled', cancel_children.at);
  perform muster_private.leave_unsettled(array(
    select distinct c.parent_id from muster_private.open_children c
    where c.parent_id = any (cancel_children.parent_ids) and c.job_id <> all (cancel_children.ended)), 'cancel');
end
$$;
comment on function muster_private.cancel_children(uuid[], timestamptz) is
  'Cancels up to 1000 jobs of batches that were cancelled; answers which, and the tenants whose workers have room now';

revoke execute on all functions in schema muster_private from public;
