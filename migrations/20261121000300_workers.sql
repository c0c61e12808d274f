-- Machines that do the work, and how recently each was heard.

create type muster.worker_status as enum ('online', 'draining', 'offline', 'revoked');

-- What a job takes of a worker beside its slots: amounts by name. Numbers of JSON are decimals, so sums come out even.
create function muster_private.add_resources(held jsonb, resources jsonb, times integer) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if add_resources.resources = '{}' or add_resources.times = 0 then
    return add_resources.held;
  end if;
  return (
    select coalesce(jsonb_object_agg(s.name, s.amount), '{}')
    from (
      select a.name, sum(a.amount) as amount
      from (
        select h.key as name, (h.value #>> '{}')::numeric as amount from jsonb_each(add_resources.held) h
        union all
        select r.key, (r.value #>> '{}')::numeric * add_resources.times from jsonb_each(add_resources.resources) r
      ) a
      group by a.name
    ) s
    where s.amount <> 0
  );
end
$$;
comment on function muster_private.add_resources(jsonb, jsonb, integer) is
  'What is held once so many more take these resources; a negative number gives them back';

create function muster_private.are_within(held jsonb, resources jsonb) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return not exists (
    select from jsonb_each(are_within.held) h
    where (h.value #>> '{}')::numeric not between 0 and coalesce((are_within.resources ->> h.key)::numeric, 0));
end
$$;
comment on function muster_private.are_within(jsonb, jsonb) is 'Whether no resource is held beyond what there is of it';

create table muster.worker_devices (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  enrollment_token_id uuid,
  name text not null,
  device_fingerprint text not null,
  public_jwk jsonb not null,
  allowed_capabilities text[],
  granted_labels jsonb not null default '{}',
  ephemeral boolean not null default false,
  forget_at timestamptz,
  forgotten_at timestamptz,
  capabilities text[] not null default '{}',
  labels jsonb not null default '{}',
  slots integer not null default 1,
  held_count integer not null default 0,
  resources jsonb not null default '{}',
  held_resources jsonb not null default '{}',
  measured_capabilities text[] not null default '{}',
  status muster.worker_status not null default 'offline',
  listening boolean not null default false,
  deaf boolean not null default false,
  claims boolean not null default false,
  drain_requested_at timestamptz,
  cordoned_at timestamptz,
  session_id uuid,
  version text,
  last_assigned_at timestamptz,
  created_at timestamptz not null default muster_private.now(),
  updated_at timestamptz not null default muster_private.now(),
  unique (tenant_id, id),
  unique (tenant_id, device_fingerprint),
  foreign key (tenant_id, enrollment_token_id) references muster.enrollment_tokens (tenant_id, id),
  constraint slots_are_1_to_256 check (slots between 1 and 256),
  constraint workers_hold_at_most_their_slots check (held_count between 0 and slots),
  constraint workers_hold_at_most_their_resources
    check (held_resources = '{}' or muster_private.are_within(held_resources, resources)),
  constraint capabilities_are_few check (cardinality(capabilities) <= 100),
  constraint only_ephemeral_workers_are_forgotten check (ephemeral or num_nonnulls(forget_at, forgotten_at) = 0),
  constraint forgotten_workers_are_shut_out check (forgotten_at is null or status = 'revoked' and forget_at is null)
) with (fillfactor = 50);
comment on table muster.worker_devices is
  'Enrolled machines. held_count tallies the slots of the jobs assigned to or running on a worker; allowed_capabilities null allows any';
comment on column muster.worker_devices.resources is 'What it has of each named resource; held_resources is what its jobs use of it';
comment on column muster.worker_devices.cordoned_at is 'Since then it is given nothing new, and stays online';
comment on column muster.worker_devices.measured_capabilities is 'Those of its capabilities that its own probes have found';
comment on column muster.worker_devices.forget_at is 'An ephemeral worker that is not back by then is forgotten; null while it is there';
comment on column muster.worker_devices.forgotten_at is
  'Since then the row is only what the history of its jobs refers to: its key is erased, and no list shows it';
comment on column muster.worker_devices.listening is 'The worker says its Realtime channel is joined';
comment on column muster.worker_devices.claims is 'It is pushed nothing, and claims when the workers of its tenant are called';
comment on column muster.worker_devices.deaf is 'It beats, but did not echo the nonce last sent on its channel: it is served by polling';

-- No index names what changes with each job, so that the rows, which are wide, are updated within their page.
create index worker_devices_of_token_idx on muster.worker_devices (tenant_id, enrollment_token_id);
create index worker_devices_to_forget_idx on muster.worker_devices (forget_at) where forget_at is not null;

create table muster.worker_heartbeats (
  worker_id uuid primary key,
  tenant_id uuid not null,
  last_seen_at timestamptz not null,
  deadline_at timestamptz not null,
  busy_interval interval not null,
  metrics jsonb not null default '{}',
  wake_nonce text,
  wake_sent_at timestamptz,
  wake_heard_at timestamptz,
  foreign key (worker_id) references muster.worker_devices (id) on delete cascade
) with (fillfactor = 50);
comment on table muster.worker_heartbeats is
  'One narrow row a worker, written by each heartbeat; past deadline_at the worker counts as lost';
comment on column muster.worker_heartbeats.busy_interval is 'What the worker was told last: how soon it beats once it has a job';
create index worker_heartbeats_overdue_idx on muster.worker_heartbeats (deadline_at);

create table muster_private.free_workers (
  worker_id uuid primary key references muster.worker_devices on delete cascade,
  tenant_id uuid not null,
  load double precision not null,
  last_assigned_at timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  vacuum_truncate = off);
comment on table muster_private.free_workers is
  'Workers that jobs may be pushed to, in the order in which they are given some: the least loaded first; kept by a trigger';
create index free_workers_next_idx on muster_private.free_workers (tenant_id, load, last_assigned_at nulls first, worker_id);
alter table muster_private.free_workers enable row level security;
create policy nobody on muster_private.free_workers as restrictive for all to public using (false);

create function muster_private.tg_worker_devices__keep_free_workers() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if new.status = 'online' and new.cordoned_at is null and new.listening and not new.deaf and new.held_count < new.slots then
    insert into muster_private.free_workers as f (worker_id, tenant_id, load, last_assigned_at)
    values (new.id, new.tenant_id, new.held_count::real / new.slots, new.last_assigned_at)
    on conflict (worker_id) do update set load = excluded.load, last_assigned_at = excluded.last_assigned_at
      where (f.load, f.last_assigned_at) is distinct from (excluded.load, excluded.last_assigned_at);
  else
    delete from muster_private.free_workers f where f.worker_id = new.id;
  end if;
  return null;
end
$$;
comment on function muster_private.tg_worker_devices__keep_free_workers() is 'Keeps the workers that jobs may be pushed to';
create trigger keep_free_workers_of_new after insert on muster.worker_devices
  for each row when (new.listening) execute function muster_private.tg_worker_devices__keep_free_workers();
create trigger keep_free_workers
  after update of status, cordoned_at, listening, deaf, held_count, slots, last_assigned_at on muster.worker_devices
  for each row when (new.listening or old.listening)
  execute function muster_private.tg_worker_devices__keep_free_workers();

create table muster_private.used_proofs (
  id text primary key,
  expires_at timestamptz not null
);
comment on table muster_private.used_proofs is 'Device proofs seen, kept until they would be refused as expired anyway';
create index used_proofs_expired_idx on muster_private.used_proofs (expires_at);

create table muster_private.scheduler_state (
  id boolean primary key default true check (id),
  last_tick_at timestamptz not null default '-infinity',
  was_late boolean not null default false,
  beating_count integer not null default 0,
  busy_count integer not null default 0,
  buckets_swept_at timestamptz not null default '-infinity'
);
comment on table muster_private.scheduler_state is
  'When the last tick ran, whether that was late, how many workers it found beating, how many of them with a job; and when rate_buckets was swept';
insert into muster_private.scheduler_state default values;

-- The lengths of time that scheduling goes by. One place, so that a test or an operator can read them together.
create function muster_private.timing(name text) returns interval
language plpgsql immutable set search_path = ''
as $$
begin
  return case timing.name
    when 'busy_heartbeat' then interval '5 seconds'
    when 'idle_heartbeat' then interval '30 seconds'
    when 'acknowledge' then interval '5 seconds'
    -- Longer than a worker waits for an answer, and for the next.
    when 'forget' then interval '30 seconds'
    -- An ephemeral worker that said goodbye may still start again at once; a silent one may have lost its network.
    when 'ephemeral_goodbye' then interval '30 seconds'
    when 'ephemeral_silence' then interval '10 minutes'
    when 'poll' then interval '750 milliseconds'
    when 'wake_check' then interval '60 seconds'
    when 'tick_late' then interval '10 seconds'
  end;
end
$$;
comment on function muster_private.timing(text) is
  'The lengths of time scheduling goes by: heartbeats, acknowledging, polling, forgetting, when a tick is late';

-- Beats so far apart that all workers together send 160 a second at most, counted by the last tick. Who needs less than
-- half of that leaves the rest to the others: few busy workers in a large idle fleet go on beating every 5 s.
create function muster_private.heartbeat_interval(busy boolean) returns interval
language plpgsql stable set search_path = ''
as $$
declare
  v_rate constant double precision := 160;
  v_busy_seconds constant double precision := extract(epoch from muster_private.timing('busy_heartbeat'));
  v_idle_seconds constant double precision := extract(epoch from muster_private.timing('idle_heartbeat'));
  v_busy_count double precision;
  v_idle_count double precision;
begin
  select s.busy_count, s.beating_count - s.busy_count into v_busy_count, v_idle_count
  from muster_private.scheduler_state s;
  return make_interval(secs => case when heartbeat_interval.busy
    then greatest(v_busy_seconds, v_busy_count / (v_rate - least(v_idle_count / v_idle_seconds, v_rate / 2)))
    else greatest(v_idle_seconds, v_idle_count / (v_rate - least(v_busy_count / v_busy_seconds, v_rate / 2))) end);
end
$$;
comment on function muster_private.heartbeat_interval(boolean) is
  'How long a worker may wait until its next heartbeat, 5 s busy and 30 s idle; grows with the fleet';

-- Up to a fifth sooner: beats that came together, as after a restart, drift apart. With it 160 beats a second become 178.
create function muster_private.spread_seconds(of interval) returns numeric
language plpgsql volatile set search_path = ''
as $$
begin
  return round((extract(epoch from spread_seconds.of) * (0.8 + 0.2 * random()))::numeric, 3);
end
$$;
comment on function muster_private.spread_seconds(interval) is 'An interval in seconds, shortened at random by up to a fifth';

-- Each wake is a message, and the beat that echoes it comes early: 20 a second for the whole fleet.
create function muster_private.wake_interval() returns interval
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select greatest(muster_private.timing('wake_check'), s.beating_count * interval '50 milliseconds')
    from muster_private.scheduler_state s
  );
end
$$;
comment on function muster_private.wake_interval() is 'How often a listening worker is sent a nonce, 60 s; grows with the fleet';

create function muster_private.keep_lease(worker_id uuid, tenant_id uuid, busy boolean, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_busy_interval constant interval := muster_private.heartbeat_interval(true);
begin
  insert into muster.worker_heartbeats as h (worker_id, tenant_id, last_seen_at, deadline_at, busy_interval)
  values (keep_lease.worker_id, keep_lease.tenant_id, keep_lease.at,
    keep_lease.at + 3 * case when keep_lease.busy then v_busy_interval else muster_private.heartbeat_interval(false) end,
    v_busy_interval)
  on conflict on constraint worker_heartbeats_pkey do update
  set last_seen_at = excluded.last_seen_at, deadline_at = excluded.deadline_at, busy_interval = excluded.busy_interval;
end
$$;
comment on function muster_private.keep_lease(uuid, uuid, boolean, timestamptz) is
  'Notes that a worker was heard and is told the present intervals; three of them of silence lose it';

-- The answer tells no interval, so the worker goes by the one it was told last, whatever the fleet has done since. Within
-- half a second nothing is written: a worker that asks without a pause would write little else.
create function muster_private.keep_busy_lease(worker_id uuid, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  update muster.worker_heartbeats h
  set last_seen_at = keep_busy_lease.at, deadline_at = keep_busy_lease.at + 3 * h.busy_interval
  where h.worker_id = keep_busy_lease.worker_id
    and h.deadline_at not between keep_busy_lease.at + 3 * h.busy_interval - interval '500 milliseconds'
      and keep_busy_lease.at + 3 * h.busy_interval;
end
$$;
comment on function muster_private.keep_busy_lease(uuid, timestamptz) is
  'Notes that a worker was given jobs: it beats within the busy interval it was told last';

-- The worker whose token makes the call. The token names a device key: after a key change the old token is void.
create function muster_private.current_worker() returns muster.worker_devices
language plpgsql set search_path = ''
as $$
declare
  v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_worker muster.worker_devices;
begin
  if v_claims ->> 'role' is distinct from 'muster_worker' then
    perform muster_private.fail('MU001', 'Cannot tell which worker is calling: no worker token was sent');
  end if;
  select * into v_worker from muster.worker_devices w
  where w.id = muster_private.to_uuid(v_claims ->> 'sub', 'worker id')
    and w.tenant_id = muster_private.to_uuid(v_claims ->> 'tenant_id', 'tenant id')
    and w.device_fingerprint = v_claims -> 'cnf' ->> 'jkt';
  if not found then
    perform muster_private.fail('MU001', 'Cannot accept the worker token: it names no enrolled device', 'Enroll the worker again');
  end if;
  if v_worker.status = 'revoked' then
    perform muster_private.fail('MU014', format('Cannot serve worker %I: it was revoked', v_worker.name),
      'Ask an operator for a new enrollment token, and enroll with a new identity');
  end if;
  perform muster_private.charge_worker(v_worker.id, v_worker.tenant_id);
  return v_worker;
end
$$;
comment on function muster_private.current_worker() is 'The worker whose token makes this call; raises for unknown and revoked ones';

revoke execute on all functions in schema muster_private from public;
