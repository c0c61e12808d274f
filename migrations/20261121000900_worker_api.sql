-- What a worker calls with its own token. All of it is safe to repeat: a lost answer costs nothing.

create function muster.hello(worker jsonb, running jsonb default '[]') returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_capabilities text[];
  v_labels jsonb;
  v_slots integer;
  v_resources jsonb;
  v_is_other boolean;
  v_listening boolean;
  v_forgotten muster_private.attempt_ending[];
  v_nonce text;
begin
  if jsonb_typeof(hello.worker) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot greet the worker: it must be an object');
  end if;
  perform muster_private.check_size(hello.worker, 'the worker', 131072);
  perform muster_private.check_attempts(hello.running, 'running');
  perform muster_private.check_number(hello.worker, 'slots', 1, 256);
  perform muster_private.check_capabilities(hello.worker -> 'capabilities', 100);
  perform muster_private.check_labels(hello.worker -> 'labels');
  perform muster_private.check_worker_resources(hello.worker -> 'resources');
  v_slots := coalesce((hello.worker ->> 'slots')::integer, v_worker.slots);
  v_worker := muster_private.lock_worker(v_worker.id);
  v_capabilities := muster_private.cut_capabilities(
    case when jsonb_typeof(hello.worker -> 'capabilities') = 'array'
      then array(select jsonb_array_elements_text(hello.worker -> 'capabilities')) else v_worker.capabilities end,
    v_worker.allowed_capabilities);
  v_labels := case when jsonb_typeof(hello.worker -> 'labels') = 'object' then hello.worker -> 'labels' else v_worker.labels end
    || v_worker.granted_labels;
  v_resources := case when jsonb_typeof(hello.worker -> 'resources') = 'object'
    then muster_private.plain_numbers(hello.worker -> 'resources') else v_worker.resources end;
  v_is_other := (v_capabilities, v_labels, v_slots, v_resources)
    is distinct from (v_worker.capabilities, v_worker.labels, v_worker.slots, v_worker.resources);
  v_listening := coalesce((hello.worker ->> 'listening')::boolean, false) and hello.worker ->> 'mode' is distinct from 'claim';
  if v_is_other then
    perform muster_private.lock_matching(v_worker.tenant_id);
  end if;

  -- What this worker held and no longer runs was lost with its last process.
  select array_agg(row (l.job_id, 'lost', null,
    jsonb_build_object('code', 'worker_restarted', 'message', format('Worker %s came back without the job', v_worker.name)),
    false)::muster_private.attempt_ending) into v_forgotten
  from (
    select h.job_id from muster_private.held_jobs h
    where h.worker_id = v_worker.id and h.job_id = any (muster_private.unnamed_jobs(v_worker.id, hello.running))
    order by uuid_send(h.job_id) for update
  ) l;
  if v_forgotten is not null then
    perform muster_private.end_attempts(v_forgotten, true, v_now);
  end if;
  v_worker := muster_private.lock_worker(v_worker.id);
  if v_slots < v_worker.held_count then
    perform muster_private.fail('MU007', format('Cannot lower the slots of worker %s to %s: it holds %s jobs',
      v_worker.name, v_slots, v_worker.held_count), 'Let it finish some of them first');
  end if;
  if not muster_private.are_within(v_worker.held_resources, v_resources) then
    perform muster_private.fail('MU007', format('Cannot lower the resources of worker %s to %s: its jobs hold %s',
      v_worker.name, v_resources, v_worker.held_resources), 'Let it finish some of them first');
  end if;

  update muster.worker_devices w
  set capabilities = v_capabilities, labels = v_labels, slots = v_slots, resources = v_resources,
    version = coalesce(left(hello.worker ->> 'version', 100), w.version),
    session_id = muster_private.to_uuid(hello.worker ->> 'session_id', 'session id'),
    status = case when w.drain_requested_at is null then 'online' else 'draining' end::muster.worker_status,
    -- It counts as hearing once it has echoed the nonce sent below.
    listening = v_listening, deaf = v_listening, forget_at = null, updated_at = v_now
  where w.id = v_worker.id;
  if v_is_other then
    perform muster_private.match_worker(v_worker.id);
    perform muster_private.leave_worker(v_worker.id, v_worker.tenant_id, v_now);
  end if;
  perform muster_private.set_worker_mode(v_worker, hello.worker ->> 'mode');
  perform muster_private.welcome_worker(v_worker.id, v_worker.tenant_id, v_now);
  perform muster_private.keep_lease(v_worker.id, v_worker.tenant_id, v_worker.held_count > 0, v_now);
  if hello.worker ->> 'mode' is distinct from 'claim' then
    v_nonce := muster_private.send_wake(v_worker.id, v_now);
  end if;
  v_worker := muster_private.lock_worker(v_worker.id);
  if v_forgotten is not null then
    perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  end if;

  return jsonb_build_object(
    'worker_id', v_worker.id, 'tenant_id', v_worker.tenant_id, 'name', v_worker.name, 'status', v_worker.status,
    'slots', v_worker.slots, 'capabilities', v_worker.capabilities, 'labels', v_worker.labels,
    'resources', v_worker.resources,
    'heartbeat_seconds', extract(epoch from muster_private.heartbeat_interval(true)),
    'idle_heartbeat_seconds', extract(epoch from muster_private.heartbeat_interval(false)),
    'poll_seconds', extract(epoch from muster_private.timing('poll')),
    'channels', jsonb_build_object(
      'tasks', muster_private.tasks_topic(v_worker.id),
      'events', 'worker:' || v_worker.id || ':events',
      'presence', 'fleet:' || v_worker.tenant_id || ':presence'),
    'wake_nonce', v_nonce,
    'stop', muster_private.stops_json(v_worker.id, hello.running),
    'jobs', muster_private.assignments_json(muster_private.hand_over(v_worker.id, v_worker.tenant_id, v_now)),
    'server_time', muster_private.iso(v_now));
