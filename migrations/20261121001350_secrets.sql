-- Secrets: values with a name, for the jobs of some types. Nothing here can read one: the Edge Function `secrets` encrypts
-- them before they come and decrypts them after they leave, with a key that this database never sees.

create table muster.secrets (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  allowed_types text[] not null,
  ciphertext text not null,
  key_id text not null,
  version integer not null,
  updated_by jsonb not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (tenant_id, name),
  constraint names_are_like_those_of_variables check (name ~ '^[A-Z][A-Z0-9_]{0,99}$'),
  -- header..iv.ciphertext.tag: what is not encrypted does not look like it.
  constraint values_are_encrypted
    check (ciphertext ~ '^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$' and length(ciphertext) <= 32768),
  constraint keys_are_named check (key_id ~ '^[A-Za-z][A-Za-z0-9_.-]{0,63}$'),
  constraint versions_count_from_1 check (version >= 1),
  constraint types_are_1_to_20 check (cardinality(allowed_types) between 1 and 20)
);
comment on table muster.secrets is
  'Encrypted values by name; version counts the values a name has had, key_id names the master key of the ciphertext';
comment on column muster.secrets.allowed_types is 'Types of jobs that may name it: as they are, or a beginning and *';
create index secrets_of_key_idx on muster.secrets (key_id, id);

alter table muster.secrets enable row level security;
create policy nobody on muster.secrets as restrictive for all to public using (false);

create function muster_private.is_type_allowed(type text, patterns text[]) returns boolean
language sql immutable set search_path = ''
as $$
  select exists (
    select from unnest(is_type_allowed.patterns) p (pattern)
    where p.pattern = is_type_allowed.type
      or (right(p.pattern, 1) = '*' and starts_with(is_type_allowed.type, left(p.pattern, -1))))
$$;
comment on function muster_private.is_type_allowed(text, text[]) is 'Whether a type of job is among the patterns: itself, or a beginning and *';

create function muster_private.check_secret_name(name text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if coalesce(check_secret_name.name, '') !~ '^[A-Z][A-Z0-9_]{0,99}$' then
    perform muster_private.fail('MU004', 'Cannot accept the name of a secret: it must be 1 to 100 of A-Z 0-9 _, starting with a letter');
  end if;
end
$$;
comment on function muster_private.check_secret_name(text) is 'Refuses what no secret can be called; it is not quoted, as it may be a value by mistake';

-- Whether there is such a secret and whether this type may use it is one answer: who submits learns no names by asking.
-- A job that is there already under its idempotency key needs nothing.
create function muster_private.check_job_secrets(tenant_id uuid, items jsonb) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_bad record;
begin
  select i ->> 'index' as index, i ->> 'type' as type, n.name into v_bad
  from jsonb_array_elements(check_job_secrets.items) i
  cross join lateral jsonb_array_elements_text(coalesce(nullif(i -> 'secrets', 'null'), '[]')) n (name)
  where not exists (
      select from muster.secrets s
      where s.tenant_id = check_job_secrets.tenant_id and s.name = n.name
        and muster_private.is_type_allowed(i ->> 'type', s.allowed_types))
    and not exists (
      select from muster.jobs j
      where j.tenant_id = check_job_secrets.tenant_id and j.idempotency_key = i ->> 'idempotency_key')
  limit 1;
  if found then
    perform muster_private.fail('MU021', format('Cannot submit job %s: there is no secret %s that jobs of type %s may use',
      v_bad.index::integer - 1, left(v_bad.name, 100), v_bad.type));
  end if;
end
$$;
comment on function muster_private.check_job_secrets(uuid, jsonb) is 'Refuses jobs that name secrets which their types may not use';

create function muster_private.secret_json(secret muster.secrets) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('name', secret.name, 'allowed_types', secret.allowed_types, 'version', secret.version,
      'key_id', secret.key_id, 'updated_by', secret.updated_by, 'created_at', muster_private.iso(secret.created_at),
      'updated_at', muster_private.iso(secret.updated_at))
  );
end
$$;
comment on function muster_private.secret_json(muster.secrets) is 'A secret as its callers see it, which is all but the ciphertext';

