-- Why a job is not running, the part about workers: what each of them lacks for it, and which would do if it asked for
-- less. Nothing is written and no row is locked.

create type muster_private.judged_worker as (
  worker_id uuid,
  name text,
  status muster.worker_status,
  is_pushed boolean,
  fits boolean,
  -- All that keeps the job from it, in order: it is free for the job where there is nothing.
  failures jsonb,
  preference real,
  slots integer,
  held_count integer,
  -- How many such jobs it has room for beside what it holds, and how many in all; no more than 0 where it takes no jobs.
  room integer,
  capacity integer
);

-- Those that fit first, and of them in the order in which they are given jobs. Who fits is asked as the matcher asks. The
-- planner does not know how long the lists are that are joined here, and would compare each entry with each.
create function muster_private.judge_workers(class muster.job_classes, most integer)
returns setof muster_private.judged_worker
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set enable_nestloop = off
as $$
declare
  v_has_resources constant boolean := class.resources <> '{}';
begin
  return query
  with matching as materialized (
    select m.worker_id, m.preference from muster_private.matching_workers(class) m
  ), examined as materialized (
    select w.id, w.name, w.status, w.cordoned_at is not null as is_cordoned, w.listening and not w.deaf as is_pushed,
      m.worker_id is not null as fits, coalesce(m.preference, 0)::real as preference, w.slots, w.held_count,
      w.slots >= class.slots and w.slots - w.held_count < class.slots as lacks_slots, w.resources, w.held_resources,
      case when m.worker_id is null then w end as worker,
      row_number() over (order by m.worker_id is null, w.status, m.preference desc nulls last,
        w.held_count::real / w.slots, w.last_assigned_at nulls first, w.id) as place
    from muster.worker_devices w left join matching m on m.worker_id = w.id
    where w.tenant_id = class.tenant_id and w.forgotten_at is null
    order by place limit judge_workers.most
  ), failed as materialized (
    select f.worker_id, f.failures from muster_private.failed_predicates(
      array(select e.worker from examined e where not e.fits), class) f
  ), open as materialized (
    select e.id, (e.slots - e.held_count) / class.slots as room, e.slots / class.slots as capacity
    from examined e where e.fits and e.status = 'online' and not e.is_cordoned
  ), narrowed as materialized (
    -- Of resources no more than there are.
    select o.id, min(floor(((e.resources ->> r.key)::numeric - coalesce((e.held_resources ->> r.key)::numeric, 0)) / r.value::numeric)) as room,
      min(floor((e.resources ->> r.key)::numeric / r.value::numeric)) as capacity
    from open o join examined e on e.id = o.id cross join jsonb_each_text(class.resources) r
    where v_has_resources
    group by o.id
  ), taken as materialized (
    -- There is enough of it, but others have it now.
    select u.id, jsonb_agg(jsonb_build_object('predicate', 'free_resource', 'name', u.name, 'wanted', u.wanted, 'has', u.has - u.held)
      order by u.name) as failures
    from (
      select e.id, r.key as name, r.value::numeric as wanted, (e.resources ->> r.key)::numeric as has,
        coalesce((e.held_resources ->> r.key)::numeric, 0) as held
      from examined e cross join jsonb_each_text(class.resources) r
      where v_has_resources and e.status <> 'revoked'
    ) u
    where u.has >= u.wanted and u.has - u.held < u.wanted
    group by u.id
  )
  select e.id, e.name, e.status, e.is_pushed, e.fits,
    case when e.status in ('offline', 'draining') then jsonb_build_array(jsonb_build_object(
      'predicate', 'status', 'name', 'status', 'wanted', 'online', 'has', e.status)) else '[]' end
    || case when e.is_cordoned and e.status <> 'revoked'
      then '[{"predicate": "cordon", "name": "cordon", "wanted": "not cordoned", "has": "cordoned"}]'::jsonb else '[]' end
    || coalesce(f.failures, '[]')
    || case when e.lacks_slots and e.status <> 'revoked' then jsonb_build_array(jsonb_build_object(
        'predicate', 'free_slots', 'name', 'slots', 'wanted', class.slots, 'has', e.slots - e.held_count)) else '[]' end
    || coalesce(t.failures, '[]'),
    e.preference, e.slots, e.held_count,
    greatest(least(o.room, n.room), 0)::integer, greatest(least(o.capacity, n.capacity), 0)::integer
  from examined e
  left join failed f on f.worker_id = e.id
  left join taken t on t.id = e.id
  left join open o on o.id = e.id
  left join narrowed n on n.id = e.id
  order by e.place;
end
$$;
comment on function muster_private.judge_workers(muster.job_classes, integer) is
  'What keeps each worker of the tenant, at most so many, from jobs of a class; those that fit come first';

