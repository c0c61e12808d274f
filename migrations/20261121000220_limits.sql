-- How much each tenant may have and each caller may ask for, and the buckets by which requests are counted.

create table muster.tenant_limits (
  tenant_id uuid primary key references muster.tenants on delete cascade,
  waiting_jobs integer,
  workers integer,
  artifact_bytes bigint,
  job_classes integer,
  api_key_rate integer,
  api_key_burst integer,
  member_rate integer,
  member_burst integer,
  worker_rate integer,
  worker_burst integer,
  enrollment_token_rate integer,
  enrollment_token_burst integer,
  retention_days integer,
  updated_at timestamptz not null default muster_private.now(),
  constraint quotas_are_not_negative
    check (least(waiting_jobs, workers, artifact_bytes, job_classes) >= 0),
  constraint rates_are_positive
    check (least(api_key_rate, member_rate, worker_rate, enrollment_token_rate) >= 1),
  constraint bursts_are_positive
    check (least(api_key_burst, member_burst, worker_burst, enrollment_token_burst) >= 1),
  constraint rates_and_bursts_are_limited
    check (greatest(api_key_rate, member_rate, worker_rate, enrollment_token_rate,
      api_key_burst, member_burst, worker_burst, enrollment_token_burst) <= 100000),
  constraint retention_is_1_to_3650_days check (retention_days between 1 and 3650)
);
comment on table muster.tenant_limits is
  'What differs from the usual limits for a tenant; null is the usual one. Rates are a second, a burst is what may come at once, '
  'retention_days is how long jobs are kept after they ended';

create function muster_private.usual_limits() returns muster.tenant_limits
language plpgsql immutable set search_path = ''
as $$
declare
  v_limits muster.tenant_limits;
begin
  v_limits.waiting_jobs := 1000000;
  v_limits.workers := 10000;
  v_limits.artifact_bytes := 107374182400;
  v_limits.job_classes := 10000;
  v_limits.api_key_rate := 200;
  v_limits.api_key_burst := 2000;
  v_limits.member_rate := 50;
  v_limits.member_burst := 500;
  v_limits.worker_rate := 50;
  v_limits.worker_burst := 1000;
  v_limits.enrollment_token_rate := 20;
  v_limits.enrollment_token_burst := 1000;
  v_limits.retention_days := 30;
  return v_limits;
end
$$;
comment on function muster_private.usual_limits() is 'The limits of a tenant for which nothing else was set';

create function muster_private.limits_of(tenant_id uuid) returns muster.tenant_limits
language plpgsql stable set search_path = ''
as $$
declare
  v_set muster.tenant_limits;
  v_limits muster.tenant_limits := muster_private.usual_limits();
begin
  select * into v_set from muster.tenant_limits l where l.tenant_id = limits_of.tenant_id;
  if found then
    v_limits.waiting_jobs := coalesce(v_set.waiting_jobs, v_limits.waiting_jobs);
    v_limits.workers := coalesce(v_set.workers, v_limits.workers);
    v_limits.artifact_bytes := coalesce(v_set.artifact_bytes, v_limits.artifact_bytes);
    v_limits.job_classes := coalesce(v_set.job_classes, v_limits.job_classes);
    v_limits.api_key_rate := coalesce(v_set.api_key_rate, v_limits.api_key_rate);
    v_limits.api_key_burst := coalesce(v_set.api_key_burst, v_limits.api_key_burst);
    v_limits.member_rate := coalesce(v_set.member_rate, v_limits.member_rate);
    v_limits.member_burst := coalesce(v_set.member_burst, v_limits.member_burst);
    v_limits.worker_rate := coalesce(v_set.worker_rate, v_limits.worker_rate);
    v_limits.worker_burst := coalesce(v_set.worker_burst, v_limits.worker_burst);
    v_limits.enrollment_token_rate := coalesce(v_set.enrollment_token_rate, v_limits.enrollment_token_rate);
    v_limits.enrollment_token_burst := coalesce(v_set.enrollment_token_burst, v_limits.enrollment_token_burst);
    v_limits.retention_days := coalesce(v_set.retention_days, v_limits.retention_days);
  end if;
  v_limits.tenant_id := limits_of.tenant_id;
  return v_limits;
end
$$;
comment on function muster_private.limits_of(uuid) is 'The limits that hold for a tenant';

