-- How a tenant begins, and who its members are. Who changes members holds the tenant's row and no other lock.

create function muster_private.tenant_json(tenant muster.tenants) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_build_object('id', tenant.id, 'name', tenant.name, 'created_at', muster_private.iso(tenant.created_at));
end
$$;
comment on function muster_private.tenant_json(muster.tenants) is 'A tenant as its callers see it';

-- People are in Supabase Auth already. An e-mail address counts once its owner confirmed it: whoever signs up with the
-- address of somebody else gets nothing by it. Users of single sign-on may share addresses and are named by their id.
create function muster_private.find_user(user_id uuid, email text) returns uuid
language plpgsql stable set search_path = ''
as $$
begin
  if num_nonnulls(find_user.user_id, find_user.email) <> 1 then
    perform muster_private.fail('MU004', 'Cannot tell which user is meant: give either an id or an e-mail address');
  end if;
  return (
    select u.id from auth.users u
    where u.deleted_at is null and (u.id = find_user.user_id
      or u.email = lower(find_user.email) and u.is_sso_user = false and u.email_confirmed_at is not null));
end
$$;
comment on function muster_private.find_user(uuid, text) is 'The user of Supabase Auth with this id or confirmed e-mail address, or null';

create function muster_private.no_such_user() returns void
language plpgsql set search_path = ''
as $$
begin
  -- The same for an unknown, an unconfirmed and a deleted one: it tells no more about the project's other users.
  perform muster_private.fail('MU003', 'Cannot find this user in Supabase Auth',
    'The user must have signed up and confirmed the e-mail address first');
end
$$;
comment on function muster_private.no_such_user() is 'Raises not_found for a user';

create function muster_private.read_role(role text) returns muster.member_role
language plpgsql immutable set search_path = ''
as $$
begin
  if read_role.role = any (enum_range(null::muster.member_role)::text[]) is not true then
    perform muster_private.fail('MU004', format('Cannot give the role "%s": the roles are %s',
      left(read_role.role, 100), array_to_string(enum_range(null::muster.member_role), ', ')));
  end if;
  return read_role.role::muster.member_role;
end
$$;
comment on function muster_private.read_role(text) is 'Text as a role of members, or invalid_request';

create function muster.bootstrap_tenant(caller jsonb, name text, admin_user_id uuid default null, admin_email text default null)
returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_tenant muster.tenants;
  v_is_new boolean;
  v_user_id uuid;
  v_role muster.member_role;
begin
  if bootstrap_tenant.caller ->> 'kind' is distinct from 'service' then
    perform muster_private.resolve_caller(bootstrap_tenant.caller, 'administer');
    perform muster_private.fail('MU002', 'Cannot create a tenant: only the project''s secret key may', 'Use the project''s secret key');
  end if;
  if coalesce(length(bootstrap_tenant.name), 0) not between 1 and 100 then
    perform muster_private.fail('MU004', 'Cannot create a tenant: its name must have 1 to 100 characters');
  end if;
  insert into muster.tenants (name) values (bootstrap_tenant.name) on conflict do nothing returning * into v_tenant;
  v_is_new := found;
  if v_is_new then
    perform muster_private.audit(v_tenant.id, '{"kind": "service"}', 'tenant.created', v_tenant.id::text,
      jsonb_build_object('name', v_tenant.name));
  else
    select * into v_tenant from muster.tenants t where t.name = bootstrap_tenant.name for no key update;
  end if;
  if num_nonnulls(bootstrap_tenant.admin_user_id, bootstrap_tenant.admin_email) > 0 then
    v_user_id := muster_private.find_user(bootstrap_tenant.admin_user_id, bootstrap_tenant.admin_email);
    select m.role into v_role from muster.members m where m.tenant_id = v_tenant.id and m.user_id = v_user_id;
    if v_role is distinct from 'admin'
      and exists (select from muster.members m where m.tenant_id = v_tenant.id and m.role = 'admin') then
      perform muster_private.fail('MU008', format('Cannot make this user the first admin of tenant "%s": it has an admin', v_tenant.name),
        'Ask that admin to add the user as a member');
    end if;
    if v_user_id is null then
      perform muster_private.no_such_user();
    end if;
    if v_role is distinct from 'admin' then
      insert into muster.members (tenant_id, user_id, role) values (v_tenant.id, v_user_id, 'admin')
      on conflict on constraint members_pkey do update set role = 'admin';
      perform muster_private.audit(v_tenant.id, '{"kind": "service"}',
        case when v_role is null then 'member.added' else 'member.role_changed' end, v_user_id::text,
        jsonb_build_object('role', 'admin'));
    end if;
  end if;
  return muster_private.tenant_json(v_tenant) || jsonb_build_object('created', v_is_new, 'admin_user_id', v_user_id);
