-- How much a tenant has of what is limited, at a cost that does not grow with it.

create table muster_private.waiting_counts (
  tenant_id uuid primary key references muster.tenants on delete cascade,
  waiting_count integer not null,
  position bigint not null,
  counted_at timestamptz not null
);
comment on table muster_private.waiting_counts is
  'How many jobs of a tenant waited when they were counted last, and where the order of all jobs had got to by then';

create table muster_private.artifact_usage (
  tenant_id uuid not null references muster.tenants on delete cascade,
  shard smallint not null,
  bytes bigint not null,
  primary key (tenant_id, shard)
);
comment on table muster_private.artifact_usage is
  'Bytes of a tenant''s artifacts, rejected ones left out: the sum of its shards, each written by one transaction at a time';

alter table muster_private.waiting_counts enable row level security;
create policy nobody on muster_private.waiting_counts as restrictive for all to public using (false);
alter table muster_private.artifact_usage enable row level security;
create policy nobody on muster_private.artifact_usage as restrictive for all to public using (false);

create index artifacts_pending_idx on muster.artifacts (created_at) where status = 'pending';

-- Each part asks for the order of its index, so that it reads no more of it than it counts.
create function muster_private.count_waiting(tenant_id uuid, most integer) returns integer
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select count(*) from (
      (select from muster_private.ready_jobs r where r.tenant_id = count_waiting.tenant_id and r.worker_id is null
        order by r.class_id, r.priority desc, r.rank, r.position limit count_waiting.most)
      union all
      (select from muster_private.ready_jobs r where r.tenant_id = count_waiting.tenant_id and r.worker_id is not null
        order by r.worker_id, r.priority desc, r.rank, r.position limit count_waiting.most)
      union all
      (select from muster_private.scheduled_jobs s where s.tenant_id = count_waiting.tenant_id
        order by s.tenant_id limit count_waiting.most)
      union all
      (select from muster_private.blocked_jobs b where b.tenant_id = count_waiting.tenant_id
        order by b.waiting_for, b.key, b.priority desc, b.rank, b.position limit count_waiting.most)
      limit count_waiting.most
    ) w);
end
$$;
comment on function muster_private.count_waiting(uuid, integer) is
  'How many jobs of a tenant are scheduled, blocked or queued; counts no further than told';

