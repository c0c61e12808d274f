-- What was done, and by whom: an append-only log a tenant, each entry chained to the one before by its hash.
--
-- Writers put entries into an inbox, where none waits for another. Sealing moves what is committed into the log: one
-- sealer a tenant at a time, under an advisory lock (audit) that writers never take.

create table muster_private.audit_inbox (
  id bigint generated always as identity,
  tenant_id uuid not null,
  actor jsonb not null,
  action text not null,
  subject text not null,
  data jsonb not null,
  job_ids uuid[],
  created_at timestamptz not null,
  primary key (tenant_id, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
comment on table muster_private.audit_inbox is 'Entries of the audit log that are not sealed yet: from the transaction they tell of to the next tick';
comment on column muster_private.audit_inbox.job_ids is 'The jobs that data tells of, where it is a change of their status';

-- Without a reference to the tenant: the log outlives it.
create table muster.audit_log (
  tenant_id uuid not null,
  seq bigint not null,
  actor jsonb not null,
  action text not null,
  subject text not null,
  data jsonb not null default '{}',
  created_at timestamptz not null,
  previous_hash bytea not null,
  hash bytea not null,
  primary key (tenant_id, seq),
  constraint seqs_start_at_1 check (seq >= 1),
  constraint hashes_are_sha256 check (length(hash) = 32 and length(previous_hash) = 32)
);
comment on table muster.audit_log is
  'What was done, and by whom; entries are only ever added, numbered without gaps, each with the hash of the one before';
comment on column muster.audit_log.created_at is 'When it was done; seq is the order of sealing, which may differ by moments';
create index audit_log_newest_idx on muster.audit_log (tenant_id, created_at desc, seq desc);
-- Status changes of jobs are the many: who looks for anything else passes them over.
create index audit_log_deeds_idx on muster.audit_log (tenant_id, created_at desc, seq desc) where action <> 'jobs.changed';

create table muster_private.audit_chains (
  tenant_id uuid primary key,
  seq bigint not null default 0,
  hash bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000',
  pruned_seq bigint not null default 0,
  pruned_hash bytea not null default '\x0000000000000000000000000000000000000000000000000000000000000000',
  retention interval not null default '400 days',
  prune_at timestamptz not null default 'infinity',
  constraint pruned_is_a_part_of_the_chain check (pruned_seq between 0 and seq)
);
comment on table muster_private.audit_chains is
  'Where the chain of each tenant ends (seq, hash), and where it begins since older entries were pruned';
comment on column muster_private.audit_chains.prune_at is 'When the oldest entry left may go';
create index audit_chains_prunable_idx on muster_private.audit_chains (prune_at);

do $$
declare
  v_table text;
begin
  foreach v_table in array array['audit_inbox', 'audit_chains'] loop
    execute format('alter table muster_private.%I enable row level security', v_table);
    execute format('create policy nobody on muster_private.%I as restrictive for all to public using (false)', v_table);
  end loop;
end
$$;

-- Only what the chain says is pruned may be deleted, whoever asks. A superuser can switch triggers off; that shows, when
-- the chain is verified.
create function muster_private.tg_audit_log__refuse_changes() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    if old.seq <= (select c.pruned_seq from muster_private.audit_chains c where c.tenant_id = old.tenant_id) then
      return old;
    end if;
  end if;
  perform muster_private.fail('MU008', format('Cannot %s the audit log: entries are only ever added', lower(tg_op)));
  return null;
end
$$;
comment on function muster_private.tg_audit_log__refuse_changes() is
  'Nobody changes the audit log, and only entries that retention has given up are deleted';
create trigger refuse_changes before update or delete on muster.audit_log
  for each row execute function muster_private.tg_audit_log__refuse_changes();
create trigger refuse_truncate before truncate on muster.audit_log
  for each statement execute function muster_private.tg_audit_log__refuse_changes();

-- A call that acts for somebody says so once, in resolve_caller(); a worker's own calls carry its token.
create function muster_private.set_actor(actor jsonb) returns void
language plpgsql set search_path = ''
as $$
begin
  perform set_config('muster.actor', set_actor.actor::text, true);
end
$$;
comment on function muster_private.set_actor(jsonb) is 'Says who is behind what this transaction does from now on';

create function muster_private.current_actor() returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_actor constant text := nullif(current_setting('muster.actor', true), '');
  v_claims jsonb;
begin
  if v_actor is not null then
    return v_actor::jsonb;
  end if;
  v_claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  return case when v_claims ->> 'role' = 'muster_worker'
    then jsonb_build_object('kind', 'worker', 'id', v_claims -> 'sub') else '{"kind": "system"}' end;
end
$$;
comment on function muster_private.current_actor() is 'Who is behind what this transaction does: a caller, a worker, or the system itself';

create function muster_private.audit(tenant_id uuid, actor jsonb, action text, subject text, data jsonb default '{}')
returns void
language plpgsql set search_path = ''
as $$
begin
  insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, created_at)
  values (audit.tenant_id, audit.actor, audit.action, audit.subject, audit.data, muster_private.now());
end
$$;
comment on function muster_private.audit(uuid, jsonb, text, text, jsonb) is
  'Notes a deed for the audit log, in the transaction that does it; waits for nobody';

create function muster_private.change_json(status text, attempt integer, worker_id uuid) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return case when change_json.worker_id is null
    then jsonb_build_object('status', change_json.status, 'attempt', change_json.attempt)
    else jsonb_build_object('status', change_json.status, 'attempt', change_json.attempt, 'worker_id', change_json.worker_id) end;
end
$$;
comment on function muster_private.change_json(text, integer, uuid) is 'What jobs came to, as the audit log tells it';

-- The text is jsonb's own: one form for one value, whatever is in it.
create function muster_private.audit_hash(
  tenant_id uuid, seq bigint, created_at timestamptz, actor jsonb, action text, subject text, data jsonb, previous_hash bytea
) returns bytea
language plpgsql immutable set search_path = ''
as $$
begin
  return sha256(convert_to(jsonb_build_array(
    audit_hash.tenant_id, audit_hash.seq, muster_private.iso(audit_hash.created_at), audit_hash.actor, audit_hash.action,
    audit_hash.subject, audit_hash.data, encode(audit_hash.previous_hash, 'hex'))::text, 'utf8'));
end
$$;
comment on function muster_private.audit_hash(uuid, bigint, timestamptz, jsonb, text, text, jsonb, bytea) is
  'SHA-256 of all that an entry of the audit log says, its place and the hash of the entry before it';

-- Moves up to `most` entries of a tenant from the inbox to the end of its chain; answers how many. Jobs that one actor
-- brought to one status become one entry. Its cost does not depend on how long the log is: the end of the chain is one row.
-- Locks: audit (advisory, a tenant); with wait false it leaves to others what they are sealing.
create function muster_private.seal_audit(tenant_id uuid, wait boolean, most integer default 5000) returns integer
language plpgsql set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_most_changes constant integer := 500;
  v_chain muster_private.audit_chains;
  v_hash bytea;
  v_entry record;
  v_count integer := 0;
  v_first_at timestamptz;
begin
  if not muster_private.lock_audit(seal_audit.tenant_id, seal_audit.wait) then
    return 0;
  end if;
  select * into v_chain from muster_private.audit_chains c where c.tenant_id = seal_audit.tenant_id;
  if not found then
    insert into muster_private.audit_chains (tenant_id) values (seal_audit.tenant_id) returning * into v_chain;
  end if;
  for v_entry in
    with taken as (
      delete from muster_private.audit_inbox i
      where i.tenant_id = seal_audit.tenant_id and i.id = any (array(
        select o.id from muster_private.audit_inbox o
        where o.tenant_id = seal_audit.tenant_id order by o.id limit seal_audit.most))
      returning i.*
    ), changes as (
      select t.id, t.actor, t.data, t.created_at, j.job_id, j.n,
        (row_number() over (partition by t.actor, t.data order by t.id, j.n) - 1) / v_most_changes as part
      from taken t cross join lateral unnest(t.job_ids) with ordinality j (job_id, n)
      where t.action = 'jobs.changed'
    )
    select t.id, 1 as rows, t.actor, t.action, t.subject, t.data, t.created_at from taken t where t.action <> 'jobs.changed'
    union all
    select min(c.id), count(distinct c.id), c.actor, 'jobs.changed', 'jobs', c.data || jsonb_build_object(
      'since', muster_private.iso(min(c.created_at)), 'jobs', jsonb_agg(c.job_id order by c.id, c.n)), max(c.created_at)
    from changes c group by c.actor, c.data, c.part
    order by 1
  loop
    v_chain.seq := v_chain.seq + 1;
    v_hash := muster_private.audit_hash(seal_audit.tenant_id, v_chain.seq, v_entry.created_at, v_entry.actor,
      v_entry.action, v_entry.subject, v_entry.data, v_chain.hash);
    insert into muster.audit_log (tenant_id, seq, actor, action, subject, data, created_at, previous_hash, hash)
    values (seal_audit.tenant_id, v_chain.seq, v_entry.actor, v_entry.action, v_entry.subject, v_entry.data,
      v_entry.created_at, v_chain.hash, v_hash);
    v_chain.hash := v_hash;
    v_first_at := coalesce(v_first_at, v_entry.created_at);
    v_count := v_count + v_entry.rows;
  end loop;
  if v_count > 0 then
    update muster_private.audit_chains c
    set seq = v_chain.seq, hash = v_chain.hash,
      prune_at = case when c.prune_at = 'infinity' then v_first_at + c.retention else c.prune_at end
    where c.tenant_id = seal_audit.tenant_id;
  end if;
  return v_count;
end
$$;
comment on function muster_private.seal_audit(uuid, boolean, integer) is
  'Moves committed entries of a tenant from the inbox to its chain; answers how many';

create function muster_private.lock_audit(tenant_id uuid, wait boolean) returns boolean
language plpgsql set search_path = ''
as $$
declare
  v_key constant bigint := hashtextextended('muster.audit:' || lock_audit.tenant_id, 0);
begin
  if not lock_audit.wait then
    return pg_try_advisory_xact_lock(v_key);
  end if;
  perform pg_advisory_xact_lock(v_key);
  return true;
end
$$;
comment on function muster_private.lock_audit(uuid, boolean) is 'Lets one transaction at a time work on the chain of a tenant; waited for only by who holds nothing else';

revoke execute on all functions in schema muster_private from public;
