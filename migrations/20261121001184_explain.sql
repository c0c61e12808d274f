-- Why a job is not running: its gates, the workers, its place in the queue, and when it may start. What is stored and what
-- is about to be submitted are explained alike. Nothing is written and no row is locked.

-- How long such jobs took of late: those of the same type and requirements among the last 2,000 that were submitted before
-- the head of the queue, as what stands in the queue has not run. Where there are none, those of the same type.
create function muster_private.recent_durations(job muster.jobs, before timestamptz) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_most constant integer := 2000;
  v_samples constant integer := 100;
begin
  return (
    with recent as materialized (
      select j.created_at, j.class_id, j.type, j.started_at, j.finished_at, j.status from muster.jobs j
      where j.tenant_id = (recent_durations.job).tenant_id and j.created_at <= recent_durations.before
      order by j.created_at desc, j.id desc limit v_most
    ), alike as (
      select r.created_at, extract(epoch from r.finished_at - r.started_at) as seconds, r.class_id = (recent_durations.job).class_id as is_of_class
      from recent r
      where r.type = (recent_durations.job).type and r.status = 'succeeded' and r.started_at is not null
    ), chosen as (
      select a.seconds, a.is_of_class from alike a
      where a.is_of_class or not exists (select from alike o where o.is_of_class)
      order by a.created_at desc limit v_samples
    )
    select jsonb_build_object('samples', count(*), 'same_requirements', coalesce(bool_and(c.is_of_class), false),
      'mean_seconds', round(avg(c.seconds)::numeric, 3),
      'fast_seconds', round((percentile_cont(0.1) within group (order by c.seconds))::numeric, 3))
    from chosen c);
end
$$;
comment on function muster_private.recent_durations(muster.jobs, timestamptz) is 'How long jobs like this one took of late: the mean and the tenth part';

-- A job of the queue goes after those of its requirements with a higher priority or a lower rank; of more than 1,000 the
-- rest is not counted. A job that has not come to it would go to the place where it would be put now.
create function muster_private.explain_queue(job muster.jobs, placement muster_private.placement, at timestamptz) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_ready muster_private.ready_jobs;
  v_flow text;
  v_ahead integer;
  v_head_at timestamptz;
begin
  select * into v_ready from muster_private.ready_jobs r where r.job_id = (explain_queue.job).id;
  if not found then
    v_ready.priority := (explain_queue.job).priority;
    v_ready.position := (explain_queue.job).position;
    v_ready.worker_id := (explain_queue.placement).worker_id;
    v_ready.flow := muster_private.flow_of(explain_queue.job);
    v_ready.rank := case when (explain_queue.job).class_id is null then (explain_queue.job).rank else
      (muster_private.next_ranks((explain_queue.job).tenant_id, array[(explain_queue.job).class_id], array[v_ready.priority],
        array[v_ready.flow], array[(explain_queue.job).fairness_weight], array[(explain_queue.job).position]))[1] end;
  end if;
  v_flow := coalesce((explain_queue.job).fairness_key, (explain_queue.job).executor_id::text, '');
  if v_ready.worker_id is null then
    select count(*), min(h.queued_at) into v_ahead, v_head_at from (
      select r.priority, r.rank, r.position, r.queued_at from muster_private.ready_jobs r
      where r.tenant_id = (explain_queue.job).tenant_id and r.class_id = (explain_queue.job).class_id and r.worker_id is null
      order by r.priority desc, r.rank, r.position limit v_most
    ) h
    where (-h.priority, h.rank, h.position) < (-v_ready.priority, v_ready.rank, v_ready.position);
  else
    select count(*), min(h.queued_at) into v_ahead, v_head_at from (
      select r.priority, r.rank, r.position, r.queued_at from muster_private.ready_jobs r
      where r.tenant_id = (explain_queue.job).tenant_id and r.worker_id = v_ready.worker_id
      order by r.priority desc, r.rank, r.position limit v_most
    ) h
    where (-h.priority, h.rank, h.position) < (-v_ready.priority, v_ready.rank, v_ready.position);
  end if;
  return jsonb_build_object('ahead', v_ahead, 'priority', (explain_queue.job).priority, 'effective_priority', v_ready.priority,
    'flow', v_flow, 'weight', (explain_queue.job).fairness_weight,
    'queued_at', muster_private.iso(v_ready.queued_at), 'head_queued_at', muster_private.iso(coalesce(v_head_at, v_ready.queued_at, explain_queue.at)));
