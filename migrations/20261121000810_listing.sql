-- Pages of jobs. What a page costs depends neither on how many jobs have ended nor on how many a filter leaves out.

-- Each part asks for the order of its index, so that it reads no more of it than it answers.
create function muster_private.jobs_at_places(tenant_id uuid, statuses text[], most integer) returns uuid[]
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_ids constant uuid[] := array(
    (select r.job_id from muster_private.ready_jobs r
      where 'queued' = any (jobs_at_places.statuses) and r.tenant_id = jobs_at_places.tenant_id and r.worker_id is null
      order by r.class_id, r.priority desc, r.rank, r.position limit jobs_at_places.most + 1)
    union all
    (select r.job_id from muster_private.ready_jobs r
      where 'queued' = any (jobs_at_places.statuses) and r.tenant_id = jobs_at_places.tenant_id and r.worker_id is not null
      order by r.worker_id, r.priority desc, r.rank, r.position limit jobs_at_places.most + 1)
    union all
    (select h.job_id from muster.worker_devices w
      join muster_private.held_jobs h on h.worker_id = w.id
      where '{assigned,running}' && jobs_at_places.statuses and w.tenant_id = jobs_at_places.tenant_id
      limit jobs_at_places.most + 1)
    union all
    (select s.job_id from muster_private.scheduled_jobs s
      where 'scheduled' = any (jobs_at_places.statuses) and s.tenant_id = jobs_at_places.tenant_id
      order by s.tenant_id limit jobs_at_places.most + 1)
    union all
    (select b.job_id from muster_private.blocked_jobs b
      where 'blocked' = any (jobs_at_places.statuses) and b.tenant_id = jobs_at_places.tenant_id
      order by b.waiting_for, b.key, b.priority desc, b.rank, b.position limit jobs_at_places.most + 1));
begin
  return case when cardinality(v_ids) <= jobs_at_places.most then v_ids end;
end
$$;
comment on function muster_private.jobs_at_places(uuid, text[], integer) is
  'The jobs of a tenant in these states, none of which is an end; null when there are more than so many';

-- Each combination of filters wants a plan of its own. Jobs that have not ended are found by their places, or are many
-- and so soon met among the newest. What no index knows is looked for among 10,000 jobs at a time: a page may then be
-- short, or empty, and still have a cursor.
create function muster.list_jobs(caller jsonb, filters jsonb default '{}', page_size integer default 50, cursor text default null)
returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_most_looked constant integer := 10000;
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_jobs.caller, 'read');
  v_size constant integer := least(greatest(coalesce(list_jobs.page_size, 50), 1), 200);
  v_before_at timestamptz := 'infinity'::timestamptz;
  v_before_id uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid;
  v_statuses text[];
  v_unknown text;
  v_among uuid[];
  v_worker_id constant uuid := muster_private.to_uuid(list_jobs.filters ->> 'worker_id', 'worker id');
  v_parent_id constant uuid := muster_private.to_uuid(list_jobs.filters ->> 'parent_id', 'parent id');
  v_is_picky boolean;
  v_has_more boolean := false;
  v_job record;
  v_looked integer := 0;
  v_ids uuid[] := array[]::uuid[];
  v_last text;
begin
  if jsonb_typeof(list_jobs.filters) not in ('object', 'null')
    or jsonb_typeof(coalesce(list_jobs.filters -> 'status', 'null')) not in ('array', 'null') then
    perform muster_private.fail('MU004', 'Cannot read the filters: they are an object, and status is an array');
  end if;
  select k into v_unknown from jsonb_object_keys(case jsonb_typeof(list_jobs.filters) when 'object' then list_jobs.filters else '{}' end) k
  where k not in ('status', 'type', 'worker_id', 'parent_id', 'correlation_id', 'idempotency_key', 'created_after', 'created_before')
  limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot filter jobs by %s', left(v_unknown, 100)));
  end if;
  if list_jobs.cursor is not null then
    if list_jobs.cursor !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z_[0-9a-f-]{36}$' then
      perform muster_private.fail('MU004', 'Cannot read the cursor: it must be one that a list answered');
    end if;
    v_before_at := split_part(list_jobs.cursor, '_', 1)::timestamptz;
    v_before_id := muster_private.to_uuid(split_part(list_jobs.cursor, '_', 2), 'cursor');
  end if;
  if jsonb_typeof(list_jobs.filters -> 'status') = 'array' then
    v_statuses := array(select jsonb_array_elements_text(list_jobs.filters -> 'status'));
    if not v_statuses && '{succeeded,failed,cancelled}' then
      v_among := muster_private.jobs_at_places(v_caller.tenant_id, v_statuses, v_most_looked / 2);
    end if;
  end if;
  v_is_picky := v_among is null and num_nonnulls(v_statuses, list_jobs.filters ->> 'type', v_worker_id,
    list_jobs.filters ->> 'correlation_id') > 0;
  for v_job in
    select j.id, j.created_at,
      (v_statuses is null or j.status::text = any (v_statuses))
        and (list_jobs.filters ->> 'type' is null or j.type = list_jobs.filters ->> 'type')
        and (v_worker_id is null or coalesce(j.worker_id = v_worker_id, false))
        and (list_jobs.filters ->> 'correlation_id' is null or coalesce(j.correlation_id = list_jobs.filters ->> 'correlation_id', false))
        as fits
    from muster.jobs j
    where j.tenant_id = v_caller.tenant_id
      and (j.created_at, j.id) < (v_before_at, v_before_id)
      and (v_among is null or j.id = any (v_among))
      and (v_parent_id is null or j.parent_id = v_parent_id)
      and (list_jobs.filters ->> 'idempotency_key' is null or j.idempotency_key = list_jobs.filters ->> 'idempotency_key')
      and (list_jobs.filters ->> 'created_after' is null or j.created_at > (list_jobs.filters ->> 'created_after')::timestamptz)
      and (list_jobs.filters ->> 'created_before' is null or j.created_at < (list_jobs.filters ->> 'created_before')::timestamptz)
    order by j.created_at desc, j.id desc
    limit case when v_is_picky or v_among is not null then v_most_looked else v_size + 1 end
  loop
    -- One more than asked for: whether it is there says whether another page follows.
    v_has_more := v_job.fits and cardinality(v_ids) = v_size;
    exit when v_has_more;
    v_looked := v_looked + 1;
    v_last := muster_private.iso(v_job.created_at) || '_' || v_job.id;
    if v_job.fits then
      v_ids := v_ids || v_job.id;
    end if;
  end loop;
  return jsonb_build_object(
    'jobs', (
      select coalesce(jsonb_agg(muster_private.job_json(j) - '{payload,result}'::text[] order by i.n), '[]')
      from unnest(v_ids) with ordinality i (id, n) join muster.jobs j on j.id = i.id),
    'next_cursor', case when v_has_more or v_is_picky and v_looked = v_most_looked then v_last end);
end
$$;
comment on function muster.list_jobs(jsonb, jsonb, integer, text) is
  'Jobs of the tenant, newest first, without payloads and results; at most 200 a page';
revoke execute on function muster.list_jobs(jsonb, jsonb, integer, text) from public;
grant execute on function muster.list_jobs(jsonb, jsonb, integer, text) to service_role;

revoke execute on all functions in schema muster_private from public;
