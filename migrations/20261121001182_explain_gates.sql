-- Why a job is not running, the part about itself: which gates it has passed, which it waits at, and when it may go on.
-- The same for a job that is not submitted yet. Nothing is written and no row is locked.

-- A job whose id is null is not stored; `after` says then what it comes after.
create type muster_private.explained_job as (
  job muster.jobs,
  after uuid[]
);

-- A limit as it will be once it is taken: what refill_rate_limit() makes of it, without settling anything.
create function muster_private.rate_tokens(rate_limit muster.rate_limits, at timestamptz) returns double precision
language plpgsql stable set search_path = ''
as $$
declare
  v_rate constant double precision := (rate_tokens.rate_limit).max_units / (rate_tokens.rate_limit).per_seconds;
  v_tokens double precision := (rate_tokens.rate_limit).tokens;
  v_since timestamptz := (rate_tokens.rate_limit).refilled_at;
  v_inside bigint;
  v_left record;
begin
  select coalesce(sum(r.units), 0) into v_inside from muster_private.rated_jobs r
  where r.tenant_id = (rate_tokens.rate_limit).tenant_id and r.key = (rate_tokens.rate_limit).key;
  if v_inside > 0 then
    for v_left in
      select g.units, g.has_started,
        least(greatest(case when g.has_started then g.started_at else rate_tokens.at end, v_since), greatest(rate_tokens.at, v_since)) as left_at
      from (
        select r.units, j.attempts >= r.attempt and j.started_at is not null as has_started, j.started_at
        from muster_private.rated_jobs r join muster.jobs j on j.id = r.job_id
        where r.tenant_id = (rate_tokens.rate_limit).tenant_id and r.key = (rate_tokens.rate_limit).key
          and (j.status not in ('queued', 'assigned') or j.attempts > r.attempt)
      ) g
      order by left_at
    loop
      v_tokens := least(greatest((rate_tokens.rate_limit).burst - v_inside, 0),
        v_tokens + v_rate * muster_private.seconds_between(v_since, v_left.left_at));
      v_since := v_left.left_at;
      v_inside := v_inside - v_left.units;
      if not v_left.has_started then
        v_tokens := least(greatest((rate_tokens.rate_limit).burst - v_inside, 0), v_tokens + v_left.units);
      end if;
    end loop;
  end if;
  return least(greatest((rate_tokens.rate_limit).burst - v_inside, 0),
    v_tokens + v_rate * muster_private.seconds_between(v_since, rate_tokens.at));
end
$$;
comment on function muster_private.rate_tokens(muster.rate_limits, timestamptz) is 'How many tokens a rate limit has by now';

-- How many of those that wait at a gate go before a job, 1000 at most, and what they take of its rate limit.
create function muster_private.line_before(job muster.jobs, gate text, key text, burst integer, out jobs integer, out units bigint)
language plpgsql stable set search_path = ''
as $$
declare
  v_most constant integer := 1000;
begin
  select count(*), coalesce(sum(case when line_before.gate = 'rate'
    then muster_private.rate_units(j.policy, line_before.burst) else 1 end), 0)
  into line_before.jobs, line_before.units
  from (
    select b.job_id, b.priority, b.rank, b.position from muster_private.blocked_jobs b
    where b.tenant_id = (line_before.job).tenant_id and b.waiting_for = line_before.gate and b.key = line_before.key
    order by b.priority desc, b.rank, b.position limit v_most
  ) b
  join muster.jobs j on j.id = b.job_id
  where (-b.priority, b.rank, b.position)
    < (-(line_before.job).priority, (line_before.job).rank, (line_before.job).position);
end
$$;
comment on function muster_private.line_before(muster.jobs, text, text, integer) is
  'How many of the jobs that wait at a gate go before this one';

create function muster_private.explain_time(explained muster_private.explained_job, at timestamptz) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_job constant muster.jobs := (explained).job;
begin
  if v_job.status <> 'scheduled' and (v_job.id is not null or v_job.run_at <= explain_time.at) then
    return null;
  end if;
  return jsonb_build_object('gate', 'time', 'waits', true, 'until', muster_private.iso(v_job.run_at),
    'reason', case when v_job.attempts > 0 then 'retry' else 'run_at' end, 'last_error', v_job.error);