end
$$;
comment on function muster_private.explain_queue(muster.jobs, muster_private.placement, timestamptz) is
  'How many jobs with the same requirements go before a job, and with whom it takes turns';

-- The mean of recent durations, as often as all slots that serve such jobs have to be emptied before it is its turn. It
-- knows nothing of jobs with other requirements on the same workers, nor of those to come, and says null with a reason
-- where nothing can be said.
create function muster_private.estimate_start(
  job muster.jobs, gates jsonb, queue jsonb, workers muster_private.judged_worker[], at timestamptz
) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_stopped constant jsonb := jsonb_path_query_first(estimate_start.gates, '$[*] ? (@.state == "waits")');
  v_ahead constant integer := (estimate_start.queue ->> 'ahead')::integer;
  v_recent constant jsonb := muster_private.recent_durations(estimate_start.job, (estimate_start.queue ->> 'head_queued_at')::timestamptz);
  v_mean constant double precision := (v_recent ->> 'mean_seconds')::double precision;
  v_fast constant double precision := (v_recent ->> 'fast_seconds')::double precision;
  v_from timestamptz := estimate_start.at;
  v_turns double precision := 0;
  v_free bigint;
  v_slots bigint;
  v_is_pushed boolean;
  v_reason text;
begin
  select coalesce(sum(w.room), 0), coalesce(sum(w.capacity), 0), coalesce(bool_or(w.room > 0 and w.is_pushed), false)
  into v_free, v_slots, v_is_pushed from unnest(estimate_start.workers) w;
  if v_stopped ->> 'until' is not null and v_stopped ->> 'gate' in ('time', 'rate') then
    v_from := greatest(v_from, (v_stopped ->> 'until')::timestamptz);
  end if;
  v_reason := case
    when v_stopped ->> 'gate' in ('dependencies', 'children', 'affinity') then v_stopped ->> 'gate'
    when v_stopped ->> 'gate' = 'concurrency' and (v_stopped ->> 'paused')::boolean then 'paused'
    when v_slots = 0 then 'no_worker' end;
  if v_reason is null then
    if v_stopped ->> 'gate' = 'concurrency' then
      v_turns := ((v_stopped ->> 'ahead')::double precision + 1) / (v_stopped ->> 'limit')::double precision;
    end if;
    if v_ahead >= v_free then
      v_turns := v_turns + (v_ahead - v_free + 1)::double precision / v_slots;
    end if;
    if v_turns > 0 and v_mean is null then
      v_reason := 'no_samples';
    end if;
  end if;
  return jsonb_build_object(
      'earliest_at', case when v_reason is null then muster_private.iso(v_from + make_interval(secs => v_turns * coalesce(v_fast, 0))) end,
      'expected_at', case when v_reason is null then muster_private.iso(v_from + make_interval(secs => v_turns * coalesce(v_mean, 0))
        + case when v_is_pushed then interval '0' else muster_private.timing('poll') end) end,
      'reason', v_reason,
      'basis', v_recent || jsonb_build_object('ahead', v_ahead, 'slots', v_slots, 'free', v_free, 'turns', round(v_turns::numeric, 3)));
end
$$;
comment on function muster_private.estimate_start(muster.jobs, jsonb, jsonb, muster_private.judged_worker[], timestamptz) is
  'When a job may start: the earliest and what is to be expected, with what that rests on; or why nobody can say';

create function muster_private.explain_gates_of(
  explained muster_private.explained_job, placement muster_private.placement, at timestamptz
) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_order constant text[] := array['time', 'dependencies', 'children', 'concurrency', 'rate', 'affinity'];
  v_job constant muster.jobs := (explained).job;
  v_all jsonb;
  v_at integer;
