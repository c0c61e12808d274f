-- Rate limits: a bucket of tokens a key, from which each start of a job of the key takes its units.
--
-- A job takes them when it is let into the queue, and may stand there until a worker comes. What stands there counts as
-- still in the bucket: tokens and units let in but not started are together never more than the burst, so that in any
-- stretch of time no more start than burst + rate * time, however long the queue had nobody to serve it.

create table muster.rate_limits (
  tenant_id uuid not null references muster.tenants on delete cascade,
  key text not null,
  max_units integer not null,
  per_seconds double precision not null,
  burst integer not null,
  tokens double precision not null,
  refilled_at timestamptz not null,
  next_at timestamptz,
  set_by bigint not null,
  primary key (tenant_id, key),
  constraint limits_are_positive check (max_units > 0 and per_seconds > 0 and burst > 0),
  constraint tokens_fit_the_burst check (tokens between 0 and burst)
) with (fillfactor = 70);
comment on table muster.rate_limits is
  'Token buckets: max_units refill in per_seconds, up to burst; its row is the lock under which jobs take tokens';
comment on column muster.rate_limits.next_at is 'When the first of the jobs that wait may be let in; null when none waits';
comment on column muster.rate_limits.set_by is 'Position of the newest job that named the key: what it says of the limit holds for all';
create index rate_limits_due_idx on muster.rate_limits (tenant_id, next_at) where next_at is not null;
create index rate_limits_due_of_all_idx on muster.rate_limits (next_at) where next_at is not null;