end
$$;
comment on function muster_private.explain_time(muster_private.explained_job, timestamptz) is 'Until when a job is not to start, by its own word or as a retry';

create function muster_private.explain_dependencies(explained muster_private.explained_job) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_job constant muster.jobs := (explained).job;
  v_policy constant text := v_job.policy ->> 'after_policy';
  v_open jsonb;
  v_count integer;
  v_is_doomed boolean;
begin
  if v_policy is null then
    return null;
  end if;
  select count(*), coalesce(jsonb_agg(jsonb_build_object('job_id', o.id, 'type', o.type, 'status', o.status) order by o.position)
      filter (where o.place <= 20), '[]'), coalesce(bool_or(o.status in ('failed', 'cancelled')) and v_policy <> 'ended', false)
  into v_count, v_open, v_is_doomed
  from (
    select p.id, p.type, p.status, p.position, row_number() over (order by p.position) as place
    from muster.jobs p
    where p.tenant_id = v_job.tenant_id and case when v_job.id is null
      then p.id = any ((explained).after) and (p.finished_at is null or p.status <> 'succeeded' and v_policy <> 'ended')
      else p.id in (select d.after_id from muster_private.open_dependencies d where d.job_id = v_job.id) end
  ) o;
  return jsonb_build_object('gate', 'dependencies', 'waits', v_count > 0, 'policy', v_policy, 'count', v_count, 'jobs', v_open,
    'will_fail', v_is_doomed);
end
$$;
comment on function muster_private.explain_dependencies(muster_private.explained_job) is 'Which of the jobs that a job comes after have not ended as it wants them to';

create function muster_private.explain_concurrency(explained muster_private.explained_job) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_job constant muster.jobs := (explained).job;
  v_policy constant text := coalesce(v_job.policy ->> 'concurrency_policy', 'wait');
  v_known muster.concurrency_keys;
  v_limit integer;
  v_admitted integer;
  v_before integer;
  v_is_in boolean;
  v_waits boolean;
  v_holders jsonb;
begin
  if v_job.concurrency_key is null then
    return null;
  end if;
  select * into v_known from muster.concurrency_keys c where c.tenant_id = v_job.tenant_id and c.key = v_job.concurrency_key;
  -- A submission sets the limit, unless an operator has.
  v_limit := case when v_job.id is not null or v_known.fixed then v_known.max_running
    else coalesce((v_job.policy ->> 'concurrency_limit')::integer, 1) end;
  select count(*), coalesce(bool_or(a.job_id = v_job.id), false) into v_admitted, v_is_in
  from muster_private.admitted_jobs a where a.tenant_id = v_job.tenant_id and a.key = v_job.concurrency_key;
  v_before := (muster_private.line_before(v_job, 'concurrency', v_job.concurrency_key, 1)).jobs;
  -- What is in its way is cancelled as it is submitted.
  v_waits := not v_is_in and case when v_policy = 'replace' and v_job.id is null then v_limit < 1
    else v_limit - v_admitted - v_before < 1 end;
  select jsonb_agg(jsonb_build_object('job_id', h.id, 'status', h.status, 'worker_id', h.worker_id, 'worker_name', w.name)
    order by h.position)
  into v_holders
  from (
    select j.id, j.status, j.worker_id, j.position from muster_private.admitted_jobs a join muster.jobs j on j.id = a.job_id
    where a.tenant_id = v_job.tenant_id and a.key = v_job.concurrency_key and j.id is distinct from v_job.id
    order by j.position limit 10
  ) h
  left join muster.worker_devices w on w.id = h.worker_id;
  return jsonb_build_object('gate', 'concurrency', 'waits', v_waits, 'key', v_job.concurrency_key, 'limit', v_limit,
    'paused', v_limit = 0, 'policy', v_policy, 'admitted', v_admitted, 'ahead', v_before, 'held_by', coalesce(v_holders, '[]'));
end
$$;
comment on function muster_private.explain_concurrency(muster_private.explained_job) is 'Who has the concurrency key of a job, and who comes before it';

create function muster_private.explain_rate(explained muster_private.explained_job, at timestamptz) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  -- As pass_rate_limits() has it.
  v_lack constant double precision := 1e-6;
  v_job constant muster.jobs := (explained).job;
  v_asked constant jsonb := v_job.policy -> 'rate_limit';
  v_known muster.rate_limits;
  v_burst integer;
  v_rate double precision;
  v_tokens double precision;
  v_units integer;
  v_line record;
  v_is_in boolean;
  v_waits boolean;