-- Unlogged: what a crash forgets are a few seconds of counting.
create unlogged table muster_private.rate_buckets (
  bucket text not null,
  shard smallint not null,
  tokens double precision not null,
  filled_at timestamptz not null,
  primary key (bucket, shard)
) with (fillfactor = 50);
comment on table muster_private.rate_buckets is
  'Token buckets, each in shards, so that a caller''s requests do not wait for each other; a shard without a row is full';
alter table muster_private.rate_buckets enable row level security;
create policy nobody on muster_private.rate_buckets as restrictive for all to public using (false);

create function muster_private.take_of_shard(
  bucket text, shard integer, rate double precision, burst double precision, cost double precision, at timestamptz
) returns boolean
language plpgsql set search_path = ''
as $$
begin
  update muster_private.rate_buckets b
  set tokens = least(take_of_shard.burst,
      b.tokens + take_of_shard.rate * greatest(extract(epoch from take_of_shard.at - b.filled_at), 0)) - take_of_shard.cost,
    filled_at = greatest(b.filled_at, take_of_shard.at)
  where b.bucket = take_of_shard.bucket and b.shard = take_of_shard.shard
    and least(take_of_shard.burst,
      b.tokens + take_of_shard.rate * greatest(extract(epoch from take_of_shard.at - b.filled_at), 0)) >= take_of_shard.cost;
  if found then
    return true;
  end if;
  insert into muster_private.rate_buckets (bucket, shard, tokens, filled_at)
  values (take_of_shard.bucket, take_of_shard.shard, take_of_shard.burst - take_of_shard.cost, take_of_shard.at)
  on conflict do nothing;
  return found;
end
$$;
comment on function muster_private.take_of_shard(text, integer, double precision, double precision, double precision, timestamptz) is
  'Takes from a shard whose lock the caller has; false when too little is in it';

-- Asked only before a wait, as it looks at the locks of everybody.
create function muster_private.holds_shard(lock integer) returns boolean
language plpgsql set search_path = ''
as $$
begin
  return exists (
    select from pg_catalog.pg_locks l
    where l.pid = pg_backend_pid() and l.locktype = 'advisory' and l.granted and l.objsubid = 2
      and l.classid::bigint = holds_shard.lock::bigint & 4294967295);
end
$$;
comment on function muster_private.holds_shard(integer) is 'Whether this transaction has taken from the bucket before';

-- Rate and burst are split over the shards. A request takes from the shard of its connection, else from the fullest that
-- nobody has in hand, and keeps it to its commit: so it waits only when as many requests of the same caller are in
-- progress as there are shards, and is refused only when nothing is left. It waits with no lock of this kind in hand, and
-- callers take from their bucket before any other lock: such a wait is in nobody's way. Who takes a second time, when it
-- may have locked rows meanwhile, holds a shard from the first and so does not wait.
create function muster_private.take(bucket text, rate double precision, burst double precision, cost double precision default 1)
returns double precision
language plpgsql set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_shards constant integer := greatest(least(8, floor(take.burst / 4)::integer), 1);
  v_rate constant double precision := take.rate / v_shards;
  v_burst constant double precision := take.burst / v_shards;
  v_cost constant double precision := least(take.cost, v_burst);
  v_lock constant integer := hashtext('muster.rate:' || take.bucket);
  v_home constant integer := pg_backend_pid() % v_shards;
  v_busy integer;
  v_holds boolean := false;
  v_shard record;
  v_wait double precision;
begin
  if coalesce((
      select b.tokens + v_rate * greatest(extract(epoch from v_now - b.filled_at), 0) >= v_cost
      from muster_private.rate_buckets b where b.bucket = take.bucket and b.shard = v_home), true)
    and pg_try_advisory_xact_lock(v_lock, v_home) then
    if muster_private.take_of_shard(take.bucket, v_home, v_rate, v_burst, v_cost, v_now) then
      return 0;
    end if;
    v_holds := true;
  end if;
  for v_shard in
    select s.n, least(v_burst, coalesce(b.tokens + v_rate * greatest(extract(epoch from v_now - b.filled_at), 0), v_burst)) as tokens
    from generate_series(0, v_shards - 1) s (n)
    left join muster_private.rate_buckets b on b.bucket = take.bucket and b.shard = s.n
    order by 2 desc, (s.n - v_home + v_shards) % v_shards
  loop
    if v_shard.tokens < v_cost then
      v_wait := coalesce(v_wait, (v_cost - v_shard.tokens) / v_rate);
    elsif not pg_try_advisory_xact_lock(v_lock, v_shard.n) then
      v_busy := coalesce(v_busy, v_shard.n);
    elsif muster_private.take_of_shard(take.bucket, v_shard.n, v_rate, v_burst, v_cost, v_now) then
      return 0;
    else
      v_holds := true;
    end if;
  end loop;
  v_holds := v_holds or (v_busy is not null and muster_private.holds_shard(v_lock));
  if v_busy is not null and not v_holds then
    perform pg_advisory_xact_lock(v_lock, v_busy);
    if muster_private.take_of_shard(take.bucket, v_busy, v_rate, v_burst, v_cost, v_now) then
      return 0;
    end if;
  end if;
  return coalesce(v_wait, v_cost / v_rate);