create table muster_private.rated_jobs (
  job_id uuid primary key,
  tenant_id uuid not null,
  key text not null,
  units integer not null,
  attempt integer not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on table muster_private.rated_jobs is
  'Jobs that a rate limit let in and that it has not yet seen to start; attempt is the one they are let in for';
create index rated_jobs_of_key_idx on muster_private.rated_jobs (tenant_id, key);

alter table muster_private.rated_jobs enable row level security;
create policy nobody on muster_private.rated_jobs as restrictive for all to public using (false);

-- Between instants of a clock that may go backwards: then no time has passed.
create function muster_private.seconds_between(since timestamptz, until timestamptz) returns double precision
language plpgsql immutable set search_path = ''
as $$
begin
  return greatest(extract(epoch from seconds_between.until - seconds_between.since), 0);
end
$$;
comment on function muster_private.seconds_between(timestamptz, timestamptz) is 'Seconds from one instant to another, never below 0';

create function muster_private.check_rate_limit(item jsonb, index integer) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_limit constant jsonb := nullif(check_rate_limit.item -> 'rate_limit', 'null');
  v_unknown text;
begin
  if v_limit is null then
    return;
  end if;
  if jsonb_typeof(v_limit) <> 'object' or num_nulls(v_limit ->> 'key', v_limit ->> 'limit', v_limit ->> 'per_seconds') > 0 then
    perform muster_private.fail('MU004', format('Cannot submit job %s: its rate limit must have key, limit and per_seconds', check_rate_limit.index));
  end if;
  select k into v_unknown from jsonb_object_keys(v_limit) k where k not in ('key', 'limit', 'per_seconds', 'burst', 'units') limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot submit job %s: a rate limit has no %s', check_rate_limit.index, left(v_unknown, 100)));
  end if;
  perform muster_private.check_text(v_limit, 'key', 255);
  perform muster_private.check_whole_number(v_limit, n.name, n.most)
  from (values ('limit', 1000000), ('per_seconds', 86400), ('burst', 1000000), ('units', 1000000)) n (name, most);
  if coalesce((v_limit ->> 'units')::integer, 1) > coalesce((v_limit ->> 'burst')::integer, (v_limit ->> 'limit')::integer) then
    perform muster_private.fail('MU004', format('Cannot submit job %s: it takes more units than the burst, and could never start',
      check_rate_limit.index));
  end if;
end
$$;
comment on function muster_private.check_rate_limit(jsonb, integer) is 'Refuses a rate limit that the API would have refused';

create function muster_private.check_whole_number(item jsonb, name text, most integer) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  perform muster_private.check_number(check_whole_number.item, check_whole_number.name, 1, check_whole_number.most);
  if (check_whole_number.item ->> check_whole_number.name)::numeric % 1 <> 0 then
    perform muster_private.fail('MU004', format('Cannot accept %s %s: it must be a whole number',
      check_whole_number.name, check_whole_number.item ->> check_whole_number.name));
  end if;
end
$$;
comment on function muster_private.check_whole_number(jsonb, text, integer) is 'Refuses a field that is there and not a whole number from 1 on';

-- Settles what has happened since: first what left the queue, in the order in which it started, as the bucket could fill
-- no further than to the burst less what stood there. Jobs that left without a start give their units back. The row is
-- the caller's.
create function muster_private.refill_rate_limit(rate_limit muster.rate_limits, at timestamptz) returns muster.rate_limits
language plpgsql set search_path = ''
as $$
declare
  v_limit muster.rate_limits := refill_rate_limit.rate_limit;
  v_rate constant double precision := v_limit.max_units / v_limit.per_seconds;
  v_inside bigint;
  v_left record;
begin
  select coalesce(sum(r.units), 0) into v_inside from muster_private.rated_jobs r
  where r.tenant_id = v_limit.tenant_id and r.key = v_limit.key;
  if v_inside > 0 then
    for v_left in
      with gone as (
        delete from muster_private.rated_jobs r using muster.jobs j
        where r.tenant_id = v_limit.tenant_id and r.key = v_limit.key and j.id = r.job_id
          and (j.status not in ('queued', 'assigned') or j.attempts > r.attempt)
        returning r.units, j.attempts >= r.attempt and j.started_at is not null as has_started, j.started_at
      )
      select g.units, g.has_started,
        least(greatest(case when g.has_started then g.started_at else refill_rate_limit.at end, v_limit.refilled_at),
          greatest(refill_rate_limit.at, v_limit.refilled_at)) as left_at
      from gone g
      order by left_at
    loop
      v_limit.tokens := least(greatest(v_limit.burst - v_inside, 0),
        v_limit.tokens + v_rate * muster_private.seconds_between(v_limit.refilled_at, v_left.left_at));
      v_limit.refilled_at := v_left.left_at;
      v_inside := v_inside - v_left.units;
      if not v_left.has_started then
        v_limit.tokens := least(greatest(v_limit.burst - v_inside, 0), v_limit.tokens + v_left.units);
      end if;
    end loop;
  end if;
  v_limit.tokens := least(greatest(v_limit.burst - v_inside, 0),
    v_limit.tokens + v_rate * muster_private.seconds_between(v_limit.refilled_at, refill_rate_limit.at));
  v_limit.refilled_at := refill_rate_limit.at;
  return v_limit;
end
$$;
comment on function muster_private.refill_rate_limit(muster.rate_limits, timestamptz) is
  'A rate limit with the tokens it has by now: never more than the burst less what it let in and has not started';

-- Lets jobs that wait for these rate limits go on, in their order, as far as there are tokens: the first that there are not
-- enough for holds back all after it, or large ones would never start. `arriving` has just come to this gate. Answers
-- whom it let in, without a place: the caller takes them on. With wait false a key in other hands is left to the next tick.
create function muster_private.pass_rate_limits(
  tenant_id uuid, keys text[], arriving uuid[], wait boolean, at timestamptz
) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  -- What sums of fractions may lack.
  v_lack constant double precision := 1e-6;
  v_name text;
  v_newest record;
  v_limit muster.rate_limits;
  v_ids uuid[];
  v_units bigint;
  v_next bigint;
  v_passed uuid[] := array[]::uuid[];
begin
  for v_name in
    select k from unnest(pass_rate_limits.keys) k where k is not null
    union
    select j.policy -> 'rate_limit' ->> 'key' from muster.jobs j where j.id = any (pass_rate_limits.arriving)
    order by 1
  loop
    select j.position, (j.policy -> 'rate_limit' ->> 'limit')::integer as max_units,
      (j.policy -> 'rate_limit' ->> 'per_seconds')::double precision as per_seconds,
      coalesce((j.policy -> 'rate_limit' ->> 'burst')::integer, (j.policy -> 'rate_limit' ->> 'limit')::integer) as burst
    into v_newest
    from muster.jobs j
    where j.id = any (pass_rate_limits.arriving) and j.policy -> 'rate_limit' ->> 'key' = v_name
    order by j.position desc limit 1;
    if found then
      insert into muster.rate_limits (tenant_id, key, max_units, per_seconds, burst, tokens, refilled_at, set_by)
      values (pass_rate_limits.tenant_id, v_name, v_newest.max_units, v_newest.per_seconds, v_newest.burst, v_newest.burst,
        pass_rate_limits.at, v_newest.position)
      on conflict on constraint rate_limits_pkey do nothing;
    end if;
    if pass_rate_limits.wait then
      select * into v_limit from muster.rate_limits r
      where r.tenant_id = pass_rate_limits.tenant_id and r.key = v_name for no key update;
    else
      select * into v_limit from muster.rate_limits r
      where r.tenant_id = pass_rate_limits.tenant_id and r.key = v_name for no key update skip locked;
    end if;
    continue when not found;
    v_limit := muster_private.refill_rate_limit(v_limit, pass_rate_limits.at);
    if v_newest.position > v_limit.set_by then
      -- What time has brought so far came at the old rate. Of a larger burst the rest has to come with time.
      v_limit.max_units := v_newest.max_units;
      v_limit.per_seconds := v_newest.per_seconds;
      v_limit.burst := v_newest.burst;
      v_limit.set_by := v_newest.position;
      v_limit.tokens := least(v_limit.tokens, v_limit.burst);
    end if;

    with next as (
      select b.job_id, b.priority, b.rank, b.position from muster_private.blocked_jobs b
      where b.tenant_id = v_limit.tenant_id and b.waiting_for = 'rate' and b.key = v_limit.key
      order by b.priority desc, b.rank, b.position
      limit least(floor(v_limit.tokens + v_lack), v_most)
      for update skip locked
    ), costs as (
      select n.job_id, muster_private.rate_units(j.policy, v_limit.burst) as units, j.attempts,
        sum(muster_private.rate_units(j.policy, v_limit.burst)) over (order by n.priority desc, n.rank, n.position) as total
      from next n join muster.jobs j on j.id = n.job_id
    ), passed as (
      delete from muster_private.blocked_jobs b using costs c where b.job_id = c.job_id and c.total <= v_limit.tokens + v_lack
      returning b.job_id, c.units, c.attempts + 1 as attempt
    ), noted as (
      insert into muster_private.rated_jobs (job_id, tenant_id, key, units, attempt)
      select p.job_id, v_limit.tenant_id, v_limit.key, p.units, p.attempt from passed p
    )
    select array_agg(p.job_id), coalesce(sum(p.units), 0) into v_ids, v_units from passed p;
    v_passed := v_passed || v_ids;
    v_limit.tokens := greatest(v_limit.tokens - v_units, 0);

    -- Whose turn it is next, and when there may be enough for it.
    select muster_private.rate_units(j.policy, v_limit.burst) into v_next
    from (
      select b.job_id from muster_private.blocked_jobs b
      where b.tenant_id = v_limit.tenant_id and b.waiting_for = 'rate' and b.key = v_limit.key
      order by b.priority desc, b.rank, b.position limit 1
    ) head
    join muster.jobs j on j.id = head.job_id;
    update muster.rate_limits r
    set max_units = v_limit.max_units, per_seconds = v_limit.per_seconds, burst = v_limit.burst, set_by = v_limit.set_by,
      tokens = v_limit.tokens, refilled_at = v_limit.refilled_at,
      next_at = v_limit.refilled_at
        + make_interval(secs => greatest(v_next - v_limit.tokens, 0) * v_limit.per_seconds / v_limit.max_units)
    where r.tenant_id = v_limit.tenant_id and r.key = v_limit.key;
  end loop;
  return v_passed;
end
$$;
comment on function muster_private.pass_rate_limits(uuid, text[], uuid[], boolean, timestamptz) is
  'Takes tokens for jobs that wait for them, in their order; answers those that go on';

-- A job that takes more than a burst that was lowered since takes a full bucket.
create function muster_private.rate_units(policy jsonb, burst integer) returns integer
language plpgsql immutable set search_path = ''
as $$
begin
  return least(coalesce((rate_units.policy -> 'rate_limit' ->> 'units')::integer, 1), rate_units.burst);
end
$$;
comment on function muster_private.rate_units(jsonb, integer) is 'How many tokens a start of a job takes';

-- As it will be at the next look; no row is taken.
create function muster.list_rate_limits(caller jsonb, page_size integer default 50, cursor text default null) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_rate_limits.caller, 'read');
  v_now constant timestamptz := muster_private.now();
  v_size constant integer := least(greatest(coalesce(list_rate_limits.page_size, 50), 1), 200);
  v_most constant integer := 10000;
  v_rows jsonb;