begin
  if v_asked is null then
    return null;
  end if;
  select * into v_known from muster.rate_limits r where r.tenant_id = v_job.tenant_id and r.key = v_asked ->> 'key';
  if v_known.key is null or v_job.position > v_known.set_by then
    -- What the newest job says of the limit holds.
    v_burst := coalesce((v_asked ->> 'burst')::integer, (v_asked ->> 'limit')::integer);
    v_rate := (v_asked ->> 'limit')::integer / (v_asked ->> 'per_seconds')::double precision;
  else
    v_burst := v_known.burst;
    v_rate := v_known.max_units / v_known.per_seconds;
  end if;
  v_tokens := case when v_known.key is null then v_burst
    else least(muster_private.rate_tokens(v_known, explain_rate.at), v_burst) end;
  v_units := muster_private.rate_units(v_job.policy, v_burst);
  v_line := muster_private.line_before(v_job, 'rate', v_asked ->> 'key', v_burst);
  v_is_in := v_job.id is not null and exists (
    select from muster_private.rated_jobs r where r.job_id = v_job.id and r.attempt = v_job.attempts + 1);
  v_waits := not v_is_in and (v_line.units + v_units > v_tokens + v_lack or v_line.jobs >= 1000);
  if v_waits and v_burst < v_known.burst then
    -- A smaller burst counts what it has let in from the next look on.
    v_tokens := least(v_tokens, greatest(v_burst - (
      select coalesce(sum(r.units), 0) from muster_private.rated_jobs r join muster.jobs j on j.id = r.job_id
      where r.tenant_id = v_known.tenant_id and r.key = v_known.key and j.status in ('queued', 'assigned') and j.attempts <= r.attempt), 0));
  end if;
  return jsonb_build_object('gate', 'rate', 'waits', v_waits, 'key', v_asked ->> 'key', 'limit', round((v_rate * (v_asked ->> 'per_seconds')::double precision)::numeric, 3),
    'per_seconds', v_asked -> 'per_seconds', 'burst', v_burst, 'units', v_units, 'tokens', round(v_tokens::numeric, 3), 'ahead', v_line.jobs,
    'until', case when v_waits then muster_private.iso(
      explain_rate.at + make_interval(secs => greatest(v_line.units + v_units - v_tokens, 0) / v_rate)) end);
end
$$;
comment on function muster_private.explain_rate(muster_private.explained_job, timestamptz) is
  'How many tokens the rate limit of a job has, and when there should be enough for it and those before it';

create function muster_private.explain_affinity(job muster.jobs, placement muster_private.placement) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_policy constant jsonb := (explain_affinity.job).policy;
  v_is_bound constant boolean := v_policy ? 'bound_to' and v_policy ->> 'bound_to' = (explain_affinity.placement).worker_id::text;
  v_by constant text := case when v_is_bound then 'bound'
    when v_policy ? 'resource_ref' and ((explain_affinity.placement).waits_for is null or (explain_affinity.placement).waits_for = v_policy -> 'resource_ref' ->> 'name')
      then 'resource' else 'affinity' end;
  v_name constant text := case v_by when 'resource' then v_policy -> 'resource_ref' ->> 'name'
    when 'affinity' then v_policy -> 'affinity' ->> 'key' end;
begin
  if not v_policy ?| '{affinity,resource_ref,bound_to}'::text[] then
    return null;
  end if;
  return jsonb_build_object('gate', 'affinity', 'waits', (explain_affinity.placement).waits_for is not null, 'by', v_by, 'name', v_name,
    'mode', case v_by when 'bound' then 'hard' when 'resource' then coalesce(v_policy -> 'resource_ref' ->> 'mode', 'hard')
      else coalesce(v_policy -> 'affinity' ->> 'mode', 'soft') end,
    'worker_id', (explain_affinity.placement).worker_id,
    'worker_name', (select w.name from muster.worker_devices w where w.id = (explain_affinity.placement).worker_id),
    'until', muster_private.iso((explain_affinity.placement).worker_until));
end
$$;
comment on function muster_private.explain_affinity(muster.jobs, muster_private.placement) is
  'Which worker a job wants and gets, or that there is none';

revoke execute on all functions in schema muster_private from public;