begin
  v_all := jsonb_path_query_array(jsonb_build_array(
    muster_private.explain_time(explained, explain_gates_of.at),
    muster_private.explain_dependencies(explained),
    case when v_job.type = 'muster.batch' then
      jsonb_build_object('gate', 'children', 'waits', true, 'batch', muster_private.batch_counts(v_job)) end,
    muster_private.explain_concurrency(explained),
    muster_private.explain_rate(explained, explain_gates_of.at),
    muster_private.explain_affinity(v_job, explain_gates_of.placement)), '$[*] ? (@ != null)');
  if v_job.id is null then
    select min(array_position(v_order, g ->> 'gate')) into v_at from jsonb_array_elements(v_all) g where (g ->> 'waits')::boolean;
  else
    v_at := array_position(v_order, case v_job.status when 'scheduled' then 'time' when 'blocked' then v_job.waiting_for end);
  end if;
  return (
    select coalesce(jsonb_agg(g.gate - 'waits' || case
        when g.place < v_at then '{"state": "passed"}' when g.place = v_at then '{"state": "waits"}'
        when g.place > v_at then jsonb_build_object('state', 'ahead', 'would_wait', g.gate -> 'waits')
        else '{"state": "passed"}' end order by g.place), '[]')
    from (select e as gate, array_position(v_order, e ->> 'gate') as place from jsonb_array_elements(v_all) e) g);
end
$$;
comment on function muster_private.explain_gates_of(muster_private.explained_job, muster_private.placement, timestamptz) is
  'What a job has to pass before the queue, in order: passed, where it waits, and what is still ahead';

create function muster_private.count_of(number bigint, thing text) returns text
language sql immutable set search_path = ''
as $$
  select count_of.number || ' ' || count_of.thing || case when count_of.number = 1 then '' else 's' end
$$;
comment on function muster_private.count_of(bigint, text) is 'A number of things, in words';

