-- Jobs that come after others: `after` names jobs that must have ended first. A job names only what is there already, so
-- there are no cycles.

create table muster.job_dependencies (
  tenant_id uuid not null,
  job_id uuid not null,
  after_id uuid not null,
  primary key (job_id, after_id),
  foreign key (job_id) references muster.jobs on delete cascade
);
comment on table muster.job_dependencies is 'Which jobs a job comes after, as it was submitted';
create index job_dependencies_of_after_idx on muster.job_dependencies (tenant_id, after_id);

create table muster_private.open_dependencies (
  job_id uuid not null,
  after_id uuid not null,
  primary key (job_id, after_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.open_dependencies is 'Those of them that jobs still wait for';
create index open_dependencies_of_after_idx on muster_private.open_dependencies (after_id);

-- Who ends a job waits for nobody that comes after it: what is in other hands, and what is too much for one call, is
-- noted here and done soon.
create table muster_private.unsettled_jobs (
  id bigint generated always as identity primary key,
  tenant_id uuid not null,
  job_id uuid not null,
  task text not null,
  constraint tasks_are_known check (task in ('settle', 'close', 'cancel'))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.unsettled_jobs is
  'What is to be done yet: settle what comes after a job that has ended, close a batch whose last jobs ended together, '
  'cancel the jobs of a batch that was cancelled';
create index unsettled_jobs_of_tenant_idx on muster_private.unsettled_jobs (tenant_id, task, id);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['open_dependencies', 'unsettled_jobs'] loop
    execute format('alter table muster_private.%I enable row level security', v_table);
    execute format('create policy nobody on muster_private.%I as restrictive for all to public using (false)', v_table);
  end loop;
end
$$;

create function muster_private.check_after(item jsonb, index integer) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_after constant jsonb := nullif(check_after.item -> 'after', 'null');
  v_bad jsonb;
begin
  if coalesce(check_after.item ->> 'after_policy', 'succeeded') not in ('succeeded', 'ended') then
    perform muster_private.fail('MU004', format('Cannot submit job %s: its after policy must be succeeded or ended', check_after.index));
  end if;
  if v_after is null then
    return;
  end if;
  if jsonb_typeof(v_after) <> 'array' or jsonb_array_length(v_after) > 100 then
    perform muster_private.fail('MU004', format('Cannot submit job %s: after must be an array of at most 100 jobs', check_after.index));
  end if;
  select a into v_bad from jsonb_array_elements(v_after) a
  where jsonb_typeof(a) <> 'string'
    or not (a #>> '{}' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      or a #>> '{}' ~ '^#\d{1,3}$' and substr(a #>> '{}', 2)::integer < check_after.index)
  limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot submit job %s after %s: name a job by its id, or an earlier one of the request as #0 to #%s',
      check_after.index, left(v_bad::text, 100), check_after.index - 1));
  end if;
end
$$;
comment on function muster_private.check_after(jsonb, integer) is 'Refuses dependencies on what is neither a job''s id nor an earlier job of the request';

create function muster_private.after_json(tenant_id uuid, job_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object('after', (
    select coalesce(jsonb_agg(d.after_id order by d.after_id), '[]') from muster.job_dependencies d
    where d.tenant_id = after_json.tenant_id and d.job_id = after_json.job_id));
end
$$;
comment on function muster_private.after_json(uuid, uuid) is 'What a job comes after, as its callers see it';

-- The jobs that the items come after, by id; `ids` has the job of each item, in their order, and `created` whether it is of
-- this item: another one's has what that one said.
create function muster_private.dependencies_of(items jsonb, ids uuid[], created boolean[]) returns table (job_id uuid, after_id uuid)
language plpgsql stable set search_path = ''
as $$
begin
  return query
  select distinct dependencies_of.ids[i.place], case when a.name like '#%' then dependencies_of.ids[substr(a.name, 2)::integer + 1] else a.name::uuid end
  from jsonb_array_elements(dependencies_of.items) with ordinality i (item, place)
  cross join lateral jsonb_array_elements_text(coalesce(nullif(i.item -> 'after', 'null'), '[]')) a (name)
  where dependencies_of.created[i.place];
end
$$;
comment on function muster_private.dependencies_of(jsonb, uuid[], boolean[]) is 'Reads what new jobs come after; job n of the items has the n-th id';

-- After the jobs are stored, in the making, and before they are admitted. Jobs they come after must have ended, or be the
-- caller's: otherwise one of them may end unseen, and the caller starts over.
create function muster_private.store_dependencies(
  tenant_id uuid, items jsonb, ids uuid[], is_new boolean[], created uuid[], locked uuid[]
) returns void
language plpgsql set search_path = ''
as $$
declare
  v_missing uuid;
begin
  insert into muster.job_dependencies (tenant_id, job_id, after_id)
  select store_dependencies.tenant_id, d.job_id, d.after_id
  from muster_private.dependencies_of(store_dependencies.items, store_dependencies.ids, store_dependencies.is_new) d;
  if not found then
    return;
  end if;
  select d.after_id into v_missing from muster.job_dependencies d
  where d.tenant_id = store_dependencies.tenant_id and d.job_id = any (store_dependencies.created)
    and not exists (select from muster.jobs j where j.id = d.after_id and j.tenant_id = d.tenant_id)
  limit 1;
  if found then
    perform muster_private.fail('MU003', format('Cannot submit a job after job %s: there is no such job', v_missing));
  end if;
  if exists (
    select from muster.job_dependencies d
    join muster.jobs j on j.id = d.after_id
    where d.tenant_id = store_dependencies.tenant_id and d.job_id = any (store_dependencies.created)
      and j.status not in ('succeeded', 'failed', 'cancelled')
      and j.id <> all (store_dependencies.created) and j.id <> all (store_dependencies.locked)
  ) then
    raise exception using errcode = 'MUX01', message = 'A job that others come after was not locked';
  end if;
  -- Of those that have ended badly too: their followers fail once they have a place (ended_before).
  insert into muster_private.open_dependencies (job_id, after_id)
  select d.job_id, d.after_id from muster.job_dependencies d
  join muster.jobs p on p.id = d.after_id
  join muster.jobs j on j.id = d.job_id
  where d.tenant_id = store_dependencies.tenant_id and d.job_id = any (store_dependencies.created)
    and (p.finished_at is null or p.status <> 'succeeded' and j.policy ->> 'after_policy' is distinct from 'ended');
end
$$;
comment on function muster_private.store_dependencies(uuid, jsonb, uuid[], boolean[], uuid[], uuid[]) is
  'Stores what new jobs come after; those that have ended already are settled by after_jobs_ended()';

create function muster_private.ended_before(job_ids uuid[]) returns uuid[]
language plpgsql stable set search_path = ''
as $$
begin
  return array(
    select distinct d.after_id from muster_private.open_dependencies d
    join muster.jobs p on p.id = d.after_id
    where d.job_id = any (ended_before.job_ids) and p.finished_at is not null);
end
$$;
comment on function muster_private.ended_before(uuid[]) is 'Which jobs have ended that these wait for';

create function muster_private.leave_unsettled(job_ids uuid[], task text) returns void
language plpgsql set search_path = ''
as $$
begin
  insert into muster_private.unsettled_jobs (tenant_id, job_id, task)
  select j.tenant_id, j.id, leave_unsettled.task from muster.jobs j where j.id = any (leave_unsettled.job_ids);
end
$$;
comment on function muster_private.leave_unsettled(uuid[], text) is 'Leaves what is to be done about these jobs to the next call that looks';

-- Of jobs that have ended: lets go those that come after them and may, and answers which of them wait for no other. These
-- keep their place until they are admitted.
create function muster_private.free_dependents(ended uuid[]) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 5000;
  v_ids uuid[];
  v_taken uuid[];
begin
  select array_agg(distinct f.job_id) into v_ids from (
    select d.job_id from muster_private.open_dependencies d
    join muster.jobs p on p.id = d.after_id
    join muster.jobs j on j.id = d.job_id
    where d.after_id = any (free_dependents.ended)
      and (p.status = 'succeeded' or j.policy ->> 'after_policy' = 'ended' or j.finished_at is not null)
    limit v_most
  ) f;
  if v_ids is null then
    return array[]::uuid[];
  end if;
  with blocked as (
    select b.job_id from muster_private.blocked_jobs b where b.job_id = any (v_ids) for update skip locked
  ), scheduled as (
    select s.job_id from muster_private.scheduled_jobs s where s.job_id = any (v_ids) for update skip locked
  )
  select array_agg(t.job_id) into v_taken from (
    select b.job_id from blocked b union all select s.job_id from scheduled s
    union all select j.id from muster.jobs j where j.id = any (v_ids) and j.finished_at is not null
  ) t;
  delete from muster_private.open_dependencies d using muster.jobs p, muster.jobs j
  where d.after_id = any (free_dependents.ended) and d.job_id = any (v_taken) and p.id = d.after_id and j.id = d.job_id
    and (p.status = 'succeeded' or j.policy ->> 'after_policy' = 'ended' or j.finished_at is not null);
  if cardinality(v_ids) = v_most or cardinality(v_ids) > coalesce(cardinality(v_taken), 0) then
    perform muster_private.leave_unsettled(array(
      select distinct d.after_id from muster_private.open_dependencies d
      join muster.jobs p on p.id = d.after_id
      join muster.jobs j on j.id = d.job_id
      where d.after_id = any (free_dependents.ended)
        and (p.status = 'succeeded' or j.policy ->> 'after_policy' = 'ended' or j.finished_at is not null)), 'settle');
  end if;
  return array(
    select b.job_id from muster_private.blocked_jobs b
    where b.job_id = any (v_taken) and b.waiting_for = 'dependencies'
      and not exists (select from muster_private.open_dependencies d where d.job_id = b.job_id));
end
$$;
comment on function muster_private.free_dependents(uuid[]) is
  'Lets jobs go that come after jobs that have ended; answers those that wait for no other';

-- By index from each job to the next, however few rows there seem to be: a chain has as many steps as jobs.
create function muster_private.doomed_jobs(ended uuid[], most integer) returns table (job_id uuid, after_id uuid)
language plpgsql stable set search_path = '' set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive doomed as (
    select d.job_id, d.after_id from muster_private.open_dependencies d
    join muster.jobs p on p.id = d.after_id
    join muster.jobs j on j.id = d.job_id
    where d.after_id = any (doomed_jobs.ended) and p.status in ('failed', 'cancelled')
      and j.policy ->> 'after_policy' is distinct from 'ended' and j.finished_at is null
    union
    select d.job_id, d.after_id from doomed o
    join muster_private.open_dependencies d on d.after_id = o.job_id
    join muster.jobs j on j.id = d.job_id
    where j.policy ->> 'after_policy' is distinct from 'ended' and j.finished_at is null
  )
  select o.job_id, o.after_id from doomed o limit doomed_jobs.most;
end
$$;
comment on function muster_private.doomed_jobs(uuid[], integer) is
  'Jobs that come after jobs that did not succeed, and those after them; each with one that it comes after';

-- A chain, however long, is found by one query and ended by one statement.
create function muster_private.fail_dependents(ended uuid[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 5000;
  v_ids uuid[];
  v_causes uuid[];
  v_taken uuid[];
begin
  select array_agg(e.job_id), array_agg(e.after_id) into v_ids, v_causes
  from (
    select distinct on (d.job_id) d.job_id, d.after_id from muster_private.doomed_jobs(fail_dependents.ended, v_most) d
    order by d.job_id, d.after_id
  ) e;
  if v_ids is null then
    return array[]::uuid[];
  end if;
  v_taken := muster_private.leave_waiting(v_ids);
  update muster.jobs j
  set error = jsonb_build_object('code', 'dependency_failed', 'message', format('Job %s, which this one comes after, did not succeed', c.after_id),
    'details', jsonb_build_object('jobId', c.after_id))
  from unnest(v_ids, v_causes) c (job_id, after_id)
  where j.id = c.job_id and j.id = any (v_taken);
  perform muster_private.end_waiting_jobs(v_taken, 'failed', null, fail_dependents.at);
  delete from muster_private.open_dependencies d where d.job_id = any (v_taken);
  if cardinality(v_taken) < cardinality(v_ids) then
    perform muster_private.leave_unsettled(array(
      select distinct d.after_id from muster_private.open_dependencies d
      join muster.jobs p on p.id = d.after_id
      where d.job_id = any (v_ids) and p.status in ('failed', 'cancelled')), 'settle');
  end if;
  return v_taken;
end
$$;
comment on function muster_private.fail_dependents(uuid[], timestamptz) is
  'Fails the jobs that come after jobs that did not succeed, and those after them; answers which';

-- What follows from the end of jobs, in the transaction that ended them: jobs that come after them are let go or fail,
-- batches end with their last job, and so on from there. Answers the jobs that wait for no other any more: the caller
-- admits them, together with what else it has to admit. Waits for nobody.
create function muster_private.after_jobs_ended(job_ids uuid[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 10000;
  v_ended uuid[] := after_jobs_ended.job_ids;
  v_free uuid[] := array[]::uuid[];
  v_count integer := 0;
begin
  loop
    -- Most jobs are of no batch, and none comes after them.
    v_ended := array(
      select j.id from muster.jobs j
      where j.id = any (v_ended) and j.finished_at is not null
        and (j.parent_id is not null or exists (select from muster_private.open_dependencies d where d.after_id = j.id)));
    exit when cardinality(v_ended) = 0;
    if v_count >= v_most then
      perform muster_private.leave_unsettled(v_ended, 'settle');
      exit;
    end if;
    v_count := v_count + cardinality(v_ended);
    v_free := v_free || muster_private.free_dependents(v_ended);
    v_ended := muster_private.fail_dependents(v_ended, after_jobs_ended.at)
      || muster_private.end_batches_of(v_ended, after_jobs_ended.at);
  end loop;
  return v_free;
end
$$;
comment on function muster_private.after_jobs_ended(uuid[], timestamptz) is
  'Settles what follows from the end of jobs; answers those that now wait for no other';

revoke execute on all functions in schema muster_private from public;
