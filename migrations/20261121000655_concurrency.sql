-- What a job does when its concurrency key has no room, and how operators set the limits of keys.

create function muster_private.check_gates(item jsonb, index integer, at timestamptz) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_policy constant text := check_gates.item ->> 'concurrency_policy';
begin
  if check_gates.item ->> 'type' like 'muster.%' then
    perform muster_private.fail('MU004', format('Cannot submit job %s: types that start with "muster." are made by Muster alone', check_gates.index));
  end if;
  if v_policy not in ('wait', 'reject', 'replace') then
    perform muster_private.fail('MU004', format('Cannot submit job %s: its concurrency policy must be wait, reject or replace', check_gates.index));
  end if;
  if v_policy is not null and check_gates.item ->> 'concurrency_key' is null then
    perform muster_private.fail('MU004', format('Cannot submit job %s: a concurrency policy needs a concurrency key', check_gates.index));
  end if;
  if v_policy in ('reject', 'replace') and ((check_gates.item ->> 'run_at')::timestamptz > check_gates.at
    or coalesce(check_gates.item -> 'after', 'null') not in ('null', '[]')) then
    perform muster_private.fail('MU004', format('Cannot submit job %s with policy %s: what comes later can only wait for its key',
      check_gates.index, v_policy), 'Leave out runAt and after, or the concurrency policy');
  end if;
  perform muster_private.check_rate_limit(check_gates.item, check_gates.index);
  perform muster_private.check_after(check_gates.item, check_gates.index);
  perform muster_private.to_uuid(check_gates.item ->> 'parent_id', 'parent id');
end
$$;
comment on function muster_private.check_gates(jsonb, integer, timestamptz) is 'Refuses what a job says of its gates if the API would have refused it';

create function muster_private.has_followers(items jsonb) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_path_exists(has_followers.items,
    '$[*] ? (@.after.size() > 0 || @.parent_id != null || @.concurrency_policy == "replace")');
end
$$;
comment on function muster_private.has_followers(jsonb) is 'Whether jobs come after others, into a batch, or in the place of others';

-- What new jobs come after, into, or in the place of must not end unseen while they are stored: it is locked before all
-- else, in the order of every lock. What has ended by then stays so and needs no lock. Fails with MUX01 when a job changed
-- hands meanwhile.
create function muster_private.lock_for_gates(tenant_id uuid, items jsonb) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 10000;
  v_ids uuid[];
begin
  if (
    select count(*) from jsonb_array_elements(lock_for_gates.items) i
    cross join lateral jsonb_array_elements(coalesce(nullif(i -> 'after', 'null'), '[]'))
  ) > v_most then
    perform muster_private.fail('MU015', format('Cannot submit jobs that come after more than %s others in all', v_most), 'Send several batches');
  end if;
  select coalesce(array_agg(distinct j.id), '{}') into v_ids
  from (
    select a.name::uuid as id from jsonb_array_elements(lock_for_gates.items) i
    cross join lateral jsonb_array_elements_text(coalesce(nullif(i -> 'after', 'null'), '[]')) a (name)
    where a.name not like '#%'
    union
    -- An earlier job of the request may be known already.
    select k.id from jsonb_array_elements(lock_for_gates.items) i
    cross join lateral jsonb_array_elements_text(coalesce(nullif(i -> 'after', 'null'), '[]')) a (name)
    join muster.jobs k on k.tenant_id = lock_for_gates.tenant_id
      and k.idempotency_key = lock_for_gates.items -> substr(a.name, 2)::integer ->> 'idempotency_key'
    where a.name like '#%'
    union
    select (i ->> 'parent_id')::uuid from jsonb_array_elements(lock_for_gates.items) i
    union
    select r.id from (select distinct i ->> 'concurrency_key' as key from jsonb_array_elements(lock_for_gates.items) i
      where i ->> 'concurrency_policy' = 'replace') k
    cross join lateral (
      select a.job_id as id from muster_private.admitted_jobs a where a.tenant_id = lock_for_gates.tenant_id and a.key = k.key
      union all
      (select b.job_id from muster_private.blocked_jobs b
        where b.tenant_id = lock_for_gates.tenant_id and b.waiting_for = 'concurrency' and b.key = k.key
        order by b.position limit 1001)
    ) r
  ) n
  join muster.jobs j on j.id = n.id and j.tenant_id = lock_for_gates.tenant_id and j.finished_at is null;
  perform muster_private.try_lock_jobs(lock_for_gates.tenant_id, v_ids);
  return v_ids;
end
$$;
comment on function muster_private.lock_for_gates(uuid, jsonb) is
  'Locks the jobs that new ones come after, into or in the place of, and the workers that hold them; answers which';