create function muster.prepare_secret(caller jsonb, name text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(prepare_secret.caller, 'administer');
begin
  perform muster_private.check_secret_name(prepare_secret.name);
  return jsonb_build_object('tenant_id', v_caller.tenant_id, 'version', 1 + coalesce((
    select s.version from muster.secrets s
    where s.tenant_id = v_caller.tenant_id and s.name = prepare_secret.name), 0));
end
$$;
comment on function muster.prepare_secret(jsonb, text) is
  'What the next value of a secret is encrypted for: the tenant and the version it will have';

-- The version is part of what was encrypted, so it must be the next one still: of two that set a secret at once, one is
-- told so and prepares again.
create function muster.set_secret(caller jsonb, secret jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(set_secret.caller, 'administer');
  v_now constant timestamptz := muster_private.now();
  v_name constant text := set_secret.secret ->> 'name';
  v_types constant jsonb := nullif(set_secret.secret -> 'allowed_types', 'null');
  v_old muster.secrets;
  v_new muster.secrets;
  v_bad jsonb;
begin
  perform muster_private.check_secret_name(v_name);
  perform muster_private.check_number(set_secret.secret, 'version', 1, 1000000000);
  if coalesce(set_secret.secret ->> 'ciphertext', '') !~ '^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$'
    or length(set_secret.secret ->> 'ciphertext') > 32768
    or coalesce(set_secret.secret ->> 'key_id', '') !~ '^[A-Za-z][A-Za-z0-9_.-]{0,63}$' then
    perform muster_private.fail('MU004', format('Cannot set secret %s: it must come encrypted, with the id of its key', v_name));
  end if;
  if v_types is not null then
    if jsonb_typeof(v_types) <> 'array' or jsonb_array_length(v_types) not between 1 and 20 then
      perform muster_private.fail('MU004', format('Cannot set secret %s: allowed_types must name 1 to 20 types of jobs', v_name));
    end if;
    select t into v_bad from jsonb_array_elements(v_types) t
    where jsonb_typeof(t) <> 'string' or length(t #>> '{}') > 200
      or t #>> '{}' !~ '^(\*|[a-zA-Z0-9][a-zA-Z0-9._/:-]*([._/:-]\*)?)$' limit 1;
    if found then
      perform muster_private.fail('MU004', format('Cannot allow jobs of type %s: a type is letters, digits and . _ / : -, and may end in .*',
        left(v_bad::text, 100)));
    end if;
  end if;

  perform pg_advisory_xact_lock(hashtextextended('muster.secrets:' || v_caller.tenant_id, 0));
  select * into v_old from muster.secrets s where s.tenant_id = v_caller.tenant_id and s.name = v_name for update;
  if (set_secret.secret ->> 'version')::integer is distinct from coalesce(v_old.version, 0) + 1 then
    perform muster_private.fail('MU008', format('Cannot set secret %s: it was changed meanwhile', v_name), 'Set it again');
  end if;
  if v_old.id is null and v_types is null then
    perform muster_private.fail('MU004', format('Cannot set secret %s: a new one must name the types of jobs that may use it', v_name));
  end if;
  if v_old.id is null and (select count(*) from muster.secrets s where s.tenant_id = v_caller.tenant_id) >= 1000 then
    perform muster_private.fail('MU015', format('Cannot set secret %s: the tenant has 1000', v_name), 'Delete one that is not needed any more');
  end if;
  insert into muster.secrets as s (tenant_id, name, allowed_types, ciphertext, key_id, version, updated_by, created_at, updated_at)
  values (v_caller.tenant_id, v_name,
    case when v_types is null then v_old.allowed_types
      else array(select distinct t from jsonb_array_elements_text(v_types) t order by t) end,
    set_secret.secret ->> 'ciphertext', set_secret.secret ->> 'key_id', coalesce(v_old.version, 0) + 1, v_caller.actor, v_now, v_now)
  on conflict (tenant_id, name) do update
  set allowed_types = excluded.allowed_types, ciphertext = excluded.ciphertext, key_id = excluded.key_id,
    version = excluded.version, updated_by = excluded.updated_by, updated_at = excluded.updated_at
  returning * into v_new;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'secret.set', v_name,
    jsonb_build_object('version', v_new.version, 'allowed_types', v_new.allowed_types));
  return muster_private.secret_json(v_new);
end
$$;
comment on function muster.set_secret(jsonb, jsonb) is
  'Stores the encrypted value of a secret, new or in place of the one before; without allowed_types these stay';

create function muster.list_secrets(caller jsonb, page_size integer default 50, cursor text default null) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_secrets.caller, 'administer');
  v_size constant integer := least(greatest(coalesce(list_secrets.page_size, 50), 1), 200);
  v_rows jsonb;
begin
  if list_secrets.cursor is not null then
    perform muster_private.check_secret_name(list_secrets.cursor);
  end if;
  select coalesce(jsonb_agg(muster_private.secret_json(p) order by p.name), '[]') into v_rows
  from (
    select s.* from muster.secrets s
    where s.tenant_id = v_caller.tenant_id and s.name > coalesce(list_secrets.cursor, '')
    order by s.name
    limit v_size + 1
  ) p;
  -- One more than asked for was read: whether it is there says whether another page follows.
  if jsonb_array_length(v_rows) <= v_size then
    return jsonb_build_object('secrets', v_rows, 'next_cursor', null);
  end if;
  return jsonb_build_object('secrets', v_rows - v_size, 'next_cursor', v_rows -> v_size - 1 ->> 'name');
end
$$;
comment on function muster.list_secrets(jsonb, integer, text) is 'The tenant''s secrets by name, without their values; at most 200 a page';

create function muster.delete_secret(caller jsonb, name text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(delete_secret.caller, 'administer');
  v_old muster.secrets;
begin
  perform muster_private.check_secret_name(delete_secret.name);
  delete from muster.secrets s where s.tenant_id = v_caller.tenant_id and s.name = delete_secret.name returning * into v_old;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find secret %s', delete_secret.name));
  end if;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'secret.deleted', v_old.name,
    jsonb_build_object('version', v_old.version));
  return muster_private.secret_json(v_old);
end
$$;
comment on function muster.delete_secret(jsonb, text) is 'Forgets a secret; jobs that name it cannot open it any more';

-- The first of two steps: the token says which worker calls. The second is the function's own, as only that has seen the
-- proof by the device key.
create function muster.authorize_secrets(caller jsonb default null) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_worker constant muster.worker_devices := muster_private.current_worker();
begin
  -- The functions name here whoever calls with anything but a worker token.
  if authorize_secrets.caller is not null then
    perform muster_private.fail('MU002', 'Cannot open secrets: only a worker can');
  end if;
  return jsonb_build_object('worker_id', v_worker.id);
end
$$;
comment on function muster.authorize_secrets(jsonb) is 'The worker whose token asks for secrets; the token is all that counts';

-- A refusal is an answer rather than an error, or it would take its own row of the audit log back with it. The lock lets
-- the attempt not end before the row that says it was given the secrets is there.
create function muster.open_secrets(
  worker_id uuid, fingerprint text, proof_jti text, proof_expires_at timestamptz, job_id uuid, attempt integer
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_worker muster.worker_devices;
  v_job muster.jobs;
  v_names text[];
  v_state text;
  v_message text;
  v_hint text := '';
begin
  select * into v_job from muster.jobs j where j.id = open_secrets.job_id for share;
  select * into v_worker from muster.worker_devices w where w.id = open_secrets.worker_id;
  if v_worker.id is null then
    perform muster_private.fail('MU003', format('Cannot find worker %s', open_secrets.worker_id));
  end if;
  if v_worker.device_fingerprint is distinct from open_secrets.fingerprint then
    v_state := 'MU012';
    v_message := format('Cannot open secrets for worker %s: the proof is not by its device key', v_worker.id);
  elsif v_worker.status = 'revoked' then
    v_state := 'MU014';
    v_message := format('Cannot open secrets for worker %s: it was revoked', v_worker.id);
  else
    begin
      perform muster_private.use_proof(open_secrets.proof_jti, open_secrets.proof_expires_at);
    exception when sqlstate 'MU013' then
      get stacked diagnostics v_message = message_text, v_hint = pg_exception_hint;
      v_state := 'MU013';
    end;
  end if;
  if v_state is null and (v_job.tenant_id is distinct from v_worker.tenant_id or v_job.worker_id is distinct from v_worker.id
    or v_job.attempts is distinct from open_secrets.attempt or v_job.status not in ('assigned', 'running')) then
    v_state := 'MU006';
    v_message := format('Cannot open secrets for attempt %s of job %s: the worker does not hold it (any more)',
      open_secrets.attempt, open_secrets.job_id);
    v_hint := 'Drop the attempt: its result would be refused too';
  end if;
  if v_state is null then
    select array_agg(n.name order by n.name) into v_names from unnest(v_job.secret_names) n (name)
    where not exists (
      select from muster.secrets s
      where s.tenant_id = v_job.tenant_id and s.name = n.name and muster_private.is_type_allowed(v_job.type, s.allowed_types));
    if v_names is not null then
      v_state := 'MU021';
      v_message := format('Cannot open secret %s for job %s: it was deleted, or is not allowed for type %s any more',
        v_names[1], v_job.id, v_job.type);
    end if;
  end if;
  if v_state is not null then
    perform muster_private.audit(v_worker.tenant_id, jsonb_build_object('kind', 'worker', 'id', v_worker.id), 'secret.refused',
      open_secrets.job_id::text, jsonb_build_object('attempt', open_secrets.attempt, 'error', v_state));
    return jsonb_build_object('refused', jsonb_build_object('code', v_state, 'message', v_message, 'hint', v_hint));
  end if;
  if cardinality(v_job.secret_names) > 0 then
    perform muster_private.audit(v_worker.tenant_id, jsonb_build_object('kind', 'worker', 'id', v_worker.id), 'secret.opened',
      v_job.id::text, jsonb_build_object('attempt', v_job.attempts, 'names', v_job.secret_names));
  end if;
  return jsonb_build_object('refused', null, 'secrets', (
    select coalesce(jsonb_agg(jsonb_build_object('tenant_id', s.tenant_id, 'name', s.name, 'version', s.version,
      'ciphertext', s.ciphertext) order by s.name), '[]')
    from muster.secrets s where s.tenant_id = v_job.tenant_id and s.name = any (v_job.secret_names)));
end
$$;
comment on function muster.open_secrets(uuid, text, text, timestamptz, uuid, integer) is
  'The encrypted secrets of an attempt that the worker holds; the device''s proof was verified by the caller. A refusal is answered, and audited too';

create function muster.list_secrets_to_rotate(key_id text, page_size integer default 100, after uuid default null) returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  return jsonb_build_object('secrets', (
    select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'tenant_id', p.tenant_id, 'name', p.name, 'version', p.version,
      'ciphertext', p.ciphertext) order by p.id), '[]')
    from (
      select s.* from muster.secrets s
      where s.key_id <> list_secrets_to_rotate.key_id
        and s.id > coalesce(list_secrets_to_rotate.after, '00000000-0000-0000-0000-000000000000')
      order by s.id
      limit least(greatest(coalesce(list_secrets_to_rotate.page_size, 100), 1), 100)
    ) p));
