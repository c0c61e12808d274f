-- Who uses the control plane: tenants, their members, executors.

create type muster.member_role as enum ('admin', 'editor', 'publisher', 'viewer');

create table muster.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null unique,
  created_at timestamptz not null default muster_private.now(),
  constraint names_are_short check (length(name) between 1 and 100)
);
comment on table muster.tenants is 'The isolation boundary: every row that matters names one';

create table muster.members (
  tenant_id uuid not null references muster.tenants on delete cascade,
  user_id uuid not null references auth.users on delete cascade,
  role muster.member_role not null,
  created_at timestamptz not null default muster_private.now(),
  primary key (tenant_id, user_id)
);
comment on table muster.members is 'Supabase Auth users and their role in a tenant';
create index members_tenants_of_user_idx on muster.members (user_id);

create table muster.executors (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references muster.tenants on delete cascade,
  name text not null,
  created_at timestamptz not null default muster_private.now(),
  unique (tenant_id, name),
  unique (tenant_id, id),
  constraint names_are_short check (length(name) between 1 and 100)
);
comment on table muster.executors is 'Apps that submit work';

create function muster_private.check_tenant(tenant_id uuid) returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from muster.tenants t where t.id = check_tenant.tenant_id) then
    perform muster_private.fail('MU003', format('Cannot find tenant %s', coalesce(check_tenant.tenant_id::text, '(none given)')));
  end if;
end
$$;
comment on function muster_private.check_tenant(uuid) is 'Refuses a tenant that does not exist';

create function muster.create_tenant(name text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
begin
  return muster.bootstrap_tenant('{"kind": "service"}', create_tenant.name) - '{created,admin_user_id}'::text[];
end
$$;
comment on function muster.create_tenant(text) is 'Makes a tenant without a member, or answers the one that has the name already';
revoke execute on function muster.create_tenant(text) from public;
grant execute on function muster.create_tenant(text) to service_role;

revoke execute on all functions in schema muster_private from public;