-- Under the rows of the keys, once the jobs are stored and before they are admitted: the new ones are in the making. It is
-- as if the jobs of a request were submitted one after the other: what was there before counts, those that wait as well
-- as those let in, and of the request what stands before a job. Answers the jobs it has cancelled.
create function muster_private.enforce_concurrency(tenant_id uuid, created uuid[], locked uuid[], at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_most constant integer := 1000;
  v_key record;
  v_before integer;
  v_count integer;
  v_place integer;
  v_policy text;
  v_excess integer;
  v_old uuid[];
  v_new uuid[];
  v_held uuid[];
  v_error jsonb;
  v_ended uuid[] := array[]::uuid[];
begin
  for v_key in
    select j.concurrency_key as name, c.max_running as most, array_agg(j.id order by j.position) as ids,
      array_agg(coalesce(j.policy ->> 'concurrency_policy', 'wait') order by j.position) as policies
    from muster.jobs j
    join muster.concurrency_keys c on c.tenant_id = j.tenant_id and c.key = j.concurrency_key
    where j.id = any (enforce_concurrency.created) and j.status = 'blocked'
      and not exists (select from muster_private.open_dependencies d where d.job_id = j.id)
    group by j.concurrency_key, c.max_running
    having bool_or(j.policy ->> 'concurrency_policy' in ('reject', 'replace'))
    order by j.concurrency_key
  loop
    v_before := (
      select count(*) from muster_private.admitted_jobs a
      where a.tenant_id = enforce_concurrency.tenant_id and a.key = v_key.name
    ) + (
      select count(*) from muster_private.blocked_jobs b
      where b.tenant_id = enforce_concurrency.tenant_id and b.waiting_for = 'concurrency' and b.key = v_key.name);
    v_place := 0;
    v_count := v_before;
    foreach v_policy in array v_key.policies loop
      v_place := v_place + 1;
      v_count := case v_policy when 'replace' then least(v_count + 1, greatest(v_key.most, 1)) else v_count + 1 end;
      continue when v_policy <> 'reject' or v_count <= v_key.most;
      perform muster_private.fail('MU030', format('Cannot submit a job of concurrency key %s: its limit is %s, and it has %s', v_key.name, v_key.most,
        coalesce((
          select string_agg(o.id::text, ', ') from (
            select j.id from muster.jobs j
            join (
              select a.job_id, 0 as place from muster_private.admitted_jobs a
              where a.tenant_id = enforce_concurrency.tenant_id and a.key = v_key.name
              union all
              select b.job_id, 1 from muster_private.blocked_jobs b
              where b.tenant_id = enforce_concurrency.tenant_id and b.waiting_for = 'concurrency' and b.key = v_key.name
            ) h on h.job_id = j.id
            order by h.place, j.position limit 10
          ) o), format('%s before it in this request', v_place - 1))),
        'Submit the job again once one of these has ended, or with another concurrency policy');
    end loop;

    continue when not 'replace' = any (v_key.policies);
    -- Where the key is paused the new job is what waits.
    v_excess := v_before + cardinality(v_key.ids) - greatest(v_key.most, 1);
    continue when v_excess < 1;
    if v_excess > v_most then
      perform muster_private.fail('MU015', format('Cannot replace %s jobs of concurrency key %s: one submission replaces at most %s',
        v_excess, v_key.name, v_most), 'Cancel some of them first');
    end if;
    -- First those that have not been let in, then those without a worker, then the oldest that run, and of the new the first.
    select coalesce(array_agg(o.id) filter (where o.place < 3), '{}'), coalesce(array_agg(o.id) filter (where o.place = 3), '{}'),
      coalesce(array_agg(o.id) filter (where o.place = 2), '{}')
    into v_old, v_new, v_held
    from (
      select j.id, n.place from (
        select b.job_id, 0 as place from muster_private.blocked_jobs b
        where b.tenant_id = enforce_concurrency.tenant_id and b.waiting_for = 'concurrency' and b.key = v_key.name
        union all
        select a.job_id, case when h.job_id is null then 1 else 2 end from muster_private.admitted_jobs a
        left join muster_private.held_jobs h on h.job_id = a.job_id
        where a.tenant_id = enforce_concurrency.tenant_id and a.key = v_key.name
        union all
        select i, 3 from unnest(v_key.ids) i
      ) n
      join muster.jobs j on j.id = n.job_id
      order by n.place, j.position
      limit v_excess
    ) o;
    if not v_old <@ enforce_concurrency.locked then
      raise exception using errcode = 'MUX01', message = 'A job to be replaced was not locked';
    end if;
    v_error := jsonb_build_object('code', 'replaced', 'message',
      format('Job %s of the same concurrency key took its place', v_key.ids[cardinality(v_key.ids)]),
      'details', jsonb_build_object('jobId', v_key.ids[cardinality(v_key.ids)]));
    v_ended := v_ended || muster_private.cancel_locked_jobs(v_held, v_old, v_error, 'replaced', enforce_concurrency.at) || v_new;
    perform muster_private.end_waiting_jobs(v_new, 'cancelled', v_error, enforce_concurrency.at);
  end loop;
  return v_ended;
end
$$;
comment on function muster_private.enforce_concurrency(uuid, uuid[], uuid[], timestamptz) is
  'Refuses new jobs whose key has no room, or cancels what is in their way, as each asks';

create function muster_private.concurrency_key_json(key muster.concurrency_keys) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_most constant integer := 10000;
begin
  return jsonb_build_object('key', (concurrency_key_json.key).key, 'limit', (concurrency_key_json.key).max_running,
    'fixed', (concurrency_key_json.key).fixed,
    'admitted', (select count(*) from (
      select from muster_private.admitted_jobs a
      where a.tenant_id = (concurrency_key_json.key).tenant_id and a.key = (concurrency_key_json.key).key limit v_most) a),
    'waiting', (select count(*) from (
      select from muster_private.blocked_jobs b
      where b.tenant_id = (concurrency_key_json.key).tenant_id and b.waiting_for = 'concurrency'
        and b.key = (concurrency_key_json.key).key limit v_most) b));
end
$$;
comment on function muster_private.concurrency_key_json(muster.concurrency_keys) is 'A concurrency key as its callers see it';

create function muster.list_concurrency_keys(caller jsonb, page_size integer default 50, cursor text default null) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_concurrency_keys.caller, 'read');
  v_size constant integer := least(greatest(coalesce(list_concurrency_keys.page_size, 50), 1), 200);
  v_rows jsonb;