-- Where a job goes as choose_workers() would send it: the same rules, read only, for a job that has not come to the queue.
-- The candidates are those that may be given jobs, in order.
create function muster_private.foresee_worker(
  tenant_id uuid, policy jsonb, workers muster_private.judged_worker[], at timestamptz
) returns muster_private.placement
language plpgsql stable set search_path = ''
as $$
declare
  v_grace constant interval := interval '2 seconds';
  v_affinity constant jsonb := foresee_worker.policy -> 'affinity';
  v_resource constant jsonb := foresee_worker.policy -> 'resource_ref';
  v_is_hard constant boolean := coalesce(v_affinity ->> 'mode' = 'hard', false);
  v_needs_resource constant boolean := v_resource is not null and coalesce(v_resource ->> 'mode', 'hard') = 'hard';
  v_patience constant interval := make_interval(secs => greatest(
    (v_affinity ->> 'wait_seconds')::double precision, (v_resource ->> 'wait_seconds')::double precision, 0));
  v_keep constant interval := make_interval(secs => coalesce((v_affinity ->> 'keep_seconds')::double precision, 3600));
  v_open muster_private.candidate[];
  v_holders muster_private.candidate[];
  v_chosen muster_private.candidate;
  v_bound uuid := (foresee_worker.policy ->> 'bound_to')::uuid;
  v_of_key uuid;
  v_placement muster_private.placement := row (null, null, null, null);
begin
  if v_bound is not null and exists (select from unnest(foresee_worker.workers) w where w.worker_id = v_bound and w.fits) then
    v_placement.worker_id := v_bound;
    return v_placement;
  end if;
  if v_affinity is null and v_resource is null then
    return v_placement;
  end if;
  v_open := array(
    select row (w.worker_id, w.preference, w.slots, w.held_count + q.queued, w.room - q.queued)::muster_private.candidate
    from unnest(foresee_worker.workers) with ordinality
      w (worker_id, name, status, is_pushed, fits, failures, preference, slots, held_count, room, capacity, place)
    cross join lateral (
      select count(*)::integer as queued from (
        select from muster_private.ready_jobs r
        where r.tenant_id = foresee_worker.tenant_id and r.worker_id = w.worker_id limit 1000) t
    ) q
    where w.capacity > 0
    order by w.place);
  if v_resource is not null then
    v_holders := array(
      select row (c.worker_id, c.preference, c.slots, c.load, c.room)::muster_private.candidate
      from unnest(v_open) with ordinality c (worker_id, preference, slots, load, room, place)
      join muster.resource_holders h on h.tenant_id = foresee_worker.tenant_id and h.name = v_resource ->> 'name'
        and h.worker_id = c.worker_id and h.expires_at > foresee_worker.at
      order by c.place limit 200);
    if cardinality(v_holders) = 0 and v_needs_resource then
      v_placement.waits_for := v_resource ->> 'name';
      return v_placement;
    end if;
    v_chosen := muster_private.least_loaded(v_holders);
  end if;
  if v_affinity is not null then
    select a.worker_id into v_of_key from muster.affinities a
    join muster.worker_devices w on w.id = a.worker_id and w.status <> 'revoked'
    where a.tenant_id = foresee_worker.tenant_id and a.key = v_affinity ->> 'key' and a.expires_at > foresee_worker.at;
    if v_of_key is null then
      if v_is_hard and v_chosen.worker_id is null then
        v_chosen := muster_private.least_loaded(v_open[:200]);
      end if;
    elsif v_is_hard and not v_needs_resource then
      v_chosen := null;
      select w.worker_id into v_chosen.worker_id from unnest(foresee_worker.workers) w
      where w.worker_id = v_of_key and w.fits;
    elsif v_chosen.worker_id is not null then
      select h.* into v_chosen from unnest(v_holders) h where h.worker_id in (v_of_key, v_chosen.worker_id)
      order by h.worker_id = v_of_key desc limit 1;
    else
      v_chosen := muster_private.least_loaded(array(select o from unnest(v_open) o where (o).worker_id = v_of_key));
    end if;
    if v_is_hard and v_chosen.worker_id is null then
      v_placement.waits_for := v_affinity ->> 'key';
      return v_placement;
    end if;
  end if;
  if v_is_hard then
    v_placement.worker_id := v_chosen.worker_id;
    v_placement.worker_until := foresee_worker.at + v_keep;
  end if;
  if v_needs_resource then
    v_placement.worker_id := v_chosen.worker_id;
    select least(v_placement.worker_until, h.expires_at) into v_placement.worker_until from muster.resource_holders h
    where h.tenant_id = foresee_worker.tenant_id and h.name = v_resource ->> 'name' and h.worker_id = v_chosen.worker_id;
  elsif not v_is_hard and v_chosen.worker_id is not null and (v_chosen.room > 0 or v_patience > interval '0') then
    v_placement.worker_id := v_chosen.worker_id;
    v_placement.worker_until := foresee_worker.at
      + case when v_chosen.room > 0 then greatest(v_patience, v_grace) else v_patience end;
  end if;
  return v_placement;