-- Who cannot note the count at once leaves it: somebody else is noting one.
create function muster_private.recount_waiting(tenant_id uuid, most integer, adding integer, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_position bigint;
  v_count integer;
begin
  -- Before the count: what is handed in meanwhile counts twice rather than not at all.
  select s.last_value into v_position from muster.job_positions s;
  v_count := muster_private.count_waiting(recount_waiting.tenant_id, recount_waiting.most);
  if pg_try_advisory_xact_lock(hashtextextended('muster.waiting:' || recount_waiting.tenant_id, 0)) then
    insert into muster_private.waiting_counts as w (tenant_id, waiting_count, position, counted_at)
    values (recount_waiting.tenant_id, v_count + recount_waiting.adding, v_position, recount_waiting.at)
    on conflict on constraint waiting_counts_pkey do update
    set waiting_count = excluded.waiting_count, position = excluded.position, counted_at = excluded.counted_at;
  end if;
  return v_count;
end
$$;
comment on function muster_private.recount_waiting(uuid, integer, integer, timestamptz) is
  'Counts the waiting jobs of a tenant, and notes them with those that the caller is about to add';

-- A tenant cannot have more waiting than it had at the last count and all have handed in since, which the order of jobs
-- tells for nothing. So it is counted again only when that sum comes near the quota: seldom for a short queue, however
-- much flows through, and for as many rows as the queue is long. A count that found a long queue full stands for a while
-- (10 s for a million): what left it meanwhile is not seen. The last hundredth is not counted again and again: so much,
-- and what submissions in progress bring, may be above the quota.
create function muster_private.check_job_quota(tenant_id uuid, items jsonb, has_positions boolean default true) returns void
language plpgsql set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_quota constant integer := (muster_private.limits_of(check_job_quota.tenant_id)).waiting_jobs;
  v_new integer := jsonb_array_length(check_job_quota.items);
  v_last muster_private.waiting_counts;
  v_estimate bigint;
  v_count integer;
begin
  select * into v_last from muster_private.waiting_counts w where w.tenant_id = check_job_quota.tenant_id;
  select v_last.waiting_count + s.last_value - v_last.position + case when check_job_quota.has_positions then 0 else v_new end
  into v_estimate from muster.job_positions s;
  if v_estimate <= v_quota / 10 * 9
    or (v_last.waiting_count >= v_quota / 10 * 9 and v_last.waiting_count < v_quota and v_estimate <= v_quota + v_quota / 100) then
    return;
  end if;
  select count(*) into v_new from jsonb_array_elements(check_job_quota.items) i
  where not exists (
    select from muster.jobs j
    where j.tenant_id = check_job_quota.tenant_id and j.idempotency_key = i ->> 'idempotency_key');
  if v_new = 0 then
    return;
  end if;
  if v_quota >= 10000 and v_last.waiting_count + v_new > v_quota
    and v_last.counted_at > v_now - make_interval(secs => v_quota / 100000.0) then
    v_count := v_last.waiting_count;
  else
    v_count := muster_private.recount_waiting(check_job_quota.tenant_id, v_quota + 1, v_new, v_now);
  end if;
  if v_count + v_new > v_quota then
    perform muster_private.refuse('MU019', format('Cannot store %s jobs: with those that wait they would be more than %s',
      v_new, v_quota), 'Send them again once workers have taken up others, or ask for a larger quota', greatest(v_quota / 100000, 5));
  end if;
end
$$;
comment on function muster_private.check_job_quota(uuid, jsonb, boolean) is
  'Refuses jobs with which a tenant would have more waiting than it may; jobs that their idempotency key knows are not new';

create function muster_private.check_class_quota(tenant_id uuid) returns void
language plpgsql set search_path = ''
as $$
declare
  v_quota constant integer := (muster_private.limits_of(check_class_quota.tenant_id)).job_classes;
begin
  if (select count(*) from muster.job_classes c where c.tenant_id = check_class_quota.tenant_id) >= v_quota then
    perform muster_private.refuse('MU019', format('Cannot ask for another set of capabilities and labels: the tenant has used %s', v_quota),
      'Ask for what many jobs need alike, and put what differs into the payload', 3600);
  end if;
end
$$;
comment on function muster_private.check_class_quota(uuid) is
  'Refuses one more distinct set of requirements than a tenant may have, as each is matched with all its workers';

-- Most tenants are far from their quota, with the revoked ones too.
create function muster_private.tg_worker_devices__check_quota() returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_quota constant integer := (muster_private.limits_of(new.tenant_id)).workers;
begin
  if (select count(*) from (select from muster.worker_devices w where w.tenant_id = new.tenant_id limit v_quota) w) >= v_quota
    and (select count(*) from muster.worker_devices w where w.tenant_id = new.tenant_id and w.status <> 'revoked') >= v_quota then
    perform muster_private.refuse('MU019', format('Cannot enroll another worker: the tenant may have %s', v_quota),
      'Revoke workers that are gone, or ask for a larger quota', 60);
  end if;
  return new;
end
$$;
comment on function muster_private.tg_worker_devices__check_quota() is 'Refuses one more worker than a tenant may have';
create trigger check_quota before insert on muster.worker_devices
  for each row execute function muster_private.tg_worker_devices__check_quota();

-- A shard is taken by trying, and there are always more: nobody waits here.
create function muster_private.tg_artifacts__count_bytes() returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_tenant_id constant uuid := case when tg_op = 'DELETE' then old.tenant_id else new.tenant_id end;
  v_change bigint := 0;
  v_quota bigint;
  v_shard integer := pg_backend_pid() % 8;
begin
  if tg_op <> 'DELETE' and new.status <> 'rejected' then
    v_change := v_change + new.size_bytes;
  end if;
  if tg_op <> 'INSERT' and old.status <> 'rejected' then
    v_change := v_change - old.size_bytes;
  end if;
  -- With the tenant itself goes all that was counted for it.
  if v_change = 0 or not exists (select from muster.tenants t where t.id = v_tenant_id) then
    return null;
  end if;
  if v_change > 0 then
    v_quota := (muster_private.limits_of(v_tenant_id)).artifact_bytes;
    if (select coalesce(sum(u.bytes), 0) from muster_private.artifact_usage u where u.tenant_id = v_tenant_id) + v_change > v_quota then
      perform muster_private.refuse('MU019', format('Cannot announce a file of %s bytes: the tenant may keep %s bytes in all', v_change, v_quota),
        'Ask for a larger quota; a file that is not uploaded within a day frees what it took', 60);
    end if;
  end if;
  while not pg_try_advisory_xact_lock(hashtext('muster.artifacts:' || v_tenant_id), v_shard) loop
    v_shard := v_shard + 1;
  end loop;
  insert into muster_private.artifact_usage as u (tenant_id, shard, bytes) values (v_tenant_id, v_shard, v_change)
  on conflict on constraint artifact_usage_pkey do update set bytes = u.bytes + excluded.bytes;
  return null;
end
$$;
comment on function muster_private.tg_artifacts__count_bytes() is
  'Keeps count of the bytes of a tenant''s artifacts and refuses more than it may have';
create trigger count_bytes after insert or delete or update of status, size_bytes on muster.artifacts
  for each row execute function muster_private.tg_artifacts__count_bytes();

create function muster_private.reject_forgotten_artifacts(at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_count integer;
begin
  with forgotten as (
    select a.id from muster.artifacts a
    where a.status = 'pending' and a.created_at < reject_forgotten_artifacts.at - interval '1 day'
    order by a.created_at limit 500
    for no key update skip locked
  ), rejected as (
    update muster.artifacts a
    set status = 'rejected', error = 'The file was not uploaded within a day', finished_at = reject_forgotten_artifacts.at
    from forgotten f where a.id = f.id
    returning 1
  )
  select count(*) into v_count from rejected;
  return v_count;
end
$$;
comment on function muster_private.reject_forgotten_artifacts(timestamptz) is
  'Gives up files that were announced a day ago and never finished, so that their bytes count no more';

-- Counts long queues near their quota again, so that a submission that is refused need not: what it counts is undone.
create function muster_private.sweep_limits(at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_tenant record;
begin
  perform muster_private.reject_forgotten_artifacts(sweep_limits.at);
  for v_tenant in
    select w.tenant_id, q.waiting_jobs as quota
    from muster_private.waiting_counts w
    cross join lateral (select (muster_private.limits_of(w.tenant_id)).waiting_jobs offset 0) q
    where w.waiting_count >= 9000 and w.waiting_count >= q.waiting_jobs / 10 * 9
      and w.counted_at <= sweep_limits.at - make_interval(secs => q.waiting_jobs / 100000.0)
    order by w.tenant_id
  loop
    perform muster_private.recount_waiting(v_tenant.tenant_id, v_tenant.quota + 1, 0, sweep_limits.at);
  end loop;
  if exists (
    select from muster_private.scheduler_state s where s.buckets_swept_at < sweep_limits.at - interval '1 hour'
  ) then
    -- None left, or none that nobody has in hand.
    if muster_private.forget_full_buckets(sweep_limits.at) = 0 then
      update muster_private.scheduler_state s set buckets_swept_at = sweep_limits.at where s.id;
    end if;
  end if;
end
$$;
comment on function muster_private.sweep_limits(timestamptz) is
  'What the tick does for the limits: forgotten files, long queues near their quota, buckets that are full again';

create function muster_private.limits_document(tenant_id uuid) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_limits constant jsonb := to_jsonb(muster_private.limits_of(limits_document.tenant_id)) - '{tenant_id,updated_at}'::text[];
  v_usual constant jsonb := to_jsonb(muster_private.usual_limits());
begin
  return jsonb_build_object(
    'limits', v_limits,
    'changed', coalesce((
      select jsonb_agg(l.key order by l.key) from jsonb_each(v_limits) l where l.value is distinct from v_usual -> l.key), '[]'),
    'used', jsonb_build_object(
      'waiting_jobs', muster_private.count_waiting(limits_document.tenant_id, 10000),
      'workers', (
        select count(*) from muster.worker_devices w where w.tenant_id = limits_document.tenant_id and w.status <> 'revoked'),
      'artifact_bytes', (
        select coalesce(sum(u.bytes), 0) from muster_private.artifact_usage u where u.tenant_id = limits_document.tenant_id),
      'job_classes', (select count(*) from muster.job_classes c where c.tenant_id = limits_document.tenant_id)));
end
$$;
comment on function muster_private.limits_document(uuid) is 'A tenant''s limits and how much of them it uses, as its callers see them';

create function muster.get_limits(caller jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(get_limits.caller, 'read');
begin
  return muster_private.limits_document(v_caller.tenant_id);
end
$$;
comment on function muster.get_limits(jsonb) is 'The limits of the caller''s tenant, and how much of them it uses';
revoke execute on function muster.get_limits(jsonb) from public;
grant execute on function muster.get_limits(jsonb) to service_role;

create function muster.set_limits(caller jsonb, limits jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(set_limits.caller, 'administer');
  v_row muster.tenant_limits;
  v_name text;
begin
  if v_caller.kind <> 'service' then
    perform muster_private.fail('MU002', 'Cannot change limits: they are the project''s to set, with its secret key');
  end if;
  if jsonb_typeof(set_limits.limits) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot change limits: they must be an object');
  end if;
  for v_name in select jsonb_object_keys(set_limits.limits) loop
    if to_jsonb(muster_private.usual_limits()) - '{tenant_id,updated_at}'::text[] -> v_name is null then
      perform muster_private.fail('MU004', format('Cannot change limit %s: there is no such limit', left(v_name, 100)));
    end if;
    perform muster_private.check_number(set_limits.limits, v_name,
      case when v_name ~ '_(rate|burst|days)$' then 1 else 0 end,
      case when v_name ~ '_(rate|burst)$' then 100000 when v_name = 'retention_days' then 3650
        when v_name = 'artifact_bytes' then 9007199254740991 else 2000000000 end);
  end loop;
  insert into muster.tenant_limits (tenant_id) values (v_caller.tenant_id) on conflict do nothing;
  select * into strict v_row from muster.tenant_limits l where l.tenant_id = v_caller.tenant_id for update;
  v_row := jsonb_populate_record(v_row, set_limits.limits);
  update muster.tenant_limits l
  set (waiting_jobs, workers, artifact_bytes, job_classes, api_key_rate, api_key_burst, member_rate, member_burst,
      worker_rate, worker_burst, enrollment_token_rate, enrollment_token_burst, retention_days, updated_at)
    = (v_row.waiting_jobs, v_row.workers, v_row.artifact_bytes, v_row.job_classes, v_row.api_key_rate, v_row.api_key_burst,
      v_row.member_rate, v_row.member_burst, v_row.worker_rate, v_row.worker_burst, v_row.enrollment_token_rate,
      v_row.enrollment_token_burst, v_row.retention_days, muster_private.now())
  where l.tenant_id = v_caller.tenant_id;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'limits.changed', v_caller.tenant_id::text, set_limits.limits);
  return muster_private.limits_document(v_caller.tenant_id);
end
$$;
comment on function muster.set_limits(jsonb, jsonb) is
  'Changes limits of a tenant, for the secret key alone; null goes back to the usual one, and what is not named stays';
revoke execute on function muster.set_limits(jsonb, jsonb) from public;
grant execute on function muster.set_limits(jsonb, jsonb) to service_role;

revoke execute on all functions in schema muster_private from public;