end
$$;
comment on function muster.bootstrap_tenant(jsonb, text, uuid, text) is
  'Makes a tenant with its first admin, or answers the one that has both already; the secret key alone may call it';

-- Planned for each caller anew: of a user only its own tenants are read, however many there are.
create function muster.list_tenants(
  caller jsonb, filters jsonb default '{}', page_size integer default 50, cursor text default null
) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_size constant integer := least(greatest(coalesce(list_tenants.page_size, 50), 1), 200);
  v_kind constant text := list_tenants.caller ->> 'kind';
  v_tenant_id uuid;
  v_user_id uuid;
  v_rows jsonb;
begin
  if v_kind = 'member' then
    -- A user sees the tenants it is a member of, which may be none.
    v_user_id := muster_private.to_uuid(list_tenants.caller ->> 'user_id', 'user id');
    v_tenant_id := muster_private.to_uuid(list_tenants.caller ->> 'tenant_id', 'tenant id');
    perform muster_private.charge_caller(list_tenants.caller, null, jsonb_build_object('id', coalesce(v_user_id::text, '')));
  elsif v_kind is distinct from 'service' or list_tenants.caller ->> 'tenant_id' is not null then
    v_tenant_id := (muster_private.resolve_caller(list_tenants.caller, 'read')).tenant_id;
  end if;
  perform muster_private.check_text(list_tenants.filters, 'name', 100);
  select coalesce(jsonb_agg(p.row order by p.name), '[]') into v_rows
  from (
    select t.name, muster_private.tenant_json(t) || jsonb_build_object('role', m.role) as row
    from muster.tenants t left join muster.members m on m.tenant_id = t.id and m.user_id = v_user_id
    where (v_kind <> 'member' or m.user_id is not null)
      and (v_tenant_id is null or t.id = v_tenant_id)
      and (list_tenants.filters ->> 'name' is null or t.name = list_tenants.filters ->> 'name')
      and (list_tenants.cursor is null or t.name > list_tenants.cursor)
    order by t.name limit v_size + 1
  ) p;
  return jsonb_build_object(
    'tenants', case when jsonb_array_length(v_rows) > v_size then v_rows - v_size else v_rows end,
    'next_cursor', case when jsonb_array_length(v_rows) > v_size then v_rows -> v_size - 1 ->> 'name' end);
end
$$;
comment on function muster.list_tenants(jsonb, jsonb, integer, text) is
  'Tenants by name: of a user those it is a member of with its role, of a key its own, of the secret key all';

create function muster_private.member_json(member muster.members, with_email boolean) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object('user_id', member.user_id, 'role', member.role, 'created_at', muster_private.iso(member.created_at),
    'email', case when with_email then (select u.email from auth.users u where u.id = member.user_id) end);
end
$$;
comment on function muster_private.member_json(muster.members, boolean) is 'A member as its callers see it';

create function muster.list_members(caller jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_members.caller, 'read');
begin
  return jsonb_build_object('members', (
    select coalesce(jsonb_agg(muster_private.member_json(p, 'administer' = any (v_caller.powers)) order by p.created_at, p.user_id), '[]')
    from (select m.* from muster.members m where m.tenant_id = v_caller.tenant_id order by m.created_at, m.user_id limit 1000) p));
end
$$;
comment on function muster.list_members(jsonb) is 'Members of the caller''s tenant; their e-mail addresses are for its admins';

-- One change of members at a time in a tenant: two admins who remove each other leave one. Who waited for the other may
-- have been removed meanwhile, and is asked again.
create function muster_private.lock_members(caller jsonb) returns muster_private.caller
language plpgsql set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(lock_members.caller, 'administer');
begin
  perform from muster.tenants t where t.id = v_caller.tenant_id for no key update;
  return muster_private.resolve_caller(
    lock_members.caller || jsonb_build_object('tenant_id', v_caller.tenant_id, 'is_repeat', true), 'administer');
end
$$;
comment on function muster_private.lock_members(jsonb) is 'The caller as an admin who alone may change the members now';

create function muster_private.member_of_tenant(user_id uuid, tenant_id uuid) returns muster.members
language plpgsql set search_path = ''
as $$
declare
  v_member muster.members;
begin
  select * into v_member from muster.members m
  where m.user_id = member_of_tenant.user_id and m.tenant_id = member_of_tenant.tenant_id;
  if not found then
    perform muster_private.fail('MU003', format('Cannot find member %s', member_of_tenant.user_id));
  end if;
  return v_member;
end
$$;
comment on function muster_private.member_of_tenant(uuid, uuid) is 'A member of the tenant, or not_found';

