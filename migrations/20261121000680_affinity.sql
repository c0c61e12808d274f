-- Which worker a job waits for, where it is not all the same: one an operator named, one that holds a resource, one that
-- had the last job of the same key. Only jobs that say so pay for it.
--
-- Locks: the keys of hard affinities come after concurrency keys and rate limits, and before the tenant. Who gives jobs
-- to a worker may have the tenant lock, and so notes what it did by `skip locked` only.

create table muster.affinities (
  tenant_id uuid not null references muster.tenants on delete cascade,
  key text not null,
  worker_id uuid,
  is_hard boolean not null default false,
  last_used_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant_id, key),
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id) on delete cascade
) with (fillfactor = 70);
comment on table muster.affinities is
  'Which worker had the last job of a key; jobs of the key go there until expires_at. The row is the lock under which a worker is chosen';
comment on column muster.affinities.is_hard is 'A job that may go nowhere else has made it: jobs that may do not move it';
create index affinities_of_worker_idx on muster.affinities (tenant_id, worker_id);
create index affinities_expired_idx on muster.affinities (expires_at);

create table muster.resource_holders (
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  worker_id uuid not null,
  lease interval not null,
  size_bytes bigint,
  metadata jsonb not null default '{}',
  acquired_at timestamptz not null,
  touched_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant_id, name, worker_id),
  foreign key (tenant_id, worker_id) references muster.worker_devices (tenant_id, id) on delete cascade,
  constraint sizes_are_not_negative check (size_bytes >= 0)
) with (fillfactor = 70);
comment on table muster.resource_holders is
  'Workers that say they have a named resource: a large file, a session, a loaded model; each until its lease ends';
create index resource_holders_of_worker_idx on muster.resource_holders (tenant_id, worker_id);
create index resource_holders_expired_idx on muster.resource_holders (expires_at);

create function muster_private.check_preferred_worker(item jsonb, index integer, field text, name text, numbers text[]) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_value constant jsonb := check_preferred_worker.item -> check_preferred_worker.field;
  v_number text;
begin
  if v_value is null or v_value = 'null' then
    return;
  end if;
  if jsonb_typeof(v_value) <> 'object' or jsonb_typeof(v_value -> check_preferred_worker.name) is distinct from 'string'
    or v_value - (check_preferred_worker.numbers || array[check_preferred_worker.name, 'mode']) <> '{}' then
    perform muster_private.fail('MU004', format('Cannot submit job %s: its %s must be an object with a %s, and may have mode and %s',
      check_preferred_worker.index, check_preferred_worker.field, check_preferred_worker.name,
      array_to_string(check_preferred_worker.numbers, ', ')));
  end if;
  perform muster_private.check_text(v_value, check_preferred_worker.name, 255);
  if coalesce(v_value -> 'mode', '"soft"') not in ('"soft"', '"hard"') then
    perform muster_private.fail('MU004', format('Cannot submit job %s: the mode of its %s must be soft or hard',
      check_preferred_worker.index, check_preferred_worker.field));
  end if;
  foreach v_number in array check_preferred_worker.numbers loop
    perform muster_private.check_number(v_value, v_number, case v_number when 'keep_seconds' then 1 else 0 end, 604800);
  end loop;
end
$$;
comment on function muster_private.check_preferred_worker(jsonb, integer, text, text, text[]) is
  'Refuses an affinity or a reference to a resource that the API''s own limits would have refused';

create function muster_private.check_affinity(item jsonb, index integer) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  perform muster_private.check_preferred_worker(
    check_affinity.item, check_affinity.index, 'affinity', 'key', '{wait_seconds,keep_seconds}');
  perform muster_private.check_preferred_worker(
    check_affinity.item, check_affinity.index, 'resource_ref', 'name', '{wait_seconds}');
end
$$;
comment on function muster_private.check_affinity(jsonb, integer) is 'Refuses a job whose affinity or resource_ref is not what it should be';

-- Keys that nobody has used yet have no row to lock: their rows are made under one of 256 advisory locks of the tenant,
-- so that no two transactions make the same one and none waits for an insert.
create function muster_private.affinity_shard(tenant_id uuid, key text) returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  return hashtextextended('muster.affinity:' || affinity_shard.tenant_id || ':' || (hashtext(affinity_shard.key) & 255), 0);
end
$$;
comment on function muster_private.affinity_shard(uuid, text) is 'The advisory lock under which the row of a key is made';

create function muster_private.wait_for_no_affinity() returns void
language plpgsql set search_path = ''
as $$
begin
  perform set_config('muster.affinities_asked', 'yes', true);
end
$$;
comment on function muster_private.wait_for_no_affinity() is 'From now on this transaction takes of affinity keys what is free';

