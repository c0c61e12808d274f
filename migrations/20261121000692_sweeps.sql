-- What the tick does for jobs that wait: it raises those that have waited long, and shares its time between tenants.

-- Waiting: a point of priority for each 30 s in the queue, up to the highest priority there is. Points that lift a job over
-- no other lane of its tenant need not be written, so it is moved when they suffice for the next lane, and where all have
-- one priority nothing is ever done. A few heads of a lane at a time: a long queue does not come up as a whole.
-- Lanes are many, so a tick looks at some hundred and the next goes on behind them.
create table muster_private.sweep_places (
  name text primary key,
  tenant_id uuid,
  priority smallint,
  class_id bigint
);
comment on table muster_private.sweep_places is 'Where a sweep goes on that looks at some of many each time; null is the beginning';
insert into muster_private.sweep_places (name) values ('aging'), ('scheduled'), ('deadlines');
alter table muster_private.sweep_places enable row level security;
create policy nobody on muster_private.sweep_places as restrictive for all to public using (false);

create function muster_private.queued_priorities(tenant_id uuid) returns smallint[]
language plpgsql stable set search_path = ''
as $$
begin
  return array(
    with recursive hops as (
      (
        select r.priority from muster_private.ready_jobs r
        where r.tenant_id = queued_priorities.tenant_id and r.worker_id is null
        order by r.priority limit 1
      )
      union all
      select next.priority from hops h
      cross join lateral (
        select r.priority from muster_private.ready_jobs r
        where r.tenant_id = queued_priorities.tenant_id and r.worker_id is null and r.priority > h.priority
        order by r.priority limit 1
      ) next
    )
    select h.priority from hops h order by h.priority);
end
$$;
comment on function muster_private.queued_priorities(uuid) is 'The (effective) priorities of a tenant''s queued jobs, lowest first';

-- Moves heads of one lane up; answers how many.
create function muster_private.raise_heads(
  tenant_id uuid, class_id bigint, priority smallint, priorities smallint[], at timestamptz
) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 10;
  v_count integer;
begin
  with heads as materialized (
    select r.job_id, r.rank, r.queued_at from muster_private.ready_jobs r
    where r.tenant_id = raise_heads.tenant_id and r.class_id = raise_heads.class_id and r.priority = raise_heads.priority
      and r.worker_id is null
    order by r.rank, r.position limit v_most
  ), due as materialized (
    select h.job_id, h.rank, (
        select max(p) from unnest(raise_heads.priorities) p
        where p <= j.priority + floor(extract(epoch from raise_heads.at - h.queued_at) / 30)) as priority
    from heads h
    join muster.jobs j on j.id = h.job_id
    where h.queued_at <= raise_heads.at - interval '30 seconds'
  ), raised as (
    -- The others stay free for whoever claims.
    select d.job_id, d.rank, d.priority from due d
    join muster_private.ready_jobs r on r.job_id = d.job_id
    where d.priority > raise_heads.priority and r.priority = raise_heads.priority
    for update of r skip locked
  ), moved as (
    update muster_private.ready_jobs r
    set priority = n.priority,
      -- Not before those that have their turn there, or who comes next would be measured by it.
      rank = greatest(n.rank, (
        select o.rank from muster_private.ready_jobs o
        where o.tenant_id = raise_heads.tenant_id and o.class_id = raise_heads.class_id and o.priority = n.priority and o.worker_id is null
        order by o.rank, o.position limit 1))
    from raised n
    where r.job_id = n.job_id
    returning r.job_id
  )
  select count(*) into v_count from moved;
  return v_count;
end
$$;
comment on function muster_private.raise_heads(uuid, bigint, smallint, smallint[], timestamptz) is
  'Raises the priority of jobs at the head of a lane that have waited for it';

-- Hops from class to class, and looks at their heads only.
create function muster_private.waiting_lanes(
  tenant_id uuid, priority smallint, after_class_id bigint, waiting_since timestamptz, most integer,
  out class_ids bigint[], out lane_count integer, out last_class_id bigint
)
language plpgsql stable set search_path = ''
as $$
begin
  with recursive hops as (
    (
      select r.class_id as hop from muster_private.ready_jobs r
      where r.tenant_id = waiting_lanes.tenant_id and r.priority = waiting_lanes.priority and r.worker_id is null
        and r.class_id > waiting_lanes.after_class_id
      order by r.class_id limit 1
    )
    union all
    select next.class_id from hops h
    cross join lateral (
      select r.class_id from muster_private.ready_jobs r
      where r.tenant_id = waiting_lanes.tenant_id and r.priority = waiting_lanes.priority and r.worker_id is null
        and r.class_id > h.hop
      order by r.class_id limit 1
    ) next
  )
  select count(*), max(l.hop), coalesce(array_agg(l.hop order by l.hop) filter (where exists (
      select from (
        select r.queued_at from muster_private.ready_jobs r
        where r.tenant_id = waiting_lanes.tenant_id and r.class_id = l.hop and r.priority = waiting_lanes.priority
          and r.worker_id is null
        order by r.rank, r.position limit 10
      ) head
      where head.queued_at <= waiting_lanes.waiting_since)), '{}')
  into waiting_lanes.lane_count, waiting_lanes.last_class_id, waiting_lanes.class_ids
  from (select h.hop from hops h limit waiting_lanes.most) l;
end
$$;
comment on function muster_private.waiting_lanes(uuid, smallint, bigint, timestamptz, integer) is
  'Which of the next lanes of a priority have a head that has waited since then; how many were looked at, and up to which class';

