-- Who may see which rows and which channels. Writing goes through functions only.

create function muster_private.tenants_of_user(roles muster.member_role[] default null) returns setof uuid
language sql stable security definer set search_path = ''
as $$
  select m.tenant_id from muster.members m
  where m.user_id = nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid
    and (tenants_of_user.roles is null or m.role = any (tenants_of_user.roles))
$$;
comment on function muster_private.tenants_of_user(muster.member_role[]) is 'Tenants of which the signed-in user is a member';

create function muster_private.claim(name text) returns text
language sql stable set search_path = ''
as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> claim.name $$;
comment on function muster_private.claim(text) is 'A claim of the token that makes this call';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['tenants', 'tenant_limits', 'members', 'executors', 'api_keys', 'enrollment_tokens', 'audit_log',
    'worker_devices', 'worker_heartbeats', 'job_classes', 'worker_classes', 'jobs', 'concurrency_keys', 'stored_events',
    'late_results', 'dead_letters', 'artifacts', 'job_inputs', 'schedules', 'affinities', 'resource_holders',
    'queue_bridges', 'job_dependencies', 'rate_limits']
  loop
    execute format('alter table muster.%I enable row level security', v_table);
  end loop;
  foreach v_table in array array['executors', 'worker_heartbeats', 'stored_events', 'late_results', 'dead_letters', 'jobs',
    'artifacts', 'job_inputs', 'members', 'tenant_limits', 'schedules', 'affinities', 'resource_holders',
    'queue_bridges', 'job_dependencies']
  loop
    execute format(
      'create policy members_read on muster.%I for select to authenticated '
      'using (tenant_id in (select muster_private.tenants_of_user()))', v_table);
  end loop;
  foreach v_table in array array['api_keys', 'enrollment_tokens', 'job_classes', 'worker_classes', 'concurrency_keys', 'rate_limits']
  loop
    execute format('create policy nobody on muster.%I as restrictive for all to public using (false)', v_table);
  end loop;
end
$$;
create policy members_read on muster.worker_devices for select to authenticated
  using (tenant_id in (select muster_private.tenants_of_user()) and forgotten_at is null);
create policy members_read on muster.tenants for select to authenticated
  using (id in (select muster_private.tenants_of_user()));
create policy admins_read on muster.audit_log for select to authenticated
  using (tenant_id in (select muster_private.tenants_of_user(array['admin']::muster.member_role[])));

alter table muster_private.used_proofs enable row level security;
create policy nobody on muster_private.used_proofs as restrictive for all to public using (false);
alter table muster_private.scheduler_state enable row level security;
create policy nobody on muster_private.scheduler_state as restrictive for all to public using (false);

-- After a message an app checks the database: its client token reads the jobs of its executor.
grant select on muster.jobs, muster.stored_events, muster.job_events, muster.late_results to muster_client;
create policy executors_read on muster.jobs for select to muster_client
  using (executor_id = (select muster_private.claim('sub'))::uuid and tenant_id = (select muster_private.claim('tenant_id'))::uuid);
-- Asked of each row: a list of all jobs that the app may read grows with its history.
create policy executors_read on muster.stored_events for select to muster_client
  using (exists (select from muster.jobs j where j.id = stored_events.job_id));
create policy executors_read on muster.late_results for select to muster_client
  using (exists (select from muster.jobs j where j.id = late_results.job_id));

-- Channels. One function answers for all of them; policies on realtime.messages ask it for the topic being joined, by
-- way of authorize_topic(), which counts what is refused.
create function muster_private.may_use_topic(topic text, extension text, is_write boolean) returns boolean
language plpgsql stable security definer set search_path = ''
as $$
declare
  v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_parts constant text[] := string_to_array(may_use_topic.topic, ':');
  v_kind constant text := v_parts[1];
  v_id uuid;
  v_tail constant text := coalesce(v_parts[3], '');
  v_worker muster.worker_devices;
