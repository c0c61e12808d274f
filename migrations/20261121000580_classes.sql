-- Classes: what jobs ask of a worker, each distinct set of it once, and which workers fit. The rules of fitting are those
-- of failed_predicates(), in its order; the two matching functions ask them of all workers, or classes, in one statement.

create function muster_private.check_requires(names jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if jsonb_typeof(check_requires.names) = 'array' then
    perform muster_private.check_capabilities((
      select jsonb_agg(case when jsonb_typeof(n) = 'string'
        then to_jsonb(regexp_replace(n #>> '{}', '@(granted|measured)$', '')) else n end)
      from jsonb_array_elements(check_requires.names) n), 20);
  else
    perform muster_private.check_capabilities(check_requires.names, 20);
  end if;
end
$$;
comment on function muster_private.check_requires(jsonb) is
  'Refuses what is there and not at most 20 capabilities, each with @granted or @measured behind it or nothing';

create function muster_private.check_resources(resources jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_bad record;
begin
  if check_resources.resources is null or check_resources.resources = 'null' then
    return;
  end if;
  if jsonb_typeof(check_resources.resources) <> 'object' then
    perform muster_private.fail('MU004', 'Cannot accept resources: they must be an object of numbers');
  end if;
  if (select count(*) from jsonb_object_keys(check_resources.resources)) > 20 then
    perform muster_private.fail('MU015', 'Cannot accept more than 20 resources');
  end if;
  select r.key, r.value into v_bad from jsonb_each(check_resources.resources) r
  where r.key !~ '^[a-z0-9][a-z0-9._-]{0,62}$' or jsonb_typeof(r.value) <> 'number'
    or not (r.value #>> '{}')::numeric between 0.000001 and 1000000000000
    or (r.value #>> '{}')::numeric <> round((r.value #>> '{}')::numeric, 6)
  limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot accept the resource %s: %s: names have 1 to 63 of a-z 0-9 . _ -, amounts are above 0 and at most 10^12, with at most 6 decimals',
      left(v_bad.key, 100), left(v_bad.value::text, 100)));
  end if;
end
$$;
comment on function muster_private.check_resources(jsonb) is 'Refuses what is there and not at most 20 amounts above 0';

create function muster_private.check_worker_resources(resources jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  perform muster_private.check_resources(check_worker_resources.resources);
  if check_worker_resources.resources ? 'slots' then
    perform muster_private.fail('MU004', 'Cannot accept slots among the resources of a worker: it says them in "slots"');
  end if;
end
$$;
comment on function muster_private.check_worker_resources(jsonb) is 'Refuses what cannot be the resources of a worker';

-- What check_job() asks of the fields that make the class of a job.
create function muster_private.check_placement(item jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_slots constant jsonb := check_placement.item -> 'resources' -> 'slots';
begin
  perform muster_private.check_requires(check_placement.item -> 'requires');
  perform muster_private.check_labels(check_placement.item -> 'labels');
  if num_nonnulls(check_placement.item -> 'where', check_placement.item -> 'prefer') > 0
    and (
      select count(*) from unnest(array['where', 'prefer']) n
      cross join lateral jsonb_path_query(check_placement.item -> n, '$[*] ? (@.operator == "semver" || @.operator == "matches")')
    ) > 5 then
    perform muster_private.fail('MU015', 'Cannot accept more than 5 label expressions of a job with semver and matches, which take long to read');
  end if;
  perform muster_private.check_expressions(check_placement.item -> 'where', 'where', false);
  perform muster_private.check_expressions(check_placement.item -> 'prefer', 'prefer', true);
  perform muster_private.check_resources(check_placement.item -> 'resources');
  if v_slots is not null
    and ((v_slots #>> '{}')::numeric > 256 or (v_slots #>> '{}')::numeric <> trunc((v_slots #>> '{}')::numeric)) then
    perform muster_private.fail('MU004', format('Cannot accept %s slots: a job takes a whole number from 1 to 256', v_slots));
  end if;
end
$$;
comment on function muster_private.check_placement(jsonb) is 'Refuses a job whose requirements or preferences are malformed';

-- A pattern costs up to 10 ms to read, so a submission is refused before it is read.
create function muster_private.check_patterns(items jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if (
    select count(distinct v) from (
      select jsonb_path_query(check_patterns.items, '$[*].where[*] ? (@.operator == "matches").value') as v
      union all
      select jsonb_path_query(check_patterns.items, '$[*].prefer[*] ? (@.operator == "matches").value')
    ) p
  ) > 20 then
    perform muster_private.fail('MU015', 'Cannot submit jobs with more than 20 different patterns: send several batches');
  end if;
end
$$;
comment on function muster_private.check_patterns(jsonb) is 'Refuses jobs that bring more patterns than may be read in one transaction';

create function muster_private.plain_numbers(resources jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return coalesce((
    select jsonb_object_agg(r.key, trim_scale(r.value::numeric)) from jsonb_each_text(plain_numbers.resources) r), '{}');
end
$$;
comment on function muster_private.plain_numbers(jsonb) is 'Amounts without needless zeros: the same amounts are the same text';

-- What a job asks of its worker, in one form for all that mean the same.
create function muster_private.class_of(item jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  v_resources jsonb;
begin
  if jsonb_typeof(class_of.item -> 'resources') = 'object' then
    v_resources := muster_private.plain_numbers(class_of.item -> 'resources');
  end if;
  return jsonb_build_object(
    'requires', coalesce((
      select jsonb_agg(distinct n order by n)
      from jsonb_array_elements_text(coalesce(nullif(class_of.item -> 'requires', 'null'), '[]')) n), '[]'),
    'labels', coalesce(nullif(class_of.item -> 'labels', 'null'), '{}'),
    'expressions', muster_private.read_expressions(class_of.item -> 'where'),
    'preferences', muster_private.read_expressions(class_of.item -> 'prefer'),
    'resources', coalesce(v_resources - 'slots', '{}'),
    'slots', coalesce((v_resources ->> 'slots')::smallint, 1));
end
$$;
comment on function muster_private.class_of(jsonb) is
  'The requirements of a job as its class has them: requires, labels, expressions, preferences, resources, slots';

create function muster_private.class_digest(class jsonb) returns text
language plpgsql stable set search_path = ''
as $$
begin
  return encode(sha256(convert_to(class_digest.class::text, 'utf8')), 'hex');
end
$$;
comment on function muster_private.class_digest(jsonb) is 'What the requirements that class_of() answers are known by';

-- Jobs of a batch mostly ask for the same, so each wording is read once.
create function muster_private.classes_of(items jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_agg(jsonb_build_object('asked', a.asked, 'class', a.class, 'digest', muster_private.class_digest(a.class),
      'requires', a.class -> 'requires', 'labels', a.class -> 'labels'))
    from (
      select d.asked, muster_private.class_of(jsonb_build_object('requires', d.asked -> 0, 'labels', d.asked -> 1,
        'where', d.asked -> 2, 'prefer', d.asked -> 3, 'resources', d.asked -> 4)) as class
      from (
        select distinct jsonb_build_array(i -> 'requires', i -> 'labels', i -> 'where', i -> 'prefer', i -> 'resources') as asked
        from jsonb_array_elements(classes_of.items) i
      ) d
      offset 0
    ) a
  );
end
$$;
comment on function muster_private.classes_of(jsonb) is
  'What the jobs of a batch ask for, each wording once: {asked, class, digest, requires, labels}';

-- New classes and changed workers take turns, tenant by tenant: each must see what the other has done.
create function muster_private.lock_matching(tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('muster.matching:' || lock_matching.tenant_id, 0));
end
$$;
comment on function muster_private.lock_matching(uuid) is 'Serialises changes to who fits what within a tenant';

-- A capability is claimed by the worker, granted where its enrollment token names it, measured where an operator has
-- recorded it. The @ cannot stand in a name that a worker claims.
create function muster_private.effective_capabilities(worker muster.worker_devices) returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return worker.capabilities
    || array(select c || '@granted' from unnest(worker.capabilities) c where c = any (worker.allowed_capabilities))
    || array(select c || '@measured' from unnest(worker.capabilities) c where c = any (worker.measured_capabilities));
end
$$;
comment on function muster_private.effective_capabilities(muster.worker_devices) is
  'All that jobs may require of a worker: what it claims, and the same with @granted and @measured where that is so';

create function muster_private.placement_json(class_id bigint) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_class muster.job_classes;
begin
  select * into v_class from muster.job_classes c where c.id = placement_json.class_id;
  if not found then
    -- A batch is of no class.
    return '{"where": [], "prefer": [], "resources": {}}'::jsonb;
  end if;
  -- Most classes have none of it.
  if v_class.expressions = '[]' and v_class.preferences = '[]' and v_class.resources = '{}' and v_class.slots = 1 then
    return '{"where": [], "prefer": [], "resources": {"slots": 1}}'::jsonb;
  end if;
  return jsonb_build_object('where', muster_private.expressions_json(v_class.expressions),
    'prefer', muster_private.expressions_json(v_class.preferences),
    'resources', v_class.resources || jsonb_build_object('slots', v_class.slots));
end
$$;
comment on function muster_private.placement_json(bigint) is
  'What jobs of a class ask of their worker beyond capabilities and labels, as callers see it';

-- All reasons, in a fixed order, why workers cannot do jobs of a class. Whether they are there and free now is another
-- question: this is what makes a worker able to do a job at all. As in matching_workers(), an expression is asked once of
-- each value that workers have for its label.
create function muster_private.failed_predicates(workers muster.worker_devices[], class muster.job_classes)
returns table (worker_id uuid, failures jsonb)
language plpgsql stable rows 1000 set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return query
  with able as materialized (
    select w.id, w.status, w.capabilities, w.allowed_capabilities, w.measured_capabilities, w.labels, w.slots, w.resources
    from unnest(failed_predicates.workers) w
  ), wanted_capabilities as materialized (
    select r.wanted, split_part(r.wanted, '@', 1) as name, split_part(r.wanted, '@', 2) as grade, r.place
    from unnest(class.requires) with ordinality r (wanted, place)
  ), wanted_expressions as materialized (
    select e.expression, e.expression ->> 'label' as name, muster_private.expression_text(e.expression) as wanted, e.place
    from jsonb_array_elements(class.expressions) with ordinality e (expression, place)
  ), answers as materialized (
    select v.place, v.label_value, muster_private.expression_holds(e.expression, v.label_value) as holds
    from (
      select distinct w.place, a.labels ->> w.name as label_value from wanted_expressions w cross join able a
    ) v
    join wanted_expressions e on e.place = v.place
  ), wanted_resources as materialized (
    select w.key as name, w.value::numeric as wanted from jsonb_each_text(class.resources) w
  ), failed as (
    select a.id, 0 as kind, 0::bigint as place, '' as name,
      '{"predicate": "status", "name": "status", "wanted": "not revoked", "has": "revoked"}'::jsonb as failure
    from able a where a.status = 'revoked'
    union all
    select a.id, 1, c.place, c.name, jsonb_build_object('predicate', 'capability', 'name', c.name, 'wanted', c.wanted,
      'has', case when c.name <> all (a.capabilities) then null when c.name = any (a.measured_capabilities) then c.name || '@measured'
        when c.name = any (a.allowed_capabilities) then c.name || '@granted' else c.name || '@claimed' end)
    from able a cross join wanted_capabilities c
    where a.status <> 'revoked' and (c.name = any (a.capabilities) and case c.grade
      when 'granted' then c.name = any (a.allowed_capabilities) when 'measured' then c.name = any (a.measured_capabilities)
      else true end) is not true
    union all
    select a.id, 2, 0, l.key, jsonb_build_object('predicate', 'label', 'name', l.key, 'wanted', l.value, 'has', a.labels -> l.key)
    from able a cross join jsonb_each_text(class.labels) l
    where a.status <> 'revoked' and a.labels ->> l.key is distinct from l.value
    union all
    select a.id, 3, e.place, e.name, jsonb_build_object(
      'predicate', 'expression', 'name', e.name, 'wanted', e.wanted, 'has', a.labels -> e.name)
    from able a cross join wanted_expressions e
    join answers n on n.place = e.place and coalesce(n.label_value, '') = coalesce(a.labels ->> e.name, '')
      and (n.label_value is null) = (a.labels ->> e.name is null)
    where a.status <> 'revoked' and not n.holds
    union all
    select a.id, 4, 0, 'slots', jsonb_build_object('predicate', 'resource', 'name', 'slots', 'wanted', class.slots, 'has', a.slots)
    from able a where a.status <> 'revoked' and a.slots < class.slots
    union all
    select a.id, 4, 0, r.name, jsonb_build_object(
      'predicate', 'resource', 'name', r.name, 'wanted', r.wanted, 'has', (a.resources ->> r.name)::numeric)
    from able a cross join wanted_resources r
    where a.status <> 'revoked' and coalesce((a.resources ->> r.name)::numeric, 0) < r.wanted
  )
  select f.id, jsonb_agg(f.failure order by f.kind, f.place, f.name) from failed f group by f.id;
end
$$;
comment on function muster_private.failed_predicates(muster.worker_devices[], muster.job_classes) is
  'Of workers that cannot do jobs of a class all reasons, each {predicate, name, wanted, has}';

create function muster_private.failed_predicate(worker muster.worker_devices, class muster.job_classes) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (select f.failures -> 0 from muster_private.failed_predicates(array[worker], class) f);
end
$$;
comment on function muster_private.failed_predicate(muster.worker_devices, muster.job_classes) is
  'The first reason why a worker cannot do jobs of a class, {predicate, name, wanted, has}; null when it can';

create function muster_private.fits(worker muster.worker_devices, class muster.job_classes) returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return muster_private.failed_predicate(worker, class) is null;
end
$$;
comment on function muster_private.fits(muster.worker_devices, muster.job_classes) is 'Whether a worker can do jobs of a class';

-- Each expression is asked once of each value that workers have for its label: they are many, their values few.
create function muster_private.matching_workers(class muster.job_classes) returns table (worker_id uuid, preference real)
language plpgsql stable set search_path = ''
as $$
declare
  -- By grade of trust, so that each is compared with a column as it stands.
  v_claimed constant text[] := array(select distinct split_part(r, '@', 1) from unnest(class.requires) r);
  v_granted constant text[] := array(select split_part(r, '@', 1) from unnest(class.requires) r where r like '%@granted');
  v_measured constant text[] := array(select split_part(r, '@', 1) from unnest(class.requires) r where r like '%@measured');
begin
  return query
  with able as materialized (
    select w.id, w.labels from muster.worker_devices w
    where w.tenant_id = class.tenant_id and w.status <> 'revoked'
      and v_claimed <@ w.capabilities
      and v_granted <@ coalesce(w.allowed_capabilities, '{}') and v_measured <@ w.measured_capabilities
      and class.labels <@ w.labels and class.slots <= w.slots
      and (class.resources = '{}' or muster_private.are_within(class.resources, w.resources))
  ), asked as materialized (
    select e.expression, e.expression ->> 'label' as label, (e.expression ->> 'weight')::real as weight
    from jsonb_array_elements(class.expressions || class.preferences) e (expression)
  ), answers as materialized (
    select v.expression, v.label_value, muster_private.expression_holds(v.expression, v.label_value #>> '{}') as holds
    from (
      select distinct a.expression, coalesce(b.labels -> a.label, 'null') as label_value from asked a cross join able b
    ) v
  )
  select b.id, coalesce(sum(a.weight) filter (where n.holds) / sum(a.weight), 0)::real
  from able b
  cross join asked a
  join answers n on n.expression = a.expression and n.label_value = coalesce(b.labels -> a.label, 'null')
  group by b.id
  having bool_and(n.holds or a.weight is not null)
  union all
  select b.id, 0 from able b where class.expressions = '[]' and class.preferences = '[]';
end
$$;
comment on function muster_private.matching_workers(muster.job_classes) is
  'The workers that can do jobs of a class, with how much of the weight of its preferences each meets, 0 to 1';

-- Each expression is asked once, however many classes have it.
create function muster_private.matching_classes(worker muster.worker_devices) returns table (class_id bigint, preference real)
language plpgsql stable set search_path = ''
as $$
declare
  v_capabilities constant text[] := muster_private.effective_capabilities(worker);
begin
  return query
  with able as materialized (
    select c.id, c.expressions || c.preferences as expressions from muster.job_classes c
    where c.tenant_id = worker.tenant_id and worker.status <> 'revoked'
      and c.requires <@ v_capabilities and c.labels <@ worker.labels and c.slots <= worker.slots
      and (c.resources = '{}' or muster_private.are_within(c.resources, worker.resources))
  ), asked as materialized (
    select b.id, e.expression, (e.expression ->> 'weight')::real as weight
    from able b cross join lateral jsonb_array_elements(b.expressions) e (expression)
    where b.expressions <> '[]'
  ), answers as materialized (
    select v.expression, muster_private.expression_holds(v.expression, worker.labels ->> (v.expression ->> 'label')) as holds
    from (select distinct a.expression from asked a) v
  )
  select a.id, coalesce(sum(a.weight) filter (where n.holds) / sum(a.weight), 0)::real
  from asked a join answers n on n.expression = a.expression
  group by a.id
  having bool_and(n.holds or a.weight is not null)
  union all
  select b.id, 0 from able b where b.expressions = '[]';
end
$$;
comment on function muster_private.matching_classes(muster.worker_devices) is
  'The classes whose jobs a worker can do, with how much of the weight of their preferences it meets, 0 to 1';

-- A worker that changes is matched with all classes, and each pattern is read anew for that: these may be few.
create function muster_private.check_pattern_quota(tenant_id uuid, class jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
  v_pattern constant jsonb := '[{"operator": "matches"}]'::jsonb;
begin
  if (check_pattern_quota.class -> 'expressions' @> v_pattern or check_pattern_quota.class -> 'preferences' @> v_pattern)
    and (
      select count(*) from muster.job_classes c
      where c.tenant_id = check_pattern_quota.tenant_id and (c.expressions @> v_pattern or c.preferences @> v_pattern)) >= 100 then
    perform muster_private.refuse('MU019', 'Cannot ask for another set of capabilities and labels with a pattern: the tenant has used 100',
      'Let workers have labels that can be compared by = and in', 3600);
  end if;
end
$$;
comment on function muster_private.check_pattern_quota(uuid, jsonb) is
  'Refuses one more class with patterns than a tenant may have';

create function muster_private.intern_class(tenant_id uuid, digest text, class jsonb) returns bigint
language plpgsql set search_path = ''
as $$
declare
  v_class muster.job_classes;
begin
  select * into v_class from muster.job_classes c
  where c.tenant_id = intern_class.tenant_id and c.digest = intern_class.digest;
  if found then
    return v_class.id;
  end if;
  perform muster_private.lock_matching(intern_class.tenant_id);
  perform muster_private.check_class_quota(intern_class.tenant_id);
  perform muster_private.check_pattern_quota(intern_class.tenant_id, intern_class.class);
  insert into muster.job_classes (tenant_id, digest, requires, labels, expressions, preferences, resources, slots)
  select intern_class.tenant_id, intern_class.digest, array(select jsonb_array_elements_text(intern_class.class -> 'requires')),
    r.labels, r.expressions, r.preferences, r.resources, r.slots
  from jsonb_populate_record(null::muster.job_classes, intern_class.class - 'requires') r
  on conflict do nothing
  returning * into v_class;
  if not found then
    select * into strict v_class from muster.job_classes c
    where c.tenant_id = intern_class.tenant_id and c.digest = intern_class.digest;
    return v_class.id;
  end if;
  insert into muster.worker_classes (worker_id, class_id, tenant_id, preference)
  select m.worker_id, v_class.id, v_class.tenant_id, m.preference from muster_private.matching_workers(v_class) m;
  return v_class.id;
end
$$;
comment on function muster_private.intern_class(uuid, text, jsonb) is
  'The class of the requirements that class_of() answers, made and matched with the workers when it is new';

-- In the order of their digests: two batches that bring the same wait for each other in one direction only.
create function muster_private.intern_classes(tenant_id uuid, classes jsonb) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  v_class record;
  v_ids jsonb := '{}'::jsonb;
begin
  for v_class in
    select distinct on (c ->> 'digest') c ->> 'digest' as digest, c -> 'class' as class
    from jsonb_array_elements(intern_classes.classes) c order by c ->> 'digest'
  loop
    v_ids := v_ids || jsonb_build_object(v_class.digest,
      muster_private.intern_class(intern_classes.tenant_id, v_class.digest, v_class.class));
  end loop;
  return v_ids;
end
$$;
comment on function muster_private.intern_classes(uuid, jsonb) is 'The ids of what classes_of() answers, by digest';

create function muster_private.match_worker(worker_id uuid) returns void
language plpgsql set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
begin
  select * into strict v_worker from muster.worker_devices w where w.id = match_worker.worker_id;
  perform muster_private.lock_matching(v_worker.tenant_id);
  with matching as materialized (
    select m.class_id, m.preference from muster_private.matching_classes(v_worker) m
  ), gone as (
    delete from muster.worker_classes wc
    where wc.worker_id = v_worker.id and not exists (select from matching m where m.class_id = wc.class_id)
  )
  insert into muster.worker_classes as wc (worker_id, class_id, tenant_id, preference)
  select v_worker.id, m.class_id, v_worker.tenant_id, m.preference from matching m
  on conflict on constraint worker_classes_pkey do update set preference = excluded.preference
  where wc.preference <> excluded.preference;
end
$$;
comment on function muster_private.match_worker(uuid) is
  'Recomputes which classes a worker serves, after what it can do or has was changed';

revoke execute on all functions in schema muster_private from public;
