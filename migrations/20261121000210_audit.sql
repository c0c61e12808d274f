-- What was done, and by whom.

create table muster.audit_log (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references muster.tenants on delete cascade,
  actor jsonb not null,
  action text not null,
  subject text not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default muster_private.now()
);
comment on table muster.audit_log is 'What was done to machines, keys and tokens, and by whom; rows are only ever added';
create index audit_log_of_tenant_idx on muster.audit_log (tenant_id, id);

create function muster_private.audit(tenant_id uuid, actor jsonb, action text, subject text, data jsonb default '{}')
returns void
language plpgsql set search_path = ''
as $$
begin
  insert into muster.audit_log (tenant_id, actor, action, subject, data)
  values (audit.tenant_id, audit.actor, audit.action, audit.subject, audit.data);
end
$$;
comment on function muster_private.audit(uuid, jsonb, text, text, jsonb) is 'Adds a row to the audit log';

revoke execute on all functions in schema muster_private from public;
