-- What happened to a job: written by the scheduler and the worker that holds it, read by apps.

-- The columns that tell them are about to be overwritten, or events of other kinds to follow.
create function muster_private.store_told_events(job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
begin
  with told as (
    select e.* from muster.jobs j
    -- A job at a time: the view can be read by a job's id, and joined only as a whole.
    cross join lateral (
      select * from muster.job_events o where o.job_id = j.id and o.sequence > j.stored_sequence offset 0
    ) e
    where j.id = any (store_told_events.job_ids) and j.stored_sequence < j.last_sequence
  ), stored as (
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
    select t.job_id, t.sequence, t.tenant_id, t.attempt, t.kind, t.data, t.created_at from told t
  )
  update muster.jobs j set stored_sequence = j.last_sequence
  where j.id = any (store_told_events.job_ids) and j.stored_sequence < j.last_sequence;
end
$$;
comment on function muster_private.store_told_events(uuid[]) is
  'Stores the events of these jobs that only their own rows told so far';

-- The places of the jobs must be locked by the caller: the numbers have no gaps because writers take turns. The end of a
-- job is told by its row.
create function muster_private.record_status(job_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(record_status.job_ids), 0) = 0 then
    return;
  end if;
  perform muster_private.store_told_events(array(
    select j.id from muster.jobs j where j.id = any (record_status.job_ids) and j.finished_at is null));
  with numbered as (
    update muster.jobs j
    set last_sequence = j.last_sequence + 1,
      stored_sequence = case when j.finished_at is null then j.last_sequence + 1 else j.stored_sequence end
    where j.id = any (record_status.job_ids)
    returning j.id, j.last_sequence, j.tenant_id, j.attempts, j.status, j.worker_id, j.error, j.finished_at
  ), recorded as (
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
    select j.id, j.last_sequence, j.tenant_id, j.attempts, 'status',
      jsonb_strip_nulls(jsonb_build_object('status', j.status, 'worker_id', j.worker_id, 'error', j.error)),
      record_status.at
    from numbered j where j.finished_at is null
  )
  -- Without the error: it may carry what the log shall not.
  insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
  select n.tenant_id, muster_private.current_actor(), 'jobs.changed', 'jobs',
    muster_private.change_json(n.status::text, n.attempts, n.worker_id), array_agg(n.id), record_status.at
  from numbered n
  group by n.tenant_id, n.status, n.attempts, n.worker_id;
end
$$;
comment on function muster_private.record_status(uuid[], timestamptz) is
  'Adds the present status of the jobs to their events, and to the audit log';

-- Of jobs that are new. That one is queued its own row tells.
create function muster_private.record_stored(job_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(record_stored.job_ids), 0) = 0 then
    return;
  end if;
  with stored as (
    select j.id, j.last_sequence, j.stored_sequence, j.tenant_id, j.status from muster.jobs j
    where j.id = any (record_stored.job_ids)
  ), recorded as (
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
    select s.id, s.last_sequence, s.tenant_id, 0, 'status', jsonb_build_object('status', s.status), record_stored.at
    from stored s where s.stored_sequence > 0
  )
  insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
  select s.tenant_id, muster_private.current_actor(), 'jobs.changed', 'jobs', muster_private.change_json(s.status::text, 0, null),
    array_agg(s.id), record_stored.at
  from stored s
  group by s.tenant_id, s.status;
end
$$;
comment on function muster_private.record_stored(uuid[], timestamptz) is
  'Adds the first status of new jobs to their events, and to the audit log';

create function muster_private.record_queued(tenant_id uuid, job_ids uuid[], at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  if cardinality(record_queued.job_ids) > 0 then
    insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
    values (record_queued.tenant_id, muster_private.current_actor(), 'jobs.changed', 'jobs',
      muster_private.change_json('queued', 0, null), record_queued.job_ids, record_queued.at);
  end if;
end
$$;
comment on function muster_private.record_queued(uuid, uuid[], timestamptz) is
  'Adds to the audit log that new jobs were queued, which their rows tell by themselves';

-- Numbers continue the job's own count; the worker's number makes a repeated report harmless.
create function muster_private.store_events(worker muster.worker_devices, events jsonb, at timestamptz) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  v_current uuid[];
  v_count integer;
  v_stored jsonb;
  v_message record;
begin
  if jsonb_typeof(store_events.events) is distinct from 'array' or jsonb_array_length(store_events.events) > 500 then
    perform muster_private.fail('MU015', 'Cannot report events: send an array of at most 500');
  end if;
  perform muster_private.check_size(store_events.events, 'the events', 8388608);
  perform muster_private.charge_bytes(
    (store_events.worker).id, (store_events.worker).tenant_id, pg_column_size(store_events.events));
  if exists (
    select from jsonb_array_elements(store_events.events) e
    where coalesce(e ->> 'kind', '') not in ('progress', 'log', 'chunk') or coalesce((e ->> 'number')::bigint, 0) < 1
      or octet_length((e -> 'data')::text) > 32768 or muster_private.is_too_deep(e -> 'data')
  ) then
    perform muster_private.fail('MU004', 'Cannot report events: each has a number, a kind of progress, log or chunk, and data of at most 16 KiB');
  end if;
  select coalesce(array_agg(l.job_id), '{}') into v_current from (
    select h.job_id from muster_private.held_jobs h
    where h.job_id = any (array(select a.job_id from muster_private.attempts_of(store_events.events) a))
      and h.tenant_id = (store_events.worker).tenant_id and h.worker_id = (store_events.worker).id
      and exists (
        select from muster_private.attempts_of(store_events.events) a where a.job_id = h.job_id and a.attempt = h.attempt)
    order by uuid_send(h.job_id) for no key update
  ) l;
  if exists (
    select from muster.jobs j where j.id = any (v_current) and j.last_sequence >= 100000
  ) then
    perform muster_private.fail('MU015', 'Cannot report more events of a job: it has 100000', 'Hand large output back as an artifact');
  end if;

  perform muster_private.store_told_events(v_current);
  with fresh as (
    select distinct on (j.id, (e ->> 'number')::bigint)
      j.id, j.tenant_id, j.attempts, (e ->> 'number')::bigint as number, e ->> 'kind' as kind,
      coalesce(e -> 'data', '{}') as data
    from jsonb_array_elements(store_events.events) e
    join muster.jobs j on j.id = (e ->> 'job_id')::uuid and j.attempts = (e ->> 'attempt')::integer
    where j.id = any (v_current) and not exists (
      select from muster.stored_events k
      where k.job_id = j.id and k.attempt = j.attempts and k.number = (e ->> 'number')::bigint)
  ), latest as (
    select distinct on (f.id) f.id, f.data from fresh f
    where f.kind = 'progress' and not exists (
      select from muster.stored_events k
      where k.job_id = f.id and k.attempt = f.attempts and k.number > f.number and k.kind = 'progress')
    order by f.id, f.number desc
  ), numbered as (
    update muster.jobs j
    set last_sequence = j.last_sequence + f.events, stored_sequence = j.last_sequence + f.events,
      progress = case when l.id is null then j.progress when l.data ->> 'fraction' is not null
        then round(least(greatest((l.data ->> 'fraction')::numeric, 0), 1), 6) end,
      progress_note = case when l.id is null then j.progress_note else left(l.data ->> 'note', 500) end,
      updated_at = case when l.id is null then j.updated_at else store_events.at end
    from (select n.id, count(*) as events from fresh n group by n.id) f
    left join latest l on l.id = f.id
    where j.id = f.id
    returning j.id, j.last_sequence - f.events as before
  ), stored as (
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, number, kind, data, created_at)
    select f.id,
      n.before
        + row_number() over (partition by f.id order by f.number),
      f.tenant_id, f.attempts, f.number, f.kind, f.data, store_events.at
    from fresh f join numbered n on n.id = f.id
    returning job_id, number, kind, data
  )
  select count(*), jsonb_agg(to_jsonb(s)) into v_count, v_stored from stored s;

  for v_message in
    select j.id, j.attempts, j.correlation_id,
      jsonb_agg(jsonb_build_object('kind', s.kind, 'number', s.number, 'data', s.data) order by s.number) as events
    from jsonb_to_recordset(v_stored) s (job_id uuid, number bigint, kind text, data jsonb)
    join muster.jobs j on j.id = s.job_id
    where j.notify
    group by j.id
  loop
    perform muster_private.send_message('job:' || v_message.id, 'task.progress',
      jsonb_build_object('jobId', v_message.id, 'events', v_message.events), v_message.correlation_id, v_message.attempts);
  end loop;

  return jsonb_build_object('accepted', v_count, 'stale', (
    select coalesce(jsonb_agg(jsonb_build_object('job_id', a.job_id, 'attempt', a.attempt)), '[]')
    from muster_private.attempts_of(store_events.events) a
    where not exists (
      select from muster.jobs j where j.id = a.job_id and j.id = any (v_current) and j.attempts = a.attempt)));
end
$$;
comment on function muster_private.store_events(muster.worker_devices, jsonb, timestamptz) is
  'Stores events of attempts that are still the worker''s own; others are answered as stale';

create function muster.report_events(events jsonb) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return muster_private.store_events(muster_private.current_worker(), report_events.events, muster_private.now());
end
$$;
comment on function muster.report_events(jsonb) is 'Stores progress, log lines and chunks of the worker''s current attempts';

create function muster.list_job_events(caller jsonb, job_id uuid, after bigint default 0, page_size integer default 100)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_job_events.caller, 'read');
  v_job muster.jobs := muster_private.job_of_tenant(list_job_events.job_id, v_caller.tenant_id);
  v_after constant bigint := coalesce(list_job_events.after, 0);
  v_size constant integer := least(greatest(coalesce(list_job_events.page_size, 100), 1), 500);
  v_events jsonb;