-- Answers the keys whose rows are locked now. A transaction waits once, for all the keys it names then, in order; later it
-- takes what is free, so that no two transactions wait for each other. The tick does not wait at all.
create function muster_private.lock_affinities(tenant_id uuid, keys text[], at timestamptz) returns text[]
language plpgsql set search_path = ''
as $$
declare
  v_wait constant boolean := coalesce(current_setting('muster.affinities_asked', true), '') = '';
  v_keys constant text[] := array(select distinct k from unnest(lock_affinities.keys) k order by k);
  v_shard bigint;
  v_key text;
  v_locked text[] := array[]::text[];
begin
  if cardinality(v_keys) = 0 then
    return v_locked;
  end if;
  perform muster_private.wait_for_no_affinity();
  for v_shard in
    select distinct muster_private.affinity_shard(lock_affinities.tenant_id, k) as shard from unnest(v_keys) k
    where not exists (select from muster.affinities a where a.tenant_id = lock_affinities.tenant_id and a.key = k)
    order by shard
  loop
    if v_wait then
      perform pg_advisory_xact_lock(v_shard);
    elsif not pg_try_advisory_xact_lock(v_shard) then
      continue;
    end if;
    insert into muster.affinities (tenant_id, key, last_used_at, expires_at)
    select lock_affinities.tenant_id, k, lock_affinities.at, lock_affinities.at from unnest(v_keys) k
    where muster_private.affinity_shard(lock_affinities.tenant_id, k) = v_shard
    on conflict do nothing;
  end loop;
  foreach v_key in array v_keys loop
    if v_wait then
      perform from muster.affinities a
      where a.tenant_id = lock_affinities.tenant_id and a.key = v_key for update;
    else
      perform from muster.affinities a
      where a.tenant_id = lock_affinities.tenant_id and a.key = v_key for update skip locked;
    end if;
    if found then
      v_locked := v_locked || v_key;
    end if;
  end loop;
  return v_locked;
end
$$;
comment on function muster_private.lock_affinities(uuid, text[], timestamptz) is
  'Locks the rows of affinity keys, made where they are new; answers those it has';

create type muster_private.candidate as (worker_id uuid, preference real, slots integer, load integer, room integer);

-- Online workers that serve a class and take new jobs, the least loaded first, at most 200. What is queued for a worker
-- alone counts as its load.
create function muster_private.candidates_of(tenant_id uuid, class_id bigint, among uuid[], taken jsonb)
returns muster_private.candidate[]
language plpgsql stable set search_path = ''
as $$
declare
  v_most constant integer := 200;
begin
  return (
    select coalesce(array_agg(row (w.id, w.preference, w.slots, w.held_count + load.queued, w.room - load.queued)::muster_private.candidate), '{}')
    from (
      select d.id, c.preference, d.slots, d.held_count, muster_private.room_for(d, jc.slots, jc.resources) as room
      from muster.worker_classes c
      join muster.worker_devices d on d.id = c.worker_id
      join muster.job_classes jc on jc.id = c.class_id
      where c.tenant_id = candidates_of.tenant_id and c.class_id = candidates_of.class_id
        and d.status = 'online' and d.cordoned_at is null
        and (candidates_of.among is null or d.id = any (candidates_of.among))
      order by c.preference desc, d.held_count::real / d.slots, d.last_assigned_at nulls first, d.id
      limit v_most
    ) w
    cross join lateral (
      select coalesce((candidates_of.taken ->> w.id::text)::integer, 0) + (
        select count(*) from (
          select from muster_private.ready_jobs r
          where r.tenant_id = candidates_of.tenant_id and r.worker_id = w.id limit 1000) q)::integer as queued
    ) load
  );
end
$$;
comment on function muster_private.candidates_of(uuid, bigint, uuid[], jsonb) is
  'Online workers that serve a class, with how loaded they are; taken counts what this transaction has just chosen them for';

create function muster_private.least_loaded(candidates muster_private.candidate[]) returns muster_private.candidate
language sql immutable set search_path = ''
as $$
  select row (c.worker_id, c.preference, c.slots, c.load, c.room)::muster_private.candidate
  from unnest(least_loaded.candidates) with ordinality c (worker_id, preference, slots, load, room, place)
  order by c.preference desc, c.load::real / c.slots, c.place limit 1
$$;
comment on function muster_private.least_loaded(muster_private.candidate[]) is 'The best candidate; null when there is none';

create type muster_private.placement as (
  job_id uuid,
  -- Null for any worker; then until worker_until, or for good.
  worker_id uuid,
  worker_until timestamptz,
  -- The key or the resource without whose worker the job cannot go on; null where it can.
  waits_for text
);

