-- In which order the queue is served: turns between flows.
--
-- A lane is what is queued of a class at an (effective) priority; lanes that the same workers serve count as one. In it
-- flows take turns: a job that comes to the queue gets a rank one step behind the last of its flow, or behind the head of
-- the lane if its flow has none there. A step is a million over the weight, so a flow of weight 2 has two jobs where
-- another has one, and a flood of one flow stands as far back as it is long. Nothing is reckoned when jobs are taken: lanes
-- are read in the order of ranks.
-- Ranks count in positions, and no job's is above the newest position: whatever comes to lanes that are empty stands
-- behind all that ever stood there.

create index ready_jobs_flows_idx on muster_private.ready_jobs (tenant_id, priority, class_id, hashtextextended(flow, 0), rank)
  where worker_id is null;

-- Jobs that come out of a wait take turns as a flow of their own. As members of their flow they would stand behind its
-- whole flood once they are let in, each in its turn where a concurrency key admits one at a time; by their position, a
-- flood that was scheduled for later would overtake everybody.
create function muster_private.flow_of(job muster.jobs) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return case when (flow_of.job).attempts = 0 and (flow_of.job).queued_at > (flow_of.job).created_at then 'late ' else '' end
    || coalesce((flow_of.job).fairness_key, (flow_of.job).executor_id::text, '');
end
$$;
comment on function muster_private.flow_of(muster.jobs) is
  'Whom a queued job takes turns with: its fairness key, or else its app; apart from them, once it has waited for something';

create function muster_private.some_workers(tenant_id uuid, class_id bigint) returns uuid[]
language plpgsql stable set search_path = ''
as $$
begin
  return array(
    select wc.worker_id from muster.worker_classes wc
    where wc.tenant_id = some_workers.tenant_id and wc.class_id = some_workers.class_id
    order by wc.preference desc, wc.worker_id limit 8);
end
$$;
comment on function muster_private.some_workers(uuid, bigint) is 'A few of the workers that serve a class: who they are says which classes it shares them with';

-- Jobs of different classes wait for the same workers, too. Of many lanes the first 20 say enough: by their ranks they
-- move on together.
create function muster_private.rival_classes(tenant_id uuid, class_id bigint, priority smallint) returns bigint[]
language plpgsql stable set search_path = ''
as $$
declare
  v_queued bigint[];
  v_workers uuid[];
begin
  with recursive hops as (
    (
      select r.class_id as hop from muster_private.ready_jobs r
      where r.tenant_id = rival_classes.tenant_id and r.priority = rival_classes.priority and r.worker_id is null
      order by r.class_id limit 1
    )
    union all
    select next.class_id from hops h
    cross join lateral (
      select r.class_id from muster_private.ready_jobs r
      where r.tenant_id = rival_classes.tenant_id and r.priority = rival_classes.priority and r.worker_id is null
        and r.class_id > h.hop
      order by r.class_id limit 1
    ) next
  )
  select array_agg(q.hop) into v_queued from (select h.hop from hops h limit 20) q where q.hop <> rival_classes.class_id;
  if v_queued is null then
    return array[]::bigint[];
  end if;
  v_workers := muster_private.some_workers(rival_classes.tenant_id, rival_classes.class_id);
  return array(
    select q.id from unnest(v_queued) q (id)
    where cardinality(v_workers) > 0 and 2 * (
      select count(*) from muster.worker_classes wc where wc.worker_id = any (v_workers) and wc.class_id = q.id
    ) >= cardinality(v_workers));
end
$$;
comment on function muster_private.rival_classes(uuid, bigint, smallint) is
  'Classes with queued jobs of the priority that at least half of the workers of a class serve as well';

create function muster_private.next_rank(tenant_id uuid, class_ids bigint[], priority smallint) returns bigint
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select min(h.rank) from unnest(next_rank.class_ids) o (id)
    cross join lateral (
      select r.rank from muster_private.ready_jobs r
      where r.tenant_id = next_rank.tenant_id and r.class_id = o.id and r.priority = next_rank.priority and r.worker_id is null
      order by r.rank, r.position limit 1
    ) h);