end
$$;
comment on function muster.list_secrets_to_rotate(text, integer, uuid) is 'Secrets of all tenants that are not encrypted with the key, at most 100';

-- One that was set or deleted meanwhile is left as it is: it has its key already, or needs none. Rotated first and
-- audited after, in the order of the tenants.
create function muster.rotate_secrets(key_id text, items jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_tenant record;
  v_count integer := 0;
begin
  if coalesce(jsonb_typeof(rotate_secrets.items), '') <> 'array' or jsonb_array_length(rotate_secrets.items) > 100 then
    perform muster_private.fail('MU004', 'Cannot rotate secrets: they must be an array of at most 100');
  end if;
  for v_tenant in
    with locked as (
      select s.id, i.item ->> 'new_ciphertext' as ciphertext
      from muster.secrets s
      join jsonb_array_elements(rotate_secrets.items) i (item)
        on s.id = (i.item ->> 'id')::uuid and s.ciphertext = i.item ->> 'ciphertext'
      order by s.id
      for update of s
    ), rotated as (
      update muster.secrets s set ciphertext = l.ciphertext, key_id = rotate_secrets.key_id
      from locked l where s.id = l.id
      returning s.tenant_id
    )
    select r.tenant_id as id, count(*) as count from rotated r group by r.tenant_id order by r.tenant_id
  loop
    v_count := v_count + v_tenant.count;
    perform muster_private.audit(v_tenant.id, '{"kind": "service"}', 'master_key.rotated', rotate_secrets.key_id,
      jsonb_build_object('secrets', v_tenant.count));
  end loop;
  return jsonb_build_object('rotated_count', v_count,
    'left_count', (select count(*) from muster.secrets s where s.key_id <> rotate_secrets.key_id));
end
$$;
comment on function muster.rotate_secrets(text, jsonb) is
  'Puts secrets encrypted with another key in place of the same ones with their old key; answers how many others are left';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'prepare_secret(jsonb, text)', 'set_secret(jsonb, jsonb)', 'list_secrets(jsonb, integer, text)', 'delete_secret(jsonb, text)',
    'authorize_secrets(jsonb)', 'open_secrets(uuid, text, text, timestamptz, uuid, integer)',
    'list_secrets_to_rotate(text, integer, uuid)', 'rotate_secrets(text, jsonb)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to %I', v_function,
      case v_function when 'authorize_secrets(jsonb)' then 'muster_worker' else 'service_role' end);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