begin
  select coalesce(jsonb_agg(muster_private.concurrency_key_json(p) order by p.key), '[]') into v_rows
  from (
    select * from muster.concurrency_keys c
    where c.tenant_id = v_caller.tenant_id and c.key > coalesce(list_concurrency_keys.cursor, '')
    order by c.key limit v_size + 1
  ) p;
  return jsonb_build_object('keys', case when jsonb_array_length(v_rows) > v_size then v_rows - v_size else v_rows end,
    'next_cursor', case when jsonb_array_length(v_rows) > v_size then v_rows -> v_size - 1 ->> 'key' end);
end
$$;
comment on function muster.list_concurrency_keys(jsonb, integer, text) is
  'Concurrency keys of the tenant in the order of their names, and how many jobs run and wait; at most 200 a page';

create function muster.set_concurrency_key(caller jsonb, key text, max_running integer default null) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(set_concurrency_key.caller, 'operate');
  v_now constant timestamptz := muster_private.now();
  v_key muster.concurrency_keys;
begin
  if set_concurrency_key.max_running not between 0 and 1000 then
    perform muster_private.fail('MU004', format('Cannot set the limit of a key to %s: it must be from 0 to 1000', set_concurrency_key.max_running));
  end if;
  if coalesce(length(set_concurrency_key.key), 0) not between 1 and 255 then
    perform muster_private.fail('MU004', 'Cannot set the limit of a key: it must have 1 to 255 characters');
  end if;
  insert into muster.concurrency_keys as c (tenant_id, key, max_running, fixed)
  values (v_caller.tenant_id, set_concurrency_key.key, coalesce(set_concurrency_key.max_running, 1), set_concurrency_key.max_running is not null)
  on conflict on constraint concurrency_keys_pkey do update
  set max_running = coalesce(set_concurrency_key.max_running, greatest(c.max_running, 1)), fixed = set_concurrency_key.max_running is not null
  returning * into v_key;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'concurrency_key.set', v_key.key,
    jsonb_build_object('limit', set_concurrency_key.max_running));
  if muster_private.unblock_jobs(v_caller.tenant_id, array[v_key.key], true, v_now) > 0 then
    perform muster_private.assign_jobs(v_caller.tenant_id, v_now);
  end if;
  return muster_private.concurrency_key_json(v_key);
end
$$;
comment on function muster.set_concurrency_key(jsonb, text, integer) is
  'Sets how many jobs of a concurrency key run at a time, 0 for none, whatever submissions say; null leaves it to them again';

do $$
declare
  v_function text;
begin
  foreach v_function in array array['list_concurrency_keys(jsonb, integer, text)', 'set_concurrency_key(jsonb, text, integer)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