create function muster_private.age_jobs(at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_lanes_left integer := 400;
  v_tenants_left integer := 400;
  v_place muster_private.sweep_places;
  v_priorities smallint[];
  v_lane record;
  v_found record;
  v_count integer := 0;
begin
  select * into strict v_place from muster_private.sweep_places p where p.name = 'aging';
  <<tenants>>
  while v_tenants_left > 0 loop
    -- A tenant that the last tick left half done comes first, and then the next.
    if v_place.priority is null then
      select r.tenant_id into v_place.tenant_id from muster_private.ready_jobs r
      where r.worker_id is null and r.tenant_id > coalesce(v_place.tenant_id, '00000000-0000-0000-0000-000000000000')
      order by r.tenant_id limit 1;
      if not found then
        v_place.tenant_id := null;
        exit;
      end if;
    end if;
    v_tenants_left := v_tenants_left - 1;
    v_priorities := muster_private.queued_priorities(v_place.tenant_id);
    for v_lane in
      select p.priority, age_jobs.at - interval '30 seconds' * (v_priorities[p.n + 1] - p.priority) as waiting_since
      from unnest(v_priorities) with ordinality p (priority, n)
      where p.n < cardinality(v_priorities) and (v_place.priority is null or p.priority >= v_place.priority)
      order by p.n
    loop
      if v_lane.priority > v_place.priority then
        v_place.class_id := null;
      end if;
      v_place.priority := v_lane.priority;
      v_found := muster_private.waiting_lanes(
        v_place.tenant_id, v_lane.priority, coalesce(v_place.class_id, 0), v_lane.waiting_since, v_lanes_left);
      select v_count + coalesce(sum(muster_private.raise_heads(
        v_place.tenant_id, c.id, v_lane.priority, v_priorities, age_jobs.at)), 0) into v_count
      from unnest(v_found.class_ids) c (id);
      v_lanes_left := v_lanes_left - v_found.lane_count;
      v_place.class_id := v_found.last_class_id;
      exit tenants when v_lanes_left = 0;
    end loop;
    v_place.priority := null;
    v_place.class_id := null;
  end loop;
  update muster_private.sweep_places p
  set tenant_id = v_place.tenant_id, priority = v_place.priority, class_id = v_place.class_id
  where p.name = 'aging' and (p.tenant_id, p.priority, p.class_id)
    is distinct from (v_place.tenant_id, v_place.priority, v_place.class_id);
  return v_count;
end
$$;
comment on function muster_private.age_jobs(timestamptz) is
  'Raises the priority of jobs that have long stood at the head of their lanes; answers how many';

-- Which jobs have their time come, the oldest first and at most so many. One tenant's million may not keep the others': where
-- there are more, each of its tenants has an equal share, some hundred tenants a tick, and what is left over is the oldest's.
create function muster_private.due_jobs(name text, at timestamptz, most integer) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most_tenants constant integer := 100;
  v_table constant text := case due_jobs.name when 'scheduled' then 'scheduled_jobs' else 'job_deadlines' end;
  v_column constant text := case due_jobs.name when 'scheduled' then 'run_at' else 'at' end;
  v_oldest constant text := format('array(select d.job_id from muster_private.%1$I d where d.%2$I <= $1 order by d.%2$I limit $2)',
    v_table, v_column);
  v_place uuid;
  v_ids uuid[];
  v_tenants uuid[];
begin
  execute 'select ' || v_oldest into v_ids using due_jobs.at, due_jobs.most + 1;
  if cardinality(v_ids) <= due_jobs.most then
    return v_ids;
  end if;
  select coalesce(p.tenant_id, '00000000-0000-0000-0000-000000000000') into strict v_place
  from muster_private.sweep_places p where p.name = due_jobs.name;
  -- From tenant to tenant, behind those that had their share last time and then from the beginning.
  execute format($hops$
    with recursive hops as (
      select $2 as hop, 0 as round, 0 as n
      union all
      select coalesce(next.tenant_id, '00000000-0000-0000-0000-000000000000'), h.round + (next.tenant_id is null)::integer, h.n + 1
      from hops h
      left join lateral (
        select d.tenant_id from muster_private.%1$I d where d.tenant_id > h.hop order by d.tenant_id limit 1
      ) next on true
      where h.round < 2 and h.n < 10 * $3 and (h.round = 0 or h.hop < $2)
    )
    select array_agg(t.hop order by t.n) from (
      select h.hop, min(h.n) as n from hops h
      where exists (select from muster_private.%1$I d where d.tenant_id = h.hop and d.%2$I <= $1) and h.n > 0
      group by h.hop order by n limit $3
    ) t
    $hops$, v_table, v_column)
  into v_tenants using due_jobs.at, v_place, v_most_tenants;
  execute format($share$
    select array_agg(s.job_id) from (
      select o.job_id from unnest($2) t (id)
      cross join lateral (
        select d.job_id from muster_private.%1$I d where d.tenant_id = t.id and d.%2$I <= $1 order by d.%2$I limit $3
      ) o
    ) s
    $share$, v_table, v_column)
  into v_ids using due_jobs.at, v_tenants, greatest(due_jobs.most / cardinality(v_tenants), 1);
  execute 'select $3 || array(select i from unnest(' || v_oldest || ') i where i <> all ($3) limit $2 - cardinality($3))'
  into v_ids using due_jobs.at, due_jobs.most, v_ids;
  update muster_private.sweep_places p set tenant_id = v_tenants[cardinality(v_tenants)] where p.name = due_jobs.name;
  return v_ids;
end
$$;
comment on function muster_private.due_jobs(text, timestamptz, integer) is
  'Jobs whose time has come, of all tenants alike; name says which: scheduled, or their deadlines';

revoke execute on all functions in schema muster_private from public;