create function muster_private.keep_an_admin(member muster.members) returns void
language plpgsql set search_path = ''
as $$
begin
  if member.role = 'admin' and not exists (
    select from muster.members m where m.tenant_id = member.tenant_id and m.role = 'admin' and m.user_id <> member.user_id
  ) then
    perform muster_private.fail('MU008', format('Cannot take the role admin from %s: it is the tenant''s last admin', member.user_id),
      'Make another member admin first');
  end if;
end
$$;
comment on function muster_private.keep_an_admin(muster.members) is 'Refuses what would leave a tenant without an admin';

create function muster.add_member(caller jsonb, role text, user_id uuid default null, email text default null) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.lock_members(add_member.caller);
  v_role constant muster.member_role := muster_private.read_role(add_member.role);
  v_user_id constant uuid := muster_private.find_user(add_member.user_id, add_member.email);
  v_member muster.members;
begin
  if v_user_id is null then
    perform muster_private.no_such_user();
  end if;
  select * into v_member from muster.members m where m.tenant_id = v_caller.tenant_id and m.user_id = v_user_id;
  if found then
    if v_member.role <> v_role then
      perform muster_private.fail('MU008', format('Cannot add user %s: it is a member already, with the role %s', v_user_id, v_member.role),
        'Change the role of the member');
    end if;
    return muster_private.member_json(v_member, true);
  end if;
  if (select count(*) from muster.members m where m.tenant_id = v_caller.tenant_id) >= 1000 then
    perform muster_private.fail('MU015', 'Cannot add a member: the tenant has 1000');
  end if;
  insert into muster.members (tenant_id, user_id, role) values (v_caller.tenant_id, v_user_id, v_role) returning * into v_member;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'member.added', v_user_id::text, jsonb_build_object('role', v_role));
  return muster_private.member_json(v_member, true);
end
$$;
comment on function muster.add_member(jsonb, text, uuid, text) is
  'Makes a user of Supabase Auth a member of the caller''s tenant, by id or confirmed e-mail address';

create function muster.change_member_role(caller jsonb, user_id uuid, role text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.lock_members(change_member_role.caller);
  v_role constant muster.member_role := muster_private.read_role(change_member_role.role);
  v_member muster.members := muster_private.member_of_tenant(change_member_role.user_id, v_caller.tenant_id);
begin
  if v_member.role = v_role then
    return muster_private.member_json(v_member, true);
  end if;
  perform muster_private.keep_an_admin(v_member);
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'member.role_changed', v_member.user_id::text,
    jsonb_build_object('role', v_role, 'from', v_member.role));
  update muster.members m set role = v_role
  where m.tenant_id = v_member.tenant_id and m.user_id = v_member.user_id returning * into v_member;
  return muster_private.member_json(v_member, true);
end
$$;
comment on function muster.change_member_role(jsonb, uuid, text) is 'Gives a member another role; the last admin stays one';

create function muster.remove_member(caller jsonb, user_id uuid) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.lock_members(remove_member.caller);
  v_member constant muster.members := muster_private.member_of_tenant(remove_member.user_id, v_caller.tenant_id);
begin
  perform muster_private.keep_an_admin(v_member);
  delete from muster.members m where m.tenant_id = v_member.tenant_id and m.user_id = v_member.user_id;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'member.removed', v_member.user_id::text,
    jsonb_build_object('role', v_member.role));
  return muster_private.member_json(v_member, true);
end
$$;
comment on function muster.remove_member(jsonb, uuid) is 'Ends a membership at once; the last admin stays';

-- Who is deleted in Supabase Auth leaves its tenants, be it the last admin: bootstrap_tenant() gives them a new one.
create function muster_private.note_deleted_users() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform muster_private.audit(o.tenant_id, '{"kind": "system"}', 'member.removed', o.user_id::text,
    jsonb_build_object('role', o.role, 'reason', 'user deleted'))
  from old_members o
  where not exists (select from auth.users u where u.id = o.user_id)
    and exists (select from muster.tenants t where t.id = o.tenant_id);
  return null;
end
$$;
comment on function muster_private.note_deleted_users() is 'Audits memberships that ended with their user';
create trigger tg_members__note_deleted_users after delete on muster.members
  referencing old table as old_members for each statement execute function muster_private.note_deleted_users();

do $$
declare
  v_function text;
begin
  foreach v_function in array array['bootstrap_tenant(jsonb, text, uuid, text)', 'list_tenants(jsonb, jsonb, integer, text)',
    'list_members(jsonb)', 'add_member(jsonb, text, uuid, text)', 'change_member_role(jsonb, uuid, text)', 'remove_member(jsonb, uuid)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