begin
  select coalesce(jsonb_agg(jsonb_build_object(
      'key', r.key, 'limit', r.max_units, 'per_seconds', r.per_seconds, 'burst', r.burst,
      'tokens', round(least(r.burst, r.tokens
        + r.max_units / r.per_seconds * muster_private.seconds_between(r.refilled_at, v_now))::numeric, 3),
      'waiting', w.jobs, 'next_at', muster_private.iso(r.next_at)) order by r.key), '[]')
  into v_rows
  from (
    select * from muster.rate_limits l
    where l.tenant_id = v_caller.tenant_id and l.key > coalesce(list_rate_limits.cursor, '')
    order by l.key limit v_size + 1
  ) r
  cross join lateral (
    select count(*) as jobs from (
      select from muster_private.blocked_jobs b
      where b.tenant_id = r.tenant_id and b.waiting_for = 'rate' and b.key = r.key limit v_most) b
  ) w;
  return jsonb_build_object('rate_limits', case when jsonb_array_length(v_rows) > v_size then v_rows - v_size else v_rows end,
    'next_cursor', case when jsonb_array_length(v_rows) > v_size then v_rows -> v_size - 1 ->> 'key' end);
end
$$;
comment on function muster.list_rate_limits(jsonb, integer, text) is
  'Rate limits of the tenant in the order of their keys, with their tokens and how many jobs wait; at most 200 a page';
revoke execute on function muster.list_rate_limits(jsonb, integer, text) from public;
grant execute on function muster.list_rate_limits(jsonb, integer, text) to service_role;

revoke execute on all functions in schema muster_private from public;