end
$$;
comment on function muster_private.foresee_worker(uuid, jsonb, muster_private.judged_worker[], timestamptz) is
  'Which worker a job of a policy would be sent to if it came to the queue now, and until when, or what it would wait for';

-- Adds what a job wants of one worker alone to what keeps the others from it: before what is only taken for the moment.
create function muster_private.judge_target(
  workers muster_private.judged_worker[], placement muster_private.placement, wanted jsonb
) returns muster_private.judged_worker[]
language plpgsql immutable set search_path = ''
as $$
begin
  if judge_target.placement.worker_id is null and judge_target.placement.waits_for is null then
    return judge_target.workers;
  end if;
  return array(
    select row (w.worker_id, w.name, w.status, w.is_pushed, w.fits,
      case when w.worker_id = (judge_target.placement).worker_id or w.status = 'revoked' then w.failures
        else jsonb_path_query_array(w.failures, '$[*] ? (!(@.predicate starts with "free_"))')
          || judge_target.wanted || jsonb_path_query_array(w.failures, '$[*] ? (@.predicate starts with "free_")') end,
      w.preference, w.slots, w.held_count,
      case when w.worker_id = (judge_target.placement).worker_id then w.room else 0 end,
      case when w.worker_id = (judge_target.placement).worker_id then w.capacity else 0 end)::muster_private.judged_worker
    from unnest(judge_target.workers) with ordinality
      w (worker_id, name, status, is_pushed, fits, failures, preference, slots, held_count, room, capacity, place)
    order by w.place);
end
$$;
comment on function muster_private.judge_target(muster_private.judged_worker[], muster_private.placement, jsonb) is
  'The same workers for a job that goes to one of them alone, or to none for now';