end
$$;
comment on function muster_private.take(text, double precision, double precision, double precision) is
  'Takes from a token bucket; answers 0, or when there is too little, in how many seconds there is enough';

create function muster_private.refuse(code text, message text, hint text, retry_after_seconds double precision) returns void
language plpgsql set search_path = ''
as $$
begin
  raise exception using errcode = refuse.code, message = refuse.message, hint = refuse.hint,
    detail = jsonb_build_object('retry_after_seconds', greatest(ceil(refuse.retry_after_seconds), 1));
end
$$;
comment on function muster_private.refuse(text, text, text, double precision) is
  'Raises an error that is over by itself: its detail says after how many whole seconds';

create function muster_private.charge(bucket text, rate double precision, burst double precision, who text, cost double precision default 1)
returns void
language plpgsql set search_path = ''
as $$
declare
  v_wait constant double precision := muster_private.take(charge.bucket, charge.rate, charge.burst, charge.cost);
begin
  if v_wait > 0 then
    perform muster_private.refuse('MU018',
      format('Cannot serve %s now: it may make %s requests a second, and %s at once', charge.who, charge.rate, charge.burst),
      'Wait as long as told and send the request again; send jobs in batches of up to 1000', v_wait);
  end if;
end
$$;
comment on function muster_private.charge(text, double precision, double precision, text, double precision) is
  'Counts a request against a bucket, or refuses it as rate_limited';