begin
  select coalesce(jsonb_agg(jsonb_build_object('sequence', p.sequence, 'attempt', p.attempt, 'kind', p.kind,
    'data', p.data, 'created_at', muster_private.iso(p.created_at)) order by p.sequence), '[]')
  into v_events
  from (
    select * from (
      (
        select e.sequence, e.attempt, e.kind, e.data, e.created_at from muster.stored_events e
        where e.job_id = v_job.id and e.sequence > v_after
        order by e.sequence
        limit v_size
      )
      union all
      -- What the row tells comes after all that is stored.
      select e.sequence, e.attempt, e.kind, e.data, e.created_at from muster.job_events e
      where e.job_id = v_job.id and e.sequence > greatest(v_after, v_job.stored_sequence)
    ) a
    order by a.sequence
    limit v_size
  ) p;
  return jsonb_build_object('events', v_events, 'last_sequence', coalesce((v_events -> -1 ->> 'sequence')::bigint, v_after));
end
$$;
comment on function muster.list_job_events(jsonb, uuid, bigint, integer) is 'Events of a job after a number, in order; at most 500 a page';

revoke execute on function muster.list_job_events(jsonb, uuid, bigint, integer) from public;
grant execute on function muster.list_job_events(jsonb, uuid, bigint, integer) to service_role;
revoke execute on function muster.report_events(jsonb) from public;
grant execute on function muster.report_events(jsonb) to muster_worker;
revoke execute on all functions in schema muster_private from public;