create function muster_private.predicate_text(failed jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_has constant text := coalesce(predicate_text.failed ->> 'has', 'none');
begin
  return case predicate_text.failed ->> 'predicate'
    when 'status' then format('is %s', v_has)
    when 'cordon' then 'is cordoned'
    when 'capability' then format('lacks capability %s', predicate_text.failed ->> 'wanted')
    when 'label' then format('has label %s = %s, not %s', predicate_text.failed ->> 'name', v_has, predicate_text.failed ->> 'wanted')
    when 'expression' then format('has label %s = %s, not %s', predicate_text.failed ->> 'name', v_has, predicate_text.failed ->> 'wanted')
    when 'resource' then format('has %s %s, not %s', v_has, predicate_text.failed ->> 'name', predicate_text.failed ->> 'wanted')
    when 'affinity' then 'is not the one that the job is for'
    else format('has %s of %s free, not %s', v_has, predicate_text.failed ->> 'name', predicate_text.failed ->> 'wanted') end;
end
$$;
comment on function muster_private.predicate_text(jsonb) is 'What a worker lacks, in words';

create function muster_private.explain_summary(
  job muster.jobs, gates jsonb, queue jsonb, workers jsonb, counts jsonb
) returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_gate constant jsonb := jsonb_path_query_first(explain_summary.gates, '$[*] ? (@.state == "waits")');
  v_first constant jsonb := coalesce(
    jsonb_path_query_first(explain_summary.workers, '$[*] ? (@.verdict == "free" && @.pushed == true)'),
    jsonb_path_query_first(explain_summary.workers, '$[*] ? (@.verdict == "free")'));
  v_ahead constant bigint := (explain_summary.queue ->> 'ahead')::bigint;
  v_total constant bigint := (explain_summary.counts ->> 'total')::bigint;
  v_most record;
begin
  if (explain_summary.job).finished_at is not null then
    return format('The job %s %s', case (explain_summary.job).status when 'cancelled' then 'was' else 'has' end, (explain_summary.job).status);
  end if;
  if (explain_summary.job).status in ('assigned', 'running') then
    return format('The job %s worker %s since %s',
      case (explain_summary.job).status when 'assigned' then 'is handed to' else 'runs on' end,
      (select w.name from muster.worker_devices w where w.id = (explain_summary.job).worker_id),
      muster_private.iso(coalesce((explain_summary.job).started_at, (explain_summary.job).assigned_at)));
  end if;
  case v_gate ->> 'gate'
    when 'time' then
      return format('The job waits until %s%s', v_gate ->> 'until',
        case v_gate ->> 'reason' when 'retry' then ', to be tried again' else ', as it was submitted' end);
    when 'dependencies' then
      return case when (v_gate ->> 'will_fail')::boolean then 'The job fails, because one of the jobs that it comes after did not succeed'
        else format('The job waits for %s to end', muster_private.count_of((v_gate ->> 'count')::bigint, 'other job')) end;
    when 'children' then
      return 'The batch waits for its jobs to end, or to be closed';
    when 'concurrency' then
      return case when (v_gate ->> 'paused')::boolean then format('The job waits: its concurrency key %s is paused', v_gate ->> 'key')
        else format('The job waits for concurrency key %s: its limit of %s is taken%s; %s before it', v_gate ->> 'key', v_gate ->> 'limit',
          coalesce(' by job ' || (v_gate -> 'held_by' -> 0 ->> 'job_id') || coalesce(' on worker ' || (v_gate -> 'held_by' -> 0 ->> 'worker_name'), ''), ''),
          muster_private.count_of((v_gate ->> 'ahead')::bigint, 'job')) end;
    when 'rate' then
      return format('The job waits for rate limit %s until %s; %s before it', v_gate ->> 'key', v_gate ->> 'until',
        muster_private.count_of((v_gate ->> 'ahead')::bigint, 'job'));
    when 'affinity' then
      return format('The job waits for a worker %s %s that can take it',
        case v_gate ->> 'by' when 'resource' then 'that holds' else 'for its key' end, v_gate ->> 'name');
    else null;
  end case;
  if v_total = 0 then
    return 'The job waits for a worker: none is enrolled';
  end if;
  if (explain_summary.counts ->> 'free')::bigint > v_ahead then
    return format('Worker %s is free and fits: %s', v_first ->> 'name', case when (explain_summary.counts ->> 'free_pushed')::bigint > 0
      then 'the job is handed to it at once' else 'it gets the job when it next asks' end);
  end if;
  if (explain_summary.counts ->> 'free')::bigint + (explain_summary.counts ->> 'busy')::bigint > 0 then
    return format('The job waits for its turn: %s for it and %s, with %s before it',
      muster_private.count_of((explain_summary.counts ->> 'free')::bigint, 'worker') || ' free',
      (explain_summary.counts ->> 'busy') || ' busy', muster_private.count_of(v_ahead, 'job'));
  end if;
  select muster_private.predicate_text(f.example) as text, f.workers into v_most
  from (
    select (array_agg(w -> 'failed'))[1] as example, count(*) as workers
    from jsonb_array_elements(explain_summary.workers) w
    where w -> 'failed' <> 'null' and ((w ->> 'fits')::boolean or (explain_summary.counts ->> 'fitting')::bigint = 0)
    group by (w -> 'failed') - 'has' order by count(*) desc, (w -> 'failed') - 'has' limit 1
  ) f;
  return format('The job waits for a worker: none of %s can take it now%s', v_total,
    coalesce(format('; %s%s', case when (explain_summary.counts ->> 'fitting')::bigint > 0 then 'of those that fit, ' else '' end,
      v_most.workers || ' ' || v_most.text), ''));
end
$$;
comment on function muster_private.explain_summary(muster.jobs, jsonb, jsonb, jsonb, jsonb) is 'All of it in a sentence';

create function muster_private.explain(explained muster_private.explained_job, class muster.job_classes, at timestamptz) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_most constant integer := 1000;
  v_job constant muster.jobs := (explained).job;
  v_is_open constant boolean := v_job.finished_at is null and v_job.status not in ('assigned', 'running');
  v_workers muster_private.judged_worker[] := array[]::muster_private.judged_worker[];
  v_placement muster_private.placement;
  v_wanted jsonb;
  v_gates jsonb := jsonb_build_array();
  v_queue jsonb;
  v_shown jsonb := jsonb_build_array();
  v_counts jsonb;
  v_answer jsonb;
begin
  if v_is_open then
    if v_job.type <> 'muster.batch' then
      v_workers := array(select j from muster_private.judge_workers(class, v_most) j);
    end if;
    if v_job.status = 'queued' and v_job.id is not null then
      select r.job_id, r.worker_id, r.worker_until, null::text into v_placement
      from muster_private.ready_jobs r where r.job_id = v_job.id;
    elsif v_job.status = 'blocked' and v_job.waiting_for = 'affinity' then
      v_placement.waits_for := (select b.key from muster_private.blocked_jobs b where b.job_id = v_job.id);
    else
      v_placement := muster_private.foresee_worker(v_job.tenant_id, v_job.policy, v_workers, explain.at);
    end if;
    v_gates := muster_private.explain_gates_of(explained, v_placement, explain.at);
    if num_nonnulls(v_placement.worker_id, v_placement.waits_for) > 0 then
      v_wanted := jsonb_path_query_first(v_gates, '$[*] ? (@.gate == "affinity")');
      v_workers := muster_private.judge_target(v_workers, v_placement, jsonb_build_object('predicate', 'affinity',
        'name', v_wanted -> 'by', 'wanted', coalesce(v_wanted -> 'worker_name', v_wanted -> 'name'), 'has', null));
    end if;
    v_shown := muster_private.workers_json(v_workers);
    v_queue := muster_private.explain_queue(v_job, v_placement, explain.at);
  end if;
  select jsonb_build_object(
    'total', (select count(*) from muster.worker_devices w where w.tenant_id = v_job.tenant_id and w.forgotten_at is null),
    'examined', count(*), 'fitting', count(*) filter (where w.fits),
    'free', count(*) filter (where w.verdict = 'free'), 'busy', count(*) filter (where w.verdict = 'busy'),
    'free_pushed', count(*) filter (where w.verdict = 'free' and w.is_pushed))
  into v_counts
  from (
    select u.fits, u.is_pushed, case when u.failures = '[]' then 'free'
        when u.failures -> 0 ->> 'predicate' in ('free_slots', 'free_resource') then 'busy' else 'unfit' end as verdict
    from unnest(v_workers) u
  ) w;
  v_answer := jsonb_build_object('job_id', v_job.id, 'type', v_job.type,
    'status', case when v_job.id is not null then v_job.status::text
      when v_gates @> '[{"gate": "time", "state": "waits"}]' then 'scheduled'
      when v_gates @> '[{"state": "waits"}]' then 'blocked' else 'queued' end,
    'explained_at', muster_private.iso(explain.at),
    'attempts', v_job.attempts, 'max_attempts', v_job.max_attempts,
    'start_by', muster_private.iso(v_job.start_by), 'expires_at', muster_private.iso(v_job.expires_at),
    'gates', v_gates, 'queue', v_queue - 'head_queued_at', 'workers', v_shown, 'counts', v_counts,
    'relaxations', muster_private.relaxations_of(v_workers),
    'estimate', case when v_is_open then muster_private.estimate_start(v_job, v_gates, v_queue, v_workers, explain.at) end);
  return v_answer || jsonb_build_object('summary',
    muster_private.explain_summary(v_job, v_gates, v_queue, v_shown, v_counts));
end
$$;
comment on function muster_private.explain(muster_private.explained_job, muster.job_classes, timestamptz) is
  'Why a job is not running, or would not be';

create function muster.explain_job(caller jsonb, job_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(explain_job.caller, 'read');
  v_job constant muster.jobs := muster_private.job_of_tenant(explain_job.job_id, v_caller.tenant_id);
begin
  return muster_private.explain(row (v_job, null)::muster_private.explained_job,
    (select c from muster.job_classes c where c.id = v_job.class_id), muster_private.now());
end
$$;
comment on function muster.explain_job(jsonb, uuid) is 'Why a job is not running: what it waits for, what keeps each worker from it, and when it may start';

-- What a submission would refuse is refused here as well, and in the same words. A known idempotency key is explained by the
-- job it has.
create function muster.explain_submission(caller jsonb, job jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(explain_submission.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_items constant jsonb := jsonb_build_array(explain_submission.job || '{"index": 1}');
  v_asked jsonb;
  v_digest text;
  v_class muster.job_classes;
  v_job muster.jobs;
  v_after uuid[];
  v_missing uuid;
  v_gates jsonb;
  v_before integer;
begin
  if jsonb_typeof(explain_submission.job) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot explain a job: it must be an object');
  end if;
  perform muster_private.check_patterns(v_items);
  perform muster_private.check_job(explain_submission.job, 0, v_now);
  select * into v_job from muster.jobs j
  where j.tenant_id = v_caller.tenant_id and j.idempotency_key = explain_submission.job ->> 'idempotency_key';
  if found then
    return muster_private.explain(row (v_job, null)::muster_private.explained_job,
      (select c from muster.job_classes c where c.id = v_job.class_id), v_now);
  end if;
  perform muster_private.check_job_quota(v_caller.tenant_id, v_items, false);
  perform muster_private.check_start_by(v_caller.tenant_id, v_items, v_now);
  perform muster_private.check_inputs(v_caller.tenant_id, v_items);
  perform muster_private.check_job_secrets(v_caller.tenant_id, v_items);
  if explain_submission.job ->> 'parent_id' is not null then
    perform muster_private.job_of_tenant((explain_submission.job ->> 'parent_id')::uuid, v_caller.tenant_id);
  end if;

  v_asked := muster_private.class_of(explain_submission.job);
  v_digest := muster_private.class_digest(v_asked);
  select * into v_class from muster.job_classes c where c.tenant_id = v_caller.tenant_id and c.digest = v_digest;
  if not found then
    perform muster_private.check_class_quota(v_caller.tenant_id);
    perform muster_private.check_pattern_quota(v_caller.tenant_id, v_asked);
    v_class := jsonb_populate_record(null::muster.job_classes, v_asked - 'requires');
    v_class.tenant_id := v_caller.tenant_id;
    v_class.requires := array(select jsonb_array_elements_text(v_asked -> 'requires'));
  end if;

  v_after := array(
    select a::uuid from jsonb_array_elements_text(coalesce(nullif(explain_submission.job -> 'after', 'null'), '[]')) a);
  select a into v_missing from unnest(v_after) a
  where not exists (select from muster.jobs j where j.id = a and j.tenant_id = v_caller.tenant_id) limit 1;
  if found then
    perform muster_private.fail('MU003', format('Cannot submit a job after job %s: there is no such job', v_missing));
  end if;

  v_job.tenant_id := v_caller.tenant_id;
  v_job.status := 'queued';
  v_job.executor_id := v_caller.executor_id;
  v_job.type := explain_submission.job ->> 'type';
  v_job.class_id := v_class.id;
  v_job.attempts := 0;
  v_job.max_attempts := coalesce((explain_submission.job ->> 'max_attempts')::integer, 3);
  v_job.priority := coalesce((explain_submission.job ->> 'priority')::smallint, 0);
  v_job.fairness_key := explain_submission.job ->> 'fairness_key';
  v_job.fairness_weight := coalesce((explain_submission.job ->> 'fairness_weight')::smallint, 1);
  v_job.concurrency_key := explain_submission.job ->> 'concurrency_key';
  v_job.policy := muster_private.policy_of(explain_submission.job);
  v_job.run_at := greatest(coalesce((explain_submission.job ->> 'run_at')::timestamptz, v_now), v_now);
  v_job.start_by := (explain_submission.job ->> 'start_by')::timestamptz;
  v_job.expires_at := v_now + make_interval(secs => (explain_submission.job ->> 'timeout_seconds')::double precision);
  v_job.created_at := v_now;
  v_job.queued_at := v_now;
  select s.last_value + 1 into v_job.position from muster.job_positions s;
  v_job.rank := v_job.position * 1000000;
  if v_job.policy ->> 'concurrency_policy' = 'reject' then
    v_gates := muster_private.explain_concurrency(row (v_job, v_after)::muster_private.explained_job);
    select (v_gates ->> 'admitted')::integer + count(*) into v_before from muster_private.blocked_jobs b
    where b.tenant_id = v_job.tenant_id and b.waiting_for = 'concurrency' and b.key = v_job.concurrency_key;
    if v_before + 1 > (v_gates ->> 'limit')::integer then
      perform muster_private.fail('MU030', format('Cannot submit a job of concurrency key %s: its limit is %s, and it has %s',
        v_job.concurrency_key, v_gates ->> 'limit', (
          select string_agg(h ->> 'job_id', ', ') from jsonb_array_elements(v_gates -> 'held_by') h)),
        'Submit the job again once one of these has ended, or with another concurrency policy');
    end if;
  end if;
  return muster_private.explain(row (v_job, v_after)::muster_private.explained_job, v_class, v_now);
end
$$;
comment on function muster.explain_submission(jsonb, jsonb) is 'What would become of a job if it were submitted now; nothing is stored';

do $$
declare
  v_function text;
begin
  foreach v_function in array array['explain_job(jsonb, uuid)', 'explain_submission(jsonb, jsonb)'] loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