end
$$;
comment on function muster_private.next_rank(uuid, bigint[], smallint) is 'The rank that comes next in these lanes; null where they are empty';

create function muster_private.last_of_flow(tenant_id uuid, class_ids bigint[], priority smallint, flow bigint) returns bigint
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select max(t.rank) from unnest(last_of_flow.class_ids) o (id)
    cross join lateral (
      select r.rank from muster_private.ready_jobs r
      where r.tenant_id = last_of_flow.tenant_id and r.priority = last_of_flow.priority and r.class_id = o.id
        and hashtextextended(r.flow, 0) = last_of_flow.flow and r.worker_id is null
      order by r.rank desc limit 1
    ) t);
end
$$;
comment on function muster_private.last_of_flow(uuid, bigint[], smallint, bigint) is 'The last rank that a flow has in these lanes';

-- Item n of each array is of one job. A weight of null takes no turn: the job goes on at the head of its lane, as one
-- does that comes back from a worker. A few probes of an index for each class, priority and flow that occurs, none for
-- each job. Who hands in at the same moment is not seen: then two batches of one flow share their turns.
create function muster_private.next_ranks(
  tenant_id uuid, class_ids bigint[], priorities smallint[], flows text[], weights smallint[], arrivals bigint[]
) returns bigint[]
language plpgsql stable set search_path = ''
as $$
declare
  v_unit constant bigint := 1000000;
  -- A batch of more lanes is nobody's who cares for turns between them.
  v_most_lanes constant integer := 20;
  v_base constant bigint := (select (min(a) - 1) * v_unit from unnest(next_ranks.arrivals) a);
  v_rivals bigint[];
  v_head bigint;
  v_start bigint;
begin
  -- Most batches are of one flow and for one lane.
  if next_ranks.class_ids[1] = all (next_ranks.class_ids) and next_ranks.priorities[1] = all (next_ranks.priorities)
    and next_ranks.flows[1] = all (next_ranks.flows) then
    v_rivals := muster_private.rival_classes(next_ranks.tenant_id, next_ranks.class_ids[1], next_ranks.priorities[1]);
    v_rivals := v_rivals || next_ranks.class_ids[1];
    v_head := coalesce(muster_private.next_rank(next_ranks.tenant_id, v_rivals, next_ranks.priorities[1]), v_base);
    v_start := greatest(v_head, muster_private.last_of_flow(
      next_ranks.tenant_id, v_rivals, next_ranks.priorities[1], hashtextextended(next_ranks.flows[1], 0)));
    return array(
      select case when e.weight is null then v_head
        else greatest(v_start, least(e.arrival * v_unit, v_start + sum(v_unit / e.weight) over (order by e.arrival, e.ordinal))) end
      from unnest(next_ranks.weights, next_ranks.arrivals) with ordinality e (weight, arrival, ordinal)
      order by e.ordinal);
  end if;
  return (
    with entering as (
      select e.ordinal, e.class_id, e.priority, hashtextextended(e.flow, 0) as flow, e.weight, e.arrival
      from unnest(next_ranks.class_ids, next_ranks.priorities, next_ranks.flows, next_ranks.weights, next_ranks.arrivals)
        with ordinality e (class_id, priority, flow, weight, arrival, ordinal)
    ), compared as materialized (
      select c.class_id, c.priority,
        case when c.lane_count <= v_most_lanes
          then muster_private.rival_classes(next_ranks.tenant_id, c.class_id, c.priority) else '{}' end as rivals,
        case when c.lane_count between 2 and v_most_lanes
          then muster_private.some_workers(next_ranks.tenant_id, c.class_id) end as workers
      from (select e.class_id, e.priority, count(*) over () as lane_count from entering e group by e.class_id, e.priority) c
    ), lanes as materialized (
      select c.*, coalesce(muster_private.next_rank(next_ranks.tenant_id, c.rivals || c.class_id, c.priority), v_base) as start,
        -- Of classes that have the same workers a flow's turns are counted together.
        case when cardinality(c.workers) > 0 then c.workers::text else c.class_id::text end as pool
      from compared c
    ), flows as materialized (
      select f.class_id, f.priority, f.flow, l.pool, l.start as head,
        greatest(l.start, muster_private.last_of_flow(next_ranks.tenant_id, l.rivals || l.class_id, f.priority, f.flow)) as start
      from (select distinct e.class_id, e.priority, e.flow from entering e) f
      join lanes l on l.class_id = f.class_id and l.priority = f.priority
    ), ranked as (
      select e.ordinal, case when e.weight is null then f.head
        else greatest(f.start, least(e.arrival * v_unit, f.start + sum(v_unit / e.weight) over (
          partition by f.pool, e.priority, e.flow order by e.arrival, e.ordinal))) end as rank
      from entering e
      join flows f on f.class_id = e.class_id and f.priority = e.priority and f.flow = e.flow
    )
    select array_agg(r.rank order by r.ordinal) from ranked r
  );
