-- What has ended is kept for as long as its tenant says, and then goes: the tick deletes some of it each time, oldest
-- first. So what a tenant has does not grow with the years, only with what it does in the time it keeps.

-- A job's age is looked at in the order in which jobs were handed in, which an index for the lists has already. A job that
-- may not go when its turn comes is noted and looked at again by itself: nothing gets stuck behind it.
create table muster_private.retention_places (
  tenant_id uuid primary key references muster.tenants on delete cascade,
  after_at timestamptz not null default '-infinity',
  after_id uuid not null default '00000000-0000-0000-0000-000000000000',
  look_at timestamptz not null default '-infinity'
);
comment on table muster_private.retention_places is
  'Up to which job, by the time it was handed in, retention has looked at a tenant''s jobs, and when it is to look again';
create index retention_places_due_idx on muster_private.retention_places (look_at);

create table muster_private.kept_jobs (
  job_id uuid primary key,
  tenant_id uuid not null references muster.tenants on delete cascade,
  created_at timestamptz not null,
  look_at timestamptz not null
);
comment on table muster_private.kept_jobs is
  'Jobs that retention came by and that may not go yet, as they have not ended, or not long ago, or others need them';
create index kept_jobs_due_idx on muster_private.kept_jobs (tenant_id, look_at);
create index kept_jobs_oldest_idx on muster_private.kept_jobs (created_at);

alter table muster_private.retention_places enable row level security;
create policy nobody on muster_private.retention_places as restrictive for all to public using (false);
alter table muster_private.kept_jobs enable row level security;
create policy nobody on muster_private.kept_jobs as restrictive for all to public using (false);

create index worker_devices_forgotten_idx on muster.worker_devices (tenant_id, forgotten_at) where forgotten_at is not null;

create function muster_private.tg_tenants__begin_retention() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into muster_private.retention_places (tenant_id) values (new.id);
  return null;
end
$$;
comment on function muster_private.tg_tenants__begin_retention() is 'Lets retention look at a new tenant''s jobs, too';
create trigger begin_retention after insert on muster.tenants
  for each row execute function muster_private.tg_tenants__begin_retention();

create function muster_private.tg_jobs__forget_kept() returns trigger
language plpgsql set search_path = ''
as $$
begin
  delete from muster_private.kept_jobs k using gone g where k.job_id = g.id;
  return null;
end
$$;
comment on function muster_private.tg_jobs__forget_kept() is 'With a job goes the note that it is kept';
create trigger forget_kept after delete on muster.jobs referencing old table as gone
  for each statement execute function muster_private.tg_jobs__forget_kept();

-- A new time holds from the next tick on, for jobs that were passed over within a day.
create function muster_private.tg_tenant_limits__look_again() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update muster_private.retention_places p set look_at = '-infinity' where p.tenant_id = new.tenant_id;
  return null;
end
$$;
comment on function muster_private.tg_tenant_limits__look_again() is 'Has a tenant''s jobs looked at soon, as they are kept for another time';
create trigger look_again after update of retention_days on muster.tenant_limits
  for each row when (new.retention_days is distinct from old.retention_days)
  execute function muster_private.tg_tenant_limits__look_again();

-- Of jobs that ended before the given time, those whose rows, and what goes with them, nobody has in hand.
create function muster_private.lock_to_forget(job_ids uuid[], tenant_id uuid, before timestamptz) returns uuid[]
language plpgsql set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_ids uuid[];
  v_free uuid[];
begin
  v_ids := array(
    select j.id from muster.jobs j
    where j.id = any (lock_to_forget.job_ids) and j.finished_at < lock_to_forget.before
    for update skip locked);
  v_free := array(select l.job_id from muster.dead_letters l where l.job_id = any (v_ids) for update skip locked);
  v_ids := array(
    select i from unnest(v_ids) i
    where i = any (v_free) or not exists (select from muster.dead_letters l where l.job_id = i));
  v_free := array(
    select a.id from muster.artifacts a
    where a.tenant_id = lock_to_forget.tenant_id and a.job_id = any (v_ids) for update skip locked);
  return array(
    select i from unnest(v_ids) i
    where not exists (
      select from muster.artifacts a
      where a.tenant_id = lock_to_forget.tenant_id and a.job_id = i and a.id <> all (v_free)));
end
$$;
comment on function muster_private.lock_to_forget(uuid[], uuid, timestamptz) is 'Locks jobs that are to be deleted, and waits for nobody; answers which';

-- Asked once the jobs are locked, so that nothing comes to need them meanwhile:
-- * what comes after them has been let go, and the message they came from has left its queue;
-- * jobs of a batch stay as long as its parent, whose counts they are;
-- * jobs whose files others read stay as long as those.
create function muster_private.expendable_jobs(job_ids uuid[], tenant_id uuid, before timestamptz) returns uuid[]
language plpgsql set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_needed uuid[];
begin
  select array_agg(n.job_id) into v_needed from (
    select d.after_id as job_id from muster_private.open_dependencies d where d.after_id = any (expendable_jobs.job_ids)
    union all
    select u.job_id from muster_private.unsettled_jobs u where u.tenant_id = expendable_jobs.tenant_id
    union all
    select m.job_id from muster_private.queue_messages m
    where m.tenant_id = expendable_jobs.tenant_id and m.job_id = any (expendable_jobs.job_ids)
    union all
    select a.job_id from muster.artifacts a
    where a.tenant_id = expendable_jobs.tenant_id and a.job_id = any (expendable_jobs.job_ids) and exists (
      select from muster.job_inputs i where i.tenant_id = expendable_jobs.tenant_id and i.artifact_id = a.id)
  ) n;
  return array(
    select j.id from muster.jobs j
    where j.id = any (expendable_jobs.job_ids) and j.id <> all (coalesce(v_needed, '{}'))
      and not exists (
        select from muster.jobs p
        where p.id = j.parent_id and (p.finished_at is null or p.finished_at >= expendable_jobs.before)));