-- The secret key stands for the project itself and is not counted. A caller that a function resolves again for the same
-- request, as a long poll does, is counted once.
create function muster_private.charge_caller(caller jsonb, tenant_id uuid, actor jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
  v_limits muster.tenant_limits;
begin
  if charge_caller.caller ->> 'kind' = 'service' or charge_caller.caller ->> 'is_repeat' = 'true' then
    return;
  end if;
  v_limits := muster_private.limits_of(charge_caller.tenant_id);
  if charge_caller.caller ->> 'kind' = 'api_key' then
    perform muster_private.charge('api_key:' || (charge_caller.actor ->> 'id'), v_limits.api_key_rate, v_limits.api_key_burst,
      'this API key');
  else
    perform muster_private.charge('member:' || coalesce(charge_caller.tenant_id::text, '') || ':' || (charge_caller.actor ->> 'id'),
      v_limits.member_rate, v_limits.member_burst, 'this user');
  end if;
end
$$;
comment on function muster_private.charge_caller(jsonb, uuid, jsonb) is 'Counts a request of an API key or a member';

create function muster_private.charge_worker(worker_id uuid, tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
declare
  v_limits constant muster.tenant_limits := muster_private.limits_of(charge_worker.tenant_id);
begin
  perform muster_private.charge('worker:' || charge_worker.worker_id, v_limits.worker_rate, v_limits.worker_burst, 'this worker');
end
$$;
comment on function muster_private.charge_worker(uuid, uuid) is 'Counts a call of a worker';

-- As many calls more as it sends times 64 KiB: what is stored for a worker is bounded by its rate as well.
create function muster_private.charge_bytes(worker_id uuid, tenant_id uuid, bytes integer) returns void
language plpgsql set search_path = ''
as $$
declare
  v_cost constant integer := charge_bytes.bytes / 65536;
  v_limits muster.tenant_limits;
begin
  if v_cost > 0 then
    v_limits := muster_private.limits_of(charge_bytes.tenant_id);
    perform muster_private.charge('worker:' || charge_bytes.worker_id, v_limits.worker_rate, v_limits.worker_burst, 'this worker', v_cost);
  end if;
end
$$;
comment on function muster_private.charge_bytes(uuid, uuid, integer) is 'Counts what a worker sends to be stored, beyond its first 64 KiB';

create function muster_private.charge_enrollment_token(token_id uuid, tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
declare
  v_limits constant muster.tenant_limits := muster_private.limits_of(charge_enrollment_token.tenant_id);
begin
  perform muster_private.charge('enrollment_token:' || charge_enrollment_token.token_id,
    v_limits.enrollment_token_rate, v_limits.enrollment_token_burst, 'this enrollment token');
end
$$;
comment on function muster_private.charge_enrollment_token(uuid, uuid) is 'Counts an enrollment by a token';

-- Whoever has one address of version 6 has the other 2^64 of its network too. Requests whose address is not known share
-- ten times as much.
create function muster.charge_address(address text, purpose text) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_address inet;
  v_rate double precision;
  v_burst double precision;
begin
  begin
    v_address := left(charge_address.address, 100)::inet;
  exception when invalid_text_representation then
    v_address := null;
  end;
  case charge_address.purpose
    when 'enroll' then
      v_rate := 20;
      v_burst := 2000;
    when 'refused' then
      v_rate := 20;
      v_burst := 1000;
    else
      perform muster_private.fail('MU004', 'Cannot count the address: the purposes are enroll and refused');
  end case;
  if v_address is null then
    perform muster_private.charge(charge_address.purpose || ':unknown', 10 * v_rate, 10 * v_burst, 'requests without a known address');
  else
    perform muster_private.charge(charge_address.purpose || ':'
        || case family(v_address) when 6 then network(set_masklen(v_address, 64))::text else host(v_address) end,
      v_rate, v_burst, 'this address');
  end if;
end
$$;
comment on function muster.charge_address(text, text) is
  'Counts a request against its client''s address: one to enroll, or one whose caller is unknown';
revoke execute on function muster.charge_address(text, text) from public;
grant execute on function muster.charge_address(text, text) to service_role;

-- A transaction that fails takes back what it was charged, so refusals are counted by a call of their own.
create function muster.charge_refusal(caller jsonb, address text) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_key record;
begin
  if charge_refusal.caller ->> 'kind' = 'api_key' then
    select * into v_key from muster.api_keys k where k.hash = charge_refusal.caller ->> 'hash';
    if found and coalesce(v_key.revoked_at > v_now, true) and coalesce(v_key.expires_at > v_now, true) then
      perform muster_private.charge_caller(charge_refusal.caller, v_key.tenant_id, jsonb_build_object('id', v_key.id));
      return;
    end if;
  elsif charge_refusal.caller ->> 'kind' = 'member' then
    -- The user was signed in, whether or not it is a member of the tenant it named.
    perform muster_private.charge_caller(charge_refusal.caller, null, jsonb_build_object('id', charge_refusal.caller ->> 'user_id'));
    return;
  elsif charge_refusal.caller ->> 'kind' = 'service' then
    return;
  end if;
  perform muster.charge_address(charge_refusal.address, 'refused');
end
$$;
comment on function muster.charge_refusal(jsonb, text) is
  'Counts a request that was refused, against its caller or, where that is nobody, against the address';
revoke execute on function muster.charge_refusal(jsonb, text) from public;
grant execute on function muster.charge_refusal(jsonb, text) to service_role;

-- Full buckets are as good as none. Read as a whole, once in an hour: an index on the time would be written by each request.
-- As many at a time as Postgres has room for in its table of locks, of which each takes one.
create function muster_private.forget_full_buckets(at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_count integer;
begin
  with full_ones as materialized (
    select b.bucket, b.shard from muster_private.rate_buckets b
    where b.filled_at < forget_full_buckets.at - interval '1 hour'
    limit v_most
  ), locked as materialized (
    select f.bucket, f.shard from full_ones f
    where pg_try_advisory_xact_lock(hashtext('muster.rate:' || f.bucket), f.shard)
  ), forgotten as (
    delete from muster_private.rate_buckets b using locked l
    where b.bucket = l.bucket and b.shard = l.shard and b.filled_at < forget_full_buckets.at - interval '1 hour'
    returning 1
  )
  select count(*) into v_count from forgotten;
  return v_count;
end
$$;
comment on function muster_private.forget_full_buckets(timestamptz) is 'Deletes buckets that nobody took from for an hour';

revoke execute on all functions in schema muster_private from public;