begin
  if cardinality(v_parts) > 3 or v_parts[3] = '' or v_parts[2] !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return false;
  end if;
  v_id := v_parts[2]::uuid;
  case v_claims ->> 'role'
    when 'muster_worker' then
      select * into v_worker from muster.worker_devices w
      where w.id = (v_claims ->> 'sub')::uuid and w.tenant_id = (v_claims ->> 'tenant_id')::uuid
        and w.device_fingerprint = v_claims -> 'cnf' ->> 'jkt' and w.status <> 'revoked';
      return found and case v_kind
        when 'worker' then v_id = v_worker.id and v_tail = 'tasks' and not may_use_topic.is_write
        -- It shows itself and sees nobody: what all are told of each grows with the square of the fleet. Who joins must be
        -- able to read something, so it is broadcasts, of which there are none.
        when 'fleet' then v_id = v_worker.tenant_id and v_tail = 'presence'
          and may_use_topic.extension = case when may_use_topic.is_write then 'presence' else 'broadcast' end
        when 'worker-wakeup' then v_id = v_worker.tenant_id and v_tail = '' and not may_use_topic.is_write
        else false end;
    when 'muster_client' then
      return not may_use_topic.is_write and case v_kind
        when 'executor' then v_id = (v_claims ->> 'sub')::uuid and v_tail = 'tasks'
        when 'job' then v_tail = '' and exists (
          select from muster.jobs j where j.id = v_id and j.executor_id = (v_claims ->> 'sub')::uuid
            and j.tenant_id = (v_claims ->> 'tenant_id')::uuid)
        else false end;
    when 'authenticated' then
      return not may_use_topic.is_write and case v_kind
        when 'fleet' then v_tail = 'presence' and v_id in (select muster_private.tenants_of_user())
        when 'job' then v_tail = '' and exists (
          select from muster.jobs j where j.id = v_id and j.tenant_id in (select muster_private.tenants_of_user()))
        when 'worker' then v_tail = 'events' and exists (
          select from muster.worker_devices w where w.id = v_id and w.tenant_id in (select muster_private.tenants_of_user()))
        else false end;
    else
      return false;
  end case;
end
$$;
comment on function muster_private.may_use_topic(text, text, boolean) is
  'Whether the token that makes this call may read (or write) a channel; anything not listed is refused';

grant usage on schema muster_private to authenticated, muster_worker, muster_client;
revoke execute on all functions in schema muster_private from public;
grant execute on function muster_private.tenants_of_user(muster.member_role[]) to authenticated;
grant execute on function muster_private.claim(text) to muster_client;
grant execute on function muster_private.authorize_topic(text, text, boolean) to authenticated, muster_worker, muster_client;

-- A worker's token is useless outside this schema. Schema public is open to every role by default, and its functions
-- too: here all roles that exist keep that right, by name, and only those of this system are left out.
do $$
declare
  v_role name;
begin
  if has_schema_privilege('muster_worker', 'public', 'usage') then
    for v_role in
      select r.rolname from pg_roles r where r.rolname !~ '^(pg_|muster_)' order by r.rolname
    loop
      execute format('grant usage on schema public to %I', v_role);
    end loop;
    revoke usage on schema public from public;
  end if;
  -- Who does not own the schema is only warned by Postgres, in words that say nothing of workers.
  if has_schema_privilege('muster_worker', 'public', 'usage') then
    raise warning 'Schema public stays open to the tokens of workers and apps: role % may not close it', current_user
      using hint = 'As its owner: revoke usage on schema public from public, and grant it to the roles that need it';
  end if;
end
$$;

-- Who may not hand these rights on is only warned by Postgres. Everything works without them, but nobody hears a message.
grant usage on schema realtime to muster_worker, muster_client;
grant select, insert on realtime.messages to muster_worker, muster_client;
do $$
begin
  if not has_schema_privilege('muster_worker', 'realtime', 'usage')
    or not has_table_privilege('muster_worker', 'realtime.messages', 'select')
    or not has_table_privilege('muster_worker', 'realtime.messages', 'insert')
  then
    raise warning 'Realtime stays closed to workers and apps: role % may not grant rights to realtime.messages', current_user
      using hint = 'Restart the project, which brings its Realtime up to date, then run the grants at the end of this migration again';
  end if;
end
$$;
create policy muster_channels_read on realtime.messages for select to authenticated, muster_worker, muster_client
  using ((select muster_private.authorize_topic((select realtime.topic()), extension, false)));
create policy muster_channels_write on realtime.messages for insert to muster_worker
  with check ((select muster_private.authorize_topic((select realtime.topic()), extension, true)));