-- Says where each of the jobs goes, whose rows the caller has locked. An operator's word comes first, then a resource,
-- then the key, and among those that are as good as each other the least loaded. A worker that is wanted but not needed
-- gets 2 s, or as long as the job says, to take the job up; after that anybody may.
create function muster_private.choose_workers(job_ids uuid[], at timestamptz) returns setof muster_private.placement
language plpgsql set search_path = ''
as $$
declare
  v_grace constant interval := interval '2 seconds';
  v_locked text[] := array[]::text[];
  v_tenant record;
  v_job record;
  v_class_id bigint;
  v_all muster_private.candidate[];
  v_holders muster_private.candidate[];
  v_record muster.affinities;
  v_chosen muster_private.candidate;
  v_taken jsonb := '{}'::jsonb;
  v_placement muster_private.placement;
begin
  for v_tenant in
    select j.tenant_id as id, array_agg(j.policy -> 'affinity' ->> 'key') as keys from muster.jobs j
    where j.id = any (choose_workers.job_ids) and j.policy -> 'affinity' ->> 'mode' = 'hard'
    group by j.tenant_id order by j.tenant_id
  loop
    v_locked := v_locked || array(
      select v_tenant.id || k from unnest(muster_private.lock_affinities(
        v_tenant.id, v_tenant.keys, choose_workers.at)) k);
  end loop;

  for v_job in
    select j.id, j.tenant_id, j.class_id, (j.policy ->> 'bound_to')::uuid as bound_to,
      j.policy -> 'affinity' ->> 'key' as key, coalesce(j.policy -> 'affinity' ->> 'mode', 'soft') = 'hard' as is_hard,
      make_interval(secs => coalesce((j.policy -> 'affinity' ->> 'keep_seconds')::double precision, 3600)) as keep,
      j.policy -> 'resource_ref' ->> 'name' as resource,
      j.policy ? 'resource_ref' and coalesce(j.policy -> 'resource_ref' ->> 'mode', 'hard') = 'hard' as needs_resource,
      make_interval(secs => greatest((j.policy -> 'affinity' ->> 'wait_seconds')::double precision,
        (j.policy -> 'resource_ref' ->> 'wait_seconds')::double precision, 0)) as patience,
      r.worker_id as target, coalesce(r.worker_until <= choose_workers.at, false) as is_given_up
    from muster.jobs j
    left join muster_private.ready_jobs r on r.job_id = j.id
    where j.id = any (choose_workers.job_ids)
    order by j.tenant_id, j.class_id, j.priority desc, j.rank, j.position
  loop
    v_placement := row (v_job.id, null, null, null)::muster_private.placement;
    v_chosen := null;
    v_record := null;
    v_holders := null;
    if v_job.bound_to is not null and exists (
      select from muster.worker_classes c join muster.worker_devices w on w.id = c.worker_id
      where c.worker_id = v_job.bound_to and c.class_id = v_job.class_id and w.status <> 'revoked')
    then
      v_placement.worker_id := v_job.bound_to;
      return next v_placement;
      continue;
    end if;

    if v_job.resource is not null then
      v_holders := muster_private.candidates_of(v_job.tenant_id, v_job.class_id, array(
        select h.worker_id from muster.resource_holders h
        where h.tenant_id = v_job.tenant_id and h.name = v_job.resource and h.expires_at > choose_workers.at), v_taken);
      if cardinality(v_holders) = 0 and v_job.needs_resource then
        v_placement.waits_for := v_job.resource;
        return next v_placement;
        continue;
      end if;
      v_chosen := muster_private.least_loaded(v_holders);
    end if;

    if v_job.key is not null then
      if v_job.is_hard and v_job.tenant_id || v_job.key <> all (v_locked) then
        -- In other hands: whoever comes next, the tick at the latest, tries again.
        v_placement.waits_for := v_job.key;
        return next v_placement;
        continue;
      end if;
      select a.* into v_record from muster.affinities a
      join muster.worker_devices w on w.id = a.worker_id and w.status <> 'revoked'
      where a.tenant_id = v_job.tenant_id and a.key = v_job.key
        -- A job that waits at the worker of its key keeps it there for as long as it is online.
        and (a.expires_at > choose_workers.at or v_job.is_hard and w.status = 'online' and v_job.target = w.id);
      if v_record.worker_id is null then
        if v_job.is_hard and v_chosen.worker_id is null then
          if v_class_id is distinct from v_job.class_id then
            v_class_id := v_job.class_id;
            v_all := muster_private.candidates_of(v_job.tenant_id, v_class_id, null, v_taken);
          end if;
          v_chosen := muster_private.least_loaded(v_all);
          v_all := array(
            select case when c.worker_id = v_chosen.worker_id
              then row (c.worker_id, c.preference, c.slots, c.load + 1, c.room - 1)::muster_private.candidate else c end
            from unnest(v_all) c);
        end if;
      elsif v_job.is_hard and not v_job.needs_resource then
        -- It may be away or busy: the job waits for it, as long as the record lives and it could do the job at all.
        v_chosen := null;
        select c.worker_id into v_chosen.worker_id from muster.worker_classes c
        where c.worker_id = v_record.worker_id and c.class_id = v_job.class_id;
      elsif v_chosen.worker_id is not null then
        select h.* into v_chosen from unnest(v_holders) h where h.worker_id in (v_record.worker_id, v_chosen.worker_id)
        order by h.worker_id = v_record.worker_id desc limit 1;
      else
        v_chosen := muster_private.least_loaded(
          muster_private.candidates_of(v_job.tenant_id, v_job.class_id, array[v_record.worker_id], v_taken));
      end if;
      if v_job.is_hard and v_chosen.worker_id is null then
        v_placement.waits_for := v_job.key;
        return next v_placement;
        continue;
      end if;
    end if;

    if v_job.is_hard then
      update muster.affinities a
      set worker_id = v_chosen.worker_id, is_hard = true, last_used_at = choose_workers.at,
        expires_at = choose_workers.at + v_job.keep
      where a.tenant_id = v_job.tenant_id and a.key = v_job.key;
      v_placement.worker_id := v_chosen.worker_id;
      v_placement.worker_until := choose_workers.at + v_job.keep;
    end if;
    if v_job.needs_resource then
      v_placement.worker_id := v_chosen.worker_id;
      select least(v_placement.worker_until, h.expires_at) into v_placement.worker_until from muster.resource_holders h
      where h.tenant_id = v_job.tenant_id and h.name = v_job.resource and h.worker_id = v_chosen.worker_id;
    elsif not v_job.is_hard and v_chosen.worker_id is not null and not v_job.is_given_up then
      if v_chosen.room > 0 then
        v_placement.worker_id := v_chosen.worker_id;
        v_placement.worker_until := choose_workers.at + greatest(v_job.patience, v_grace);
      elsif v_job.patience > interval '0' then
        v_placement.worker_id := v_chosen.worker_id;
        v_placement.worker_until := choose_workers.at + v_job.patience;
      end if;
    end if;
    if v_placement.worker_id is not null then
      v_taken := v_taken || jsonb_build_object(
        v_placement.worker_id::text, coalesce((v_taken ->> v_placement.worker_id::text)::integer, 0) + 1);
    end if;
    return next v_placement;
  end loop;