-- What each reason would take to be no reason any more, and what that costs who submits or operates: to wait is cheapest, to
-- ask for less of what the work is made of dearest. See decision 31. Null where nothing helps.
create function muster_private.relaxation_of(failure jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  v_kind constant text := relaxation_of.failure ->> 'predicate';
  v_name constant jsonb := relaxation_of.failure -> 'name';
begin
  return case
    when v_kind in ('free_slots', 'free_resource') then jsonb_build_object('change', 'wait', 'cost', 1)
    when v_kind = 'cordon' then jsonb_build_object('change', 'uncordon_worker', 'cost', 2)
    when v_kind = 'status' and relaxation_of.failure ->> 'has' = 'draining' then jsonb_build_object('change', 'resume_worker', 'cost', 3)
    when v_kind = 'status' and relaxation_of.failure ->> 'has' = 'offline' then jsonb_build_object('change', 'start_worker', 'cost', 5)
    when v_kind = 'affinity' then jsonb_build_object('change', 'drop_affinity', 'name', v_name, 'cost', 10)
    when v_kind in ('label', 'expression') then
      jsonb_build_object('change', 'drop_' || v_kind, 'name', v_name, 'wanted', relaxation_of.failure -> 'wanted', 'cost', 20)
    when v_kind = 'resource' then
      jsonb_build_object('change', 'lower_resource', 'name', v_name, 'wanted', relaxation_of.failure -> 'wanted', 'cost', 30)
    when v_kind = 'capability' and coalesce(relaxation_of.failure -> 'has', 'null') <> 'null' then
      jsonb_build_object('change', 'lower_grade', 'name', v_name, 'wanted', relaxation_of.failure -> 'wanted', 'cost', 40)
    when v_kind = 'capability' then
      jsonb_build_object('change', 'drop_capability', 'name', v_name, 'wanted', relaxation_of.failure -> 'wanted', 'cost', 50)
  end;
end
$$;
comment on function muster_private.relaxation_of(jsonb) is 'What would have to change for a predicate not to fail, {change, cost, …}';

-- A worker does once all that keeps it from the job is changed, so what is asked of it is one set of changes. The example
-- is the worker that lacks the least; where amounts are lowered, it says how far.
create function muster_private.relaxations_of(workers muster_private.judged_worker[]) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  v_most constant integer := 10;
begin
  return (
    with lacking as materialized (
      select w.worker_id, w.name, f.failure ->> 'predicate' as predicate, f.failure ->> 'name' as thing,
        f.failure ->> 'wanted' as wanted, f.failure ->> 'has' as has
      from unnest(relaxations_of.workers) w cross join lateral jsonb_array_elements(w.failures) f (failure)
      where w.status <> 'revoked'
    ), changes as materialized (
      -- Of what a worker has instead, the state of it and whether it has anything count: then most lack the same.
      select k.predicate, k.thing, k.wanted, k.has, k.change, dense_rank() over (order by k.change) as id
      from (
        select d.*, muster_private.relaxation_of(jsonb_build_object(
          'predicate', d.predicate, 'name', d.thing, 'wanted', d.wanted, 'has', d.has)) as change
        from (
          select distinct l.predicate, l.thing, l.wanted,
            case when l.predicate = 'status' then l.has when l.predicate = 'capability' and l.has is not null then 'some' end as has
          from lacking l
        ) d
      ) k
    ), wanting as materialized (
      select l.worker_id, l.name, array_agg(distinct c.id) as ids,
        sum(case when l.predicate = 'resource' then 1 - coalesce(l.has::numeric, 0) / l.wanted::numeric else 0 end) as lack
      from lacking l
      join changes c on c.predicate = l.predicate and c.thing = l.thing and c.wanted is not distinct from l.wanted
        and c.has is not distinct from case when l.predicate = 'status' then l.has when l.predicate = 'capability' and l.has is not null then 'some' end
      group by l.worker_id, l.name
    ), sets as materialized (
      select n.ids, count(*) as workers, (array_agg(n.worker_id order by n.lack, n.name, n.worker_id))[1] as example_id
      from wanting n group by n.ids
    ), cheapest as materialized (
      select s.*, p.cost, n.name from sets s
      join wanting n on n.worker_id = s.example_id
      cross join lateral (
        select sum((d.change ->> 'cost')::integer) as cost
        from (select distinct c.id, c.change from changes c where c.id = any (s.ids)) d
      ) p
      order by p.cost, s.workers desc, n.name limit v_most
    )
    select coalesce(jsonb_agg(jsonb_build_object('cost', s.cost, 'workers', s.workers,
      'example', jsonb_build_object('worker_id', s.example_id, 'name', s.name),
      'changes', (
        select jsonb_agg(d.change - 'cost' || case when d.change ->> 'change' = 'lower_resource' then jsonb_build_object(
            'to', (select l.has::numeric from lacking l
              where l.worker_id = s.example_id and l.predicate = 'resource' and l.thing = d.change ->> 'name')) else '{}' end
          order by (d.change ->> 'cost')::integer desc, d.change ->> 'change', d.change ->> 'name', d.change ->> 'wanted')
        from (select distinct c.id, c.change from changes c where c.id = any (s.ids)) d)
      ) order by s.cost, s.workers desc, s.name), '[]')
    from cheapest s);
end
$$;
comment on function muster_private.relaxations_of(muster_private.judged_worker[]) is
  'Which workers would do if what were changed, cheapest first: sets of changes with how many workers they win and one of them';

-- A busy worker says for whom: the jobs that hold what is wanted, five at most.
create function muster_private.workers_json(workers muster_private.judged_worker[]) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_most constant integer := 5;
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object('id', w.worker_id, 'name', w.name, 'status', w.status,
      'verdict', v.verdict, 'failed', w.failures -> 0, 'fits', w.fits, 'pushed', w.is_pushed,
      'slots', w.slots, 'held_slots', w.held_count, 'held_by', case when v.verdict = 'busy' then held.jobs end)
      order by w.place), '[]')
    from unnest(workers_json.workers) with ordinality
      w (worker_id, name, status, is_pushed, fits, failures, preference, slots, held_count, room, capacity, place)
    cross join lateral (
      select case when w.failures = '[]' then 'free'
        when w.failures -> 0 ->> 'predicate' in ('free_slots', 'free_resource') then 'busy' else 'unfit' end as verdict
    ) v
    left join lateral (
      select jsonb_agg(h.job_id) as jobs from (
        select l.job_id from muster_private.held_jobs l join muster.job_classes c on c.id = l.class_id
        where v.verdict = 'busy' and l.worker_id = w.worker_id
        order by c.resources ?| array(
            select e ->> 'name' from jsonb_array_elements(w.failures) e where e ->> 'predicate' = 'free_resource') desc,
          l.deadline_at, l.job_id limit v_most
      ) h
    ) held on true);
end
$$;
comment on function muster_private.workers_json(muster_private.judged_worker[]) is 'Workers as explain answers them, each with the first that keeps the job from it';

revoke execute on all functions in schema muster_private from public;