end
$$;
comment on function muster_private.expendable_jobs(uuid[], uuid, timestamptz) is
  'Which of the jobs nothing needs any more; a batch that is kept needs its jobs';

-- Looks at so many of a tenant's jobs at most, those first that were passed over and are due again, and deletes what may go.
create function muster_private.forget_jobs(tenant_id uuid, most integer, at timestamptz) returns integer
language plpgsql set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_count integer;
  v_retention constant interval := make_interval(days => (muster_private.limits_of(forget_jobs.tenant_id)).retention_days);
  v_before constant timestamptz := forget_jobs.at - v_retention;
  v_place muster_private.retention_places;
  v_ids uuid[];
  v_walked uuid[];
  v_most_walked integer;
  v_gone uuid[];
  v_next timestamptz;
begin
  select * into strict v_place from muster_private.retention_places p where p.tenant_id = forget_jobs.tenant_id;
  v_ids := array(
    select k.job_id from muster_private.kept_jobs k
    where k.tenant_id = forget_jobs.tenant_id and k.look_at <= forget_jobs.at
    order by k.look_at limit greatest(forget_jobs.most / 2, 1));
  v_most_walked := greatest(forget_jobs.most - cardinality(v_ids), 1);
  v_walked := array(
    select j.id from muster.jobs j
    where j.tenant_id = forget_jobs.tenant_id and j.created_at < v_before
      and (j.created_at, j.id) > (v_place.after_at, v_place.after_id)
    order by j.created_at, j.id limit v_most_walked);
  v_ids := v_ids || v_walked;
  if cardinality(v_walked) = v_most_walked then
    select j.created_at, j.id into strict v_place.after_at, v_place.after_id from muster.jobs j where j.id = v_walked[v_most_walked];
    v_next := forget_jobs.at;
  elsif v_place.after_at < v_before then
    v_place.after_at := v_before;
    v_place.after_id := '00000000-0000-0000-0000-000000000000';
  end if;

  v_gone := muster_private.expendable_jobs(
    muster_private.lock_to_forget(v_ids, forget_jobs.tenant_id, v_before), forget_jobs.tenant_id, v_before);
  delete from muster.jobs j where j.id = any (v_gone);
  get diagnostics v_count = row_count;
  insert into muster_private.kept_jobs as k (job_id, tenant_id, created_at, look_at)
  select j.id, j.tenant_id, j.created_at,
    least(greatest(j.finished_at + v_retention, forget_jobs.at + interval '1 hour'), forget_jobs.at + interval '1 day')
  from muster.jobs j where j.id = any (v_ids)
  on conflict on constraint kept_jobs_pkey do update set look_at = excluded.look_at;
  if v_count > 0 then
    perform muster_private.audit(forget_jobs.tenant_id, '{"kind": "system"}', 'jobs.forgotten', 'jobs',
      jsonb_build_object('count', v_count, 'ended_before', muster_private.iso(v_before)));
  end if;

  -- What is left of ephemeral workers, once their work is gone.
  delete from muster.worker_devices w
  where w.id in (
    select f.id from muster.worker_devices f
    where f.tenant_id = forget_jobs.tenant_id and f.forgotten_at < v_before
      and not exists (select from muster.artifacts a where a.tenant_id = f.tenant_id and a.worker_id = f.id)
      and not exists (select from muster.late_results l where l.tenant_id = f.tenant_id and l.worker_id = f.id)
    order by f.forgotten_at limit forget_jobs.most
    for update skip locked);

  if v_next is null then
    v_next := least(
      (select min(k.look_at) from muster_private.kept_jobs k where k.tenant_id = forget_jobs.tenant_id),
      (
        select j.created_at + v_retention from muster.jobs j
        where j.tenant_id = forget_jobs.tenant_id and (j.created_at, j.id) > (v_place.after_at, v_place.after_id)
        order by j.created_at, j.id limit 1
      ), forget_jobs.at + interval '1 day');
    -- Many at a time are cheaper, but for those that had to be left just now.
    v_next := case when v_next <= forget_jobs.at then forget_jobs.at
      else greatest(v_next, forget_jobs.at + interval '10 minutes') end;
  end if;
  update muster_private.retention_places p
  set after_at = v_place.after_at, after_id = v_place.after_id, look_at = v_next
  where p.tenant_id = forget_jobs.tenant_id;
  return v_count;
end
$$;
comment on function muster_private.forget_jobs(uuid, integer, timestamptz) is
  'Deletes jobs of a tenant that ended longer ago than it keeps them, as many as asked, with all that belongs to them; answers how many';

create function muster_private.sweep_history(at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_tenant_ids constant uuid[] := array(
    select p.tenant_id from muster_private.retention_places p
    where p.look_at <= sweep_history.at
    order by p.look_at limit 100
    for no key update skip locked);
  v_tenant_id uuid;
  v_count integer := 0;
begin
  foreach v_tenant_id in array v_tenant_ids loop
    v_count := v_count + muster_private.forget_jobs(v_tenant_id, v_most / cardinality(v_tenant_ids), sweep_history.at);
  end loop;
  return v_count;
end
$$;
comment on function muster_private.sweep_history(timestamptz) is
  'The tick''s share of retention: deletes what tenants keep no longer, some of it, tenants taking turns; waits for nobody';

revoke execute on all functions in schema muster_private from public;