end
$$;
comment on function muster_private.choose_workers(uuid[], timestamptz) is
  'Where jobs with an affinity, a reference to a resource or a worker of their own go: to whom and until when, or what they wait for';

-- Jobs that were given to workers, of which the caller says that some may have a key. It waits for nobody: a key whose
-- row is in other hands is used by those just now.
create function muster_private.note_affinities(job_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_given record;
begin
  for v_given in
    select distinct on (j.tenant_id, j.policy -> 'affinity' ->> 'key') j.tenant_id, j.worker_id,
      j.policy -> 'affinity' ->> 'key' as key, coalesce(j.policy -> 'affinity' ->> 'mode', 'soft') = 'hard' as is_hard,
      make_interval(secs => coalesce((j.policy -> 'affinity' ->> 'keep_seconds')::double precision, 3600)) as keep
    from muster.jobs j
    where j.id = any (note_affinities.job_ids) and j.policy ? 'affinity'
    order by j.tenant_id, j.policy -> 'affinity' ->> 'key', j.policy -> 'affinity' ->> 'mode' = 'hard' desc nulls last, j.position desc
  loop
    update muster.affinities a
    set worker_id = case when v_given.is_hard or not (a.is_hard and a.expires_at > note_affinities.at)
        then v_given.worker_id else a.worker_id end,
      is_hard = v_given.is_hard or (a.is_hard and a.expires_at > note_affinities.at),
      last_used_at = note_affinities.at, expires_at = greatest(a.expires_at, note_affinities.at + v_given.keep)
    where (a.tenant_id, a.key) in (
      select l.tenant_id, l.key from muster.affinities l
      where l.tenant_id = v_given.tenant_id and l.key = v_given.key for update skip locked);
    -- An insert would wait for who changes a row that is there.
    if not found
      and not exists (select from muster.affinities a where a.tenant_id = v_given.tenant_id and a.key = v_given.key)
      and pg_try_advisory_xact_lock(muster_private.affinity_shard(v_given.tenant_id, v_given.key))
    then
      insert into muster.affinities (tenant_id, key, worker_id, is_hard, last_used_at, expires_at)
      values (v_given.tenant_id, v_given.key, v_given.worker_id, v_given.is_hard, note_affinities.at, note_affinities.at + v_given.keep)
      on conflict do nothing;
    end if;
  end loop;
end
$$;
comment on function muster_private.note_affinities(uuid[], timestamptz) is
  'Notes for jobs just given to workers which worker has the latest of their keys';

revoke execute on all functions in schema muster_private from public;