end
$$;
comment on function muster_private.next_ranks(uuid, bigint[], smallint[], text[], smallint[], bigint[]) is
  'The ranks of jobs that come to the queue: of each flow behind what it has there, of all flows in turns';

-- Item n of each array is of one job, as in next_ranks().
create function muster_private.take_turns(
  tenant_id uuid, ids uuid[], class_ids bigint[], priorities smallint[], positions bigint[], flows text[], weights smallint[],
  arrivals bigint[], at timestamptz
) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(take_turns.ids), 0) = 0 then
    return;
  end if;
  insert into muster_private.ready_jobs (job_id, tenant_id, class_id, priority, rank, position, flow, queued_at)
  select n.id, take_turns.tenant_id, n.class_id, n.priority, n.rank, n.position, n.flow, take_turns.at
  from unnest(take_turns.ids, take_turns.class_ids, take_turns.priorities, take_turns.positions, take_turns.flows,
    muster_private.next_ranks(take_turns.tenant_id, take_turns.class_ids, take_turns.priorities, take_turns.flows,
      take_turns.weights, take_turns.arrivals))
    n (id, class_id, priority, position, flow, rank);
end
$$;
comment on function muster_private.take_turns(uuid, uuid[], bigint[], smallint[], bigint[], text[], smallint[], bigint[], timestamptz) is
  'Puts jobs of a tenant into the queue, each at its turn: the one way into ready_jobs';

-- Puts jobs that the caller has made `queued` where workers look for them. Who waited for
-- something draws a new number, as its position is that of a time when it was not yet in line.
create function muster_private.enter_queue(job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
declare
  v_batch record;
begin
  if coalesce(cardinality(enter_queue.job_ids), 0) = 0 then
    return;
  end if;
  for v_batch in
    select e.tenant_id, max(e.queued_at) as queued_at, array_agg(e.id order by e.position) as ids,
      array_agg(e.class_id order by e.position) as class_ids, array_agg(e.priority order by e.position) as priorities,
      array_agg(e.flow order by e.position) as flows, array_agg(e.weight order by e.position) as weights,
      array_agg(e.arrival order by e.position) as arrivals, array_agg(e.position order by e.position) as positions
    from (
      select o.*, case when o.is_late then nextval('muster.job_positions') else o.position end as arrival
      from (
        select j.id, j.tenant_id, j.class_id, j.priority, j.position, j.queued_at, muster_private.flow_of(j) as flow,
          case when j.attempts = 0 then j.fairness_weight end as weight, j.attempts = 0 and j.queued_at > j.created_at as is_late
        from muster.jobs j
        where j.id = any (enter_queue.job_ids) and j.status = 'queued'
        order by j.position
      ) o
    ) e
    group by e.tenant_id order by e.tenant_id
  loop
    perform muster_private.take_turns(v_batch.tenant_id, v_batch.ids, v_batch.class_ids, v_batch.priorities, v_batch.positions,
      v_batch.flows, v_batch.weights, v_batch.arrivals, v_batch.queued_at);
  end loop;
end
$$;
comment on function muster_private.enter_queue(uuid[]) is 'Puts queued jobs where workers look for them, each at its turn';

revoke execute on all functions in schema muster_private from public;