end
$$;
comment on function muster.hello(jsonb, jsonb) is
  'A worker reports for work, or again after a break: what it can do, and what it still runs. Answers what to stop';

create function muster_private.cut_capabilities(claimed text[], allowed text[]) returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array(
    select distinct c from unnest(cut_capabilities.claimed) c
    where cut_capabilities.allowed is null or c = any (cut_capabilities.allowed)
    order by c);
end
$$;
comment on function muster_private.cut_capabilities(text[], text[]) is 'Claimed capabilities, cut to those allowed (null allows any), sorted';

create function muster_private.stops_json(worker_id uuid, running jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object('job_id', r.job_id, 'attempt', r.attempt, 'reason',
      case when j.id is null then 'unknown' when j.worker_id is distinct from w.id or j.attempts <> r.attempt then 'replaced' else j.status::text end)), '[]')
    from muster_private.attempts_of(stops_json.running) r
    join muster.worker_devices w on w.id = stops_json.worker_id
    left join muster.jobs j on j.id = r.job_id and j.tenant_id = w.tenant_id
    where j.id is null or j.attempts <> r.attempt or j.worker_id is distinct from w.id or j.status not in ('assigned', 'running')
  );
end
$$;
comment on function muster_private.stops_json(uuid, jsonb) is 'Which of the attempts a worker runs are no longer its own';

-- The tick wants locks in an order of its own, so a call that ran it does nothing else and is repeated at once.
create function muster_private.tick_is_late(at timestamptz) returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return exists (
    select from muster_private.scheduler_state s
    where s.last_tick_at < tick_is_late.at - muster_private.timing('tick_late'));
end
$$;
comment on function muster_private.tick_is_late(timestamptz) is
  'Whether nobody ticked for long: pg_cron may have stopped, and whoever calls next does it';

create function muster_private.next_beat(usual interval) returns interval
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select case when s.was_late
      then least(next_beat.usual, greatest(muster_private.timing('tick_late'), muster_private.heartbeat_interval(true)))
      else next_beat.usual end
    from muster_private.scheduler_state s
  );
end
$$;
comment on function muster_private.next_beat(interval) is
  'When a worker is to beat again: idle ones sooner than usual while nobody else runs the tick';

create function muster.heartbeat(
  running jsonb, want integer default 0, events jsonb default '[]', metrics jsonb default null,
  wake_nonce text default null, listening boolean default null, draining boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_heard boolean;
  v_beat muster.worker_heartbeats;
  v_forget constant interval := muster_private.timing('forget');
  v_unnamed uuid[];
  v_forgotten muster_private.attempt_ending[];
  v_redelivered uuid[];
  v_jobs uuid[];
  v_busy boolean;
  v_busy_interval constant interval := muster_private.heartbeat_interval(true);
  v_interval interval;
  v_listened boolean;
begin
  perform muster_private.check_attempts(heartbeat.running, 'running');
  if jsonb_typeof(heartbeat.metrics) not in ('object', 'null') or octet_length(heartbeat.metrics::text) > 16384
    or muster_private.is_too_deep(heartbeat.metrics) then
    perform muster_private.fail('MU004', 'Cannot read the heartbeat: metrics must be an object of at most 16 KiB');
  end if;
  v_worker := muster_private.lock_worker(v_worker.id);
  if v_worker.status = 'offline' then
    return jsonb_build_object('resync', true, 'deaf', false, 'next_seconds', 0,
      'poll_seconds', extract(epoch from muster_private.timing('poll')), 'stop', '[]'::jsonb, 'jobs', '[]'::jsonb,
      'commands', '[]'::jsonb, 'server_time', muster_private.iso(v_now));
  end if;
  v_busy := v_worker.held_count > 0;
  v_interval := case when v_busy then v_busy_interval else muster_private.heartbeat_interval(false) end;
  -- One row a beat, written once: three of the intervals the worker is told now lose it.
  update muster.worker_heartbeats h
  set last_seen_at = v_now, deadline_at = v_now + 3 * v_interval, busy_interval = v_busy_interval,
    metrics = coalesce(nullif(heartbeat.metrics, 'null'), h.metrics),
    wake_heard_at = case when h.wake_nonce = heartbeat.wake_nonce then v_now else h.wake_heard_at end
  where h.worker_id = v_worker.id
  returning * into strict v_beat;
  if muster_private.tick_is_late(v_now) and (muster.tick() ->> 'ran')::boolean then
    return jsonb_build_object('resync', false, 'deaf', v_worker.deaf, 'next_seconds', 0,
      'poll_seconds', extract(epoch from muster_private.timing('poll')), 'stop', '[]'::jsonb, 'jobs', '[]'::jsonb,
      'commands', '[]'::jsonb, 'server_time', muster_private.iso(v_now));
  end if;

  v_heard := v_beat.wake_heard_at >= v_beat.wake_sent_at;
  v_listened := v_worker.listening;
  update muster.worker_devices w
  set listening = n.listening, deaf = n.deaf, status = n.status, updated_at = v_now
  from (
    select coalesce(heartbeat.listening, v_worker.listening) as listening,
      -- Silent since a whole check ago: deaf. An echo of the newest nonce: not deaf.
      case when not coalesce(heartbeat.listening, v_worker.listening) then false
        when v_heard then false
        when v_beat.wake_sent_at < v_now - muster_private.wake_interval() then true
        else v_worker.deaf or not v_worker.listening end as deaf,
      case when heartbeat.draining or v_worker.drain_requested_at is not null then 'draining'
        else 'online' end::muster.worker_status as status
  ) n
  where w.id = v_worker.id and (w.listening, w.deaf, w.status) is distinct from (n.listening, n.deaf, n.status);
  v_worker := muster_private.lock_worker(v_worker.id);
  if v_worker.listening
    and (not v_listened or coalesce(v_beat.wake_sent_at < v_now - muster_private.wake_interval(), true)) then
    perform muster_private.send_wake(v_worker.id, v_now);
  end if;

  -- Those of its events too, all in one order: its reports take jobs without the worker's lock.
  if jsonb_array_length(coalesce(heartbeat.events, '[]')) > 0 then
    perform from muster_private.held_jobs h where h.worker_id = v_worker.id order by uuid_send(h.job_id) for update;
  end if;

  -- Held and handed over, but not among what it runs: an answer may have been lost or still be on its way when the worker
  -- gave it up, so it is handed over again; after a while, the worker has lost it.
  v_unnamed := muster_private.unnamed_jobs(v_worker.id, heartbeat.running);
  select array_agg(row (l.job_id, 'lost', null,
      jsonb_build_object('code', 'job_forgotten', 'message', format('Worker %s beats without the job', v_worker.name)),
      false)::muster_private.attempt_ending) filter (where l.is_overdue),
    array_agg(l.job_id) filter (where not l.is_overdue)
  into v_forgotten, v_redelivered
  from (
    select h.job_id, (select j.started_at from muster.jobs j where j.id = h.job_id) + v_forget < v_now as is_overdue
    from muster_private.held_jobs h
    where h.worker_id = v_worker.id and h.job_id = any (v_unnamed)
    order by uuid_send(h.job_id) for update
  ) l;
  if v_forgotten is not null then
    perform muster_private.end_attempts(v_forgotten, true, v_now);
  end if;
  if jsonb_array_length(coalesce(heartbeat.events, '[]')) > 0 then
    perform muster_private.store_events(v_worker, heartbeat.events, v_now);
  end if;

  v_jobs := muster_private.next_jobs(v_worker, heartbeat.want, v_now) || v_redelivered;
  if v_forgotten is not null then
    perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  end if;
  if not v_busy and cardinality(v_jobs) > 0 then
    v_interval := v_busy_interval;
    perform muster_private.keep_busy_lease(v_worker.id, v_now);
  end if;

  return jsonb_build_object(
    'resync', false,
    'deaf', v_worker.deaf,
    'next_seconds', muster_private.spread_seconds(muster_private.next_beat(v_interval)),
    'busy_seconds', extract(epoch from v_busy_interval),
    'poll_seconds', extract(epoch from muster_private.timing('poll')),
    'stop', muster_private.stops_json(v_worker.id, heartbeat.running),
    'jobs', muster_private.assignments_json(v_jobs),
    'commands', case when v_worker.drain_requested_at is not null then '["drain"]'::jsonb else '[]'::jsonb end,
    'server_time', muster_private.iso(v_now));
end
$$;
comment on function muster.heartbeat(jsonb, integer, jsonb, jsonb, text, boolean, boolean) is
  'Keeps the lease on all jobs a worker runs, with one call; answers what to stop, what to start and when to call again';

create function muster.claim_jobs(want integer default 1) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_jobs uuid[];
begin
  v_worker := muster_private.lock_worker(v_worker.id);
  if muster_private.tick_is_late(v_now) then
    -- Who calls is not lost, whenever it last beat.
    perform muster_private.keep_lease(v_worker.id, v_worker.tenant_id, v_worker.held_count > 0, v_now);
    if (muster.tick() ->> 'ran')::boolean then
      return jsonb_build_object('jobs', '[]'::jsonb, 'again', true);
    end if;
  end if;
  v_jobs := muster_private.next_jobs(v_worker, claim_jobs.want, v_now);
  if cardinality(v_jobs) > 0 then
    perform muster_private.keep_busy_lease(v_worker.id, v_now);
  end if;
  return jsonb_build_object('jobs', muster_private.assignments_json(v_jobs), 'again', false);
end
$$;
comment on function muster.claim_jobs(integer) is 'Starts what was pushed to the worker and up to want more of what it can serve';

-- Ends the given attempts and hands over up to `want` next jobs in the same transaction.
-- A stale attempt changes nothing and is answered `stale`; its result is kept as evidence; the others still count (I2).
-- Locks: the worker, the places of its jobs in id order, concurrency keys, the tenant.
create function muster.complete_jobs(results jsonb, want integer default 0) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_no_reason constant jsonb := '{"code": "failed", "message": "The worker gave no reason"}'::jsonb;
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_endings muster_private.attempt_ending[];
  v_again uuid[];
  v_is_queued boolean := false;
  v_freed_slots integer;
  v_freed_resources jsonb;
  v_outcomes jsonb;
  v_jobs uuid[];
begin
  if jsonb_typeof(complete_jobs.results) is distinct from 'array' or jsonb_array_length(complete_jobs.results) > 1000 then
    perform muster_private.fail('MU015', 'Cannot complete jobs: results must be an array of at most 1000');
  end if;
  if pg_column_size(complete_jobs.results) >= 65536 then
    perform muster_private.check_size(complete_jobs.results, 'the results', 8388608);
    perform muster_private.charge_bytes(v_worker.id, v_worker.tenant_id, pg_column_size(complete_jobs.results));
  end if;
  if jsonb_path_exists(complete_jobs.results, 'strict $[*] ? (@.type() != "object")')
    or jsonb_path_exists(complete_jobs.results, '$[*] ? (
      !(@.status.type() == "string" && (@.status == "succeeded" || @.status == "failed"))
      || (exists (@.error) && !(@.error.type() == "object" || @.error.type() == "null")))') then
    perform muster_private.fail('MU004', 'Cannot complete jobs: each result has a status, succeeded or failed, and error is an object');
  end if;
  v_worker := muster_private.lock_worker(v_worker.id);

  with held as materialized (
    select h.job_id, h.attempt from muster_private.held_jobs h
    where h.tenant_id = v_worker.tenant_id and h.worker_id = v_worker.id and h.job_id = any (array(
      select (i ->> 'job_id')::uuid from jsonb_array_elements(complete_jobs.results) i))
    order by uuid_send(h.job_id)
    for update
  ), current as (
    select h.job_id as id, h.attempt, r.status = 'succeeded' as is_success, r.result, r.error, r.ordinal,
      octet_length(r.result::text) > 524288 or octet_length(r.error::text) > 65536 as is_too_large,
      -- What is short is not asked: a call a result would be felt.
      case when pg_column_size(r.result) > 200 then muster_private.is_too_deep(r.result) else false end
        or case when pg_column_size(r.error) > 200 then muster_private.is_too_deep(r.error) else false end as is_too_deep
    from (
      select o.job_id, o.attempt, o.status, nullif(o.result, 'null') as result, nullif(o.error, 'null') as error, o.ordinal
      from rows from (jsonb_to_recordset(complete_jobs.results)
        as (job_id uuid, attempt integer, status text, result jsonb, error jsonb)) with ordinality
        o (job_id, attempt, status, result, error, ordinal)
    ) r
    join held h on h.job_id = r.job_id and h.attempt = r.attempt
  ), once as (
    -- What is reported twice in one call counts as it was said first.
    select distinct on (o.id) o.* from current o order by o.id, o.ordinal
  )
  select array_agg(case
    when c.is_too_large then row (c.id, 'failed', null,
      '{"code": "result_too_large", "message": "The result is over the limit of 256 KiB: hand it back as an artifact"}'::jsonb,
      true)::muster_private.attempt_ending
    when c.is_too_deep then row (c.id, 'failed', null,
      '{"code": "result_too_deep", "message": "The result is nested deeper than 100 levels: hand it back as an artifact"}'::jsonb,
      true)::muster_private.attempt_ending
    when c.is_success then row (c.id, 'succeeded', c.result, null, true)::muster_private.attempt_ending
    else row (c.id, 'failed', null,
      coalesce(c.error, v_no_reason),
      coalesce((c.error ->> 'retryable')::boolean, true) = false)::muster_private.attempt_ending
    end),
    jsonb_agg(jsonb_build_object('job_id', c.id, 'attempt', c.attempt, 'outcome', 'accepted') order by c.ordinal)
  into v_endings, v_outcomes from once c;

  if v_endings is not null then
    select e.again, e.queued, e.freed_slots, e.freed_resources into v_again, v_is_queued, v_freed_slots, v_freed_resources
    from muster_private.end_attempts(v_endings, true, v_now, true) e;
    -- Written together with what it is given next.
    v_worker.held_count := v_worker.held_count - coalesce(v_freed_slots, 0);
    if v_freed_resources is not null then
      v_worker.held_resources := muster_private.add_resources(v_worker.held_resources, v_freed_resources, -1);
    end if;
  end if;

  if v_endings is null and complete_jobs.results = '[]' then
    v_outcomes := '[]'::jsonb;
  elsif cardinality(v_endings) = jsonb_array_length(complete_jobs.results) and v_again is null then
    -- All were accepted, as was thought.
    null;
  elsif cardinality(v_endings) = jsonb_array_length(complete_jobs.results) then
    select coalesce(jsonb_agg(jsonb_build_object('job_id', r.item -> 'job_id', 'attempt', r.item -> 'attempt', 'outcome',
      case when (r.item ->> 'job_id')::uuid = any (v_again) then 'retrying' else 'accepted' end) order by r.ordinal), '[]')
    into v_outcomes
    from jsonb_array_elements(complete_jobs.results) with ordinality r (item, ordinal);
  else
    -- A repeated report of an attempt that ended just so is accepted again: its first answer may have been lost.
    select coalesce(jsonb_agg(jsonb_build_object('job_id', r.item -> 'job_id', 'attempt', r.item -> 'attempt', 'outcome', case
        when e.job_id is not null and j.status in ('succeeded', 'failed') then 'accepted'
        when e.job_id is not null then 'retrying'
        when j.worker_id = v_worker.id and j.attempts = (r.item ->> 'attempt')::integer and j.status::text = r.item ->> 'status'
          and (j.status = 'succeeded' or j.error = coalesce(nullif(r.item -> 'error', 'null'), v_no_reason)) then 'accepted'
        else 'stale' end) order by r.ordinal), '[]')
    into v_outcomes
    from jsonb_array_elements(complete_jobs.results) with ordinality r (item, ordinal)
    left join lateral (
      select o.id, o.status, o.worker_id, o.attempts, o.error from muster.jobs o
      where o.id = (r.item ->> 'job_id')::uuid and o.tenant_id = v_worker.tenant_id limit 1
    ) j on true
    left join unnest(v_endings) e on e.job_id = j.id and j.attempts = (r.item ->> 'attempt')::integer;
    if v_outcomes @> '[{"outcome": "stale"}]' then
      perform muster_private.keep_late_results(v_worker, complete_jobs.results, v_outcomes, v_now);
    end if;
  end if;

  v_jobs := muster_private.next_jobs(v_worker, complete_jobs.want, v_now, v_freed_slots is not null);
  if cardinality(v_jobs) > 0 then
    perform muster_private.keep_busy_lease(v_worker.id, v_now);
  end if;
  if v_is_queued then
    perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  end if;
  return jsonb_build_object('outcomes', v_outcomes, 'jobs', muster_private.assignments_json(v_jobs));
end
$$;
comment on function muster.complete_jobs(jsonb, integer) is
  'Stores the results of attempts that are still the worker''s own, and answers with its next jobs';

create function muster.goodbye(reason text default null) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_worker muster.worker_devices := muster_private.current_worker();
  v_released integer;
begin
  v_worker := muster_private.lock_worker(v_worker.id);
  perform muster_private.end_holdings(v_worker.id, v_worker.tenant_id);
  v_released := muster_private.end_held_jobs(array[v_worker.id], 'released',
    jsonb_build_object('code', 'released', 'message', format('Worker %s handed the job back: %s', v_worker.name, coalesce(left(goodbye.reason, 1000), 'it stops'))),
    true, v_now);
  update muster.worker_devices w
  set status = 'offline', listening = false, deaf = false, updated_at = v_now,
    forget_at = case when w.ephemeral then v_now + muster_private.timing('ephemeral_goodbye') end
  where w.id = v_worker.id and w.status <> 'offline';
  if v_released > 0 then
    perform muster_private.assign_jobs(v_worker.tenant_id, v_now);
  end if;
  return jsonb_build_object('released', v_released);
end
$$;
comment on function muster.goodbye(text) is 'A worker stops: what it holds goes back at once and spends no attempt';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'hello(jsonb, jsonb)', 'heartbeat(jsonb, integer, jsonb, jsonb, text, boolean, boolean)', 'claim_jobs(integer)',
    'complete_jobs(jsonb, integer)', 'goodbye(text)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to muster_worker', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
