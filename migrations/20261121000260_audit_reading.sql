-- Reading the audit log, verifying its chain, and how long it is kept.

create function muster_private.audit_entry_json(entry muster.audit_log) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('seq', entry.seq, 'created_at', muster_private.iso(entry.created_at), 'actor', entry.actor,
      'action', entry.action, 'subject', entry.subject, 'data', entry.data,
      'previous_hash', encode(entry.previous_hash, 'hex'), 'hash', encode(entry.hash, 'hex'))
  );
end
$$;
comment on function muster_private.audit_entry_json(muster.audit_log) is 'An entry of the audit log as its callers see it';

create function muster_private.check_audit_filters(filters jsonb) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_name text;
begin
  if jsonb_typeof(check_audit_filters.filters) <> 'object' then
    perform muster_private.fail('MU004', 'Cannot read the filters: they are an object');
  end if;
  select k into v_name from jsonb_object_keys(check_audit_filters.filters) k
  where k not in ('action', 'actor_kind', 'actor_id', 'subject', 'since', 'until') limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot filter the audit log by %s', left(v_name, 100)));
  end if;
  foreach v_name in array array['action', 'actor_kind', 'actor_id', 'subject', 'since', 'until'] loop
    perform muster_private.check_text(check_audit_filters.filters, v_name, 255);
  end loop;
end
$$;
comment on function muster_private.check_audit_filters(jsonb) is 'Refuses filters that the audit log does not know';

-- What is committed is sealed first, so that the answer is complete. A call looks at 10,000 entries at most and answers
-- about 1 MB: with a rare thing sought in a long log, a page may be short, even empty, and others follow all the same.
create function muster.list_audit(caller jsonb, filters jsonb default '{}', page_size integer default 50, cursor text default null)
returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_audit.caller, 'administer');
  v_most_walked constant integer := 10000;
  v_most_bytes constant integer := 1048576;
  v_size constant integer := least(greatest(coalesce(list_audit.page_size, 50), 1), 200);
  v_filters constant jsonb := coalesce(nullif(list_audit.filters, 'null'), '{}');
  v_action constant text := v_filters ->> 'action';
  v_before_at timestamptz := 'infinity'::timestamptz;
  v_before_seq bigint := 9223372036854775807;
  v_entries jsonb;
  v_walked integer;
  v_matched integer;
  v_last text;
begin
  perform muster_private.check_audit_filters(v_filters);
  if list_audit.cursor is not null then
    if list_audit.cursor !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z_\d{1,18}$' then
      perform muster_private.fail('MU004', 'Cannot read the cursor: it must be one that a list answered');
    end if;
    v_before_at := split_part(list_audit.cursor, '_', 1)::timestamptz;
    v_before_seq := split_part(list_audit.cursor, '_', 2)::bigint;
  end if;
  perform muster_private.seal_audit(v_caller.tenant_id, true);

  with walked as materialized (
    select a as entry, a.created_at, a.seq, a.action, a.actor, a.subject from muster.audit_log a
    where a.tenant_id = v_caller.tenant_id and (a.created_at, a.seq) < (v_before_at, v_before_seq)
      and a.created_at >= coalesce((v_filters ->> 'since')::timestamptz, '-infinity')
      and a.created_at < coalesce((v_filters ->> 'until')::timestamptz, 'infinity')
      -- Says nothing new, but as a constant of the plan it lets an index pass over the changes of jobs.
      and (a.action <> 'jobs.changed' or v_action is null or starts_with('jobs.changed', v_action))
    order by a.created_at desc, a.seq desc
    limit v_most_walked
  ), matched as (
    select w.entry, row_number() over (order by w.created_at desc, w.seq desc) as place from walked w
    where (v_action is null or w.action = v_action or (right(v_action, 1) = '.' and starts_with(w.action, v_action)))
      and (v_filters ->> 'actor_kind' is null or w.actor ->> 'kind' = v_filters ->> 'actor_kind')
      and (v_filters ->> 'actor_id' is null or w.actor ->> 'id' = v_filters ->> 'actor_id')
      and (v_filters ->> 'subject' is null or w.subject = v_filters ->> 'subject')
    order by w.created_at desc, w.seq desc
    limit v_size + 1
  ), sized as (
    select m.*, sum(octet_length((m.entry).data::text)) over (order by m.place) as bytes from matched m
  )
  select coalesce((
      select jsonb_agg(muster_private.audit_entry_json(z.entry) order by z.place) from sized z
      where z.place = 1 or (z.place <= v_size and z.bytes <= v_most_bytes)), '[]'),
    (select count(*) from walked), (select count(*) from matched),
    (select muster_private.iso(w.created_at) || '_' || w.seq from walked w order by w.created_at, w.seq limit 1)
  into v_entries, v_walked, v_matched, v_last;

  return jsonb_build_object('entries', v_entries, 'next_cursor', case
    when v_matched > jsonb_array_length(v_entries)
      then (v_entries -> -1 ->> 'created_at') || '_' || (v_entries -> -1 ->> 'seq')
    when v_walked = v_most_walked then v_last end);
end
$$;
comment on function muster.list_audit(jsonb, jsonb, integer, text) is
  'Entries of the tenant''s audit log, newest first; a page may be short or empty though more follow';

create function muster_private.audit_link_json(seq bigint, hash bytea) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_build_object('seq', audit_link_json.seq, 'hash', encode(audit_link_json.hash, 'hex'));
end
$$;
comment on function muster_private.audit_link_json(bigint, bytea) is 'A place of the chain and the hash that stands there';

-- Walks a piece of the chain: 10,000 entries or 32 MB, whichever comes first. The lock keeps sealing and pruning away
-- while it looks. `head` is what an earlier call answered and somebody kept elsewhere: without it, who can write
-- everything can also write a whole chain anew.
create function muster.verify_audit(caller jsonb, from_seq bigint default null, head jsonb default null) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(verify_audit.caller, 'administer');
  v_most_entries constant integer := 10000;
  v_most_bytes constant bigint := 33554432;
  v_chain muster_private.audit_chains;
  v_entry muster.audit_log;
  v_seq bigint;
  v_hash bytea;
  v_checked integer := 0;
  v_bytes bigint := 0;
  v_break jsonb;
  v_next bigint;
begin
  if verify_audit.from_seq < 1 then
    perform muster_private.fail('MU004', format('Cannot verify the audit log from entry %s: entries are numbered from 1', verify_audit.from_seq));
  end if;
  if jsonb_typeof(coalesce(verify_audit.head, 'null')) not in ('object', 'null')
    or (jsonb_typeof(verify_audit.head) = 'object' and (jsonb_typeof(verify_audit.head -> 'seq') is distinct from 'number'
      or coalesce(verify_audit.head ->> 'seq', '') !~ '^\d{1,18}$' or coalesce(verify_audit.head ->> 'hash', '') !~ '^[0-9a-f]{64}$')) then
    perform muster_private.fail('MU004', 'Cannot read the head: it has the seq and the hash that an earlier verification answered');
  end if;
  perform muster_private.seal_audit(v_caller.tenant_id, true);
  select * into v_chain from muster_private.audit_chains c where c.tenant_id = v_caller.tenant_id;
  if not found then
    v_chain.seq := 0;
    v_chain.pruned_seq := 0;
    v_chain.hash := decode(repeat('00', 32), 'hex');
    v_chain.pruned_hash := v_chain.hash;
  end if;

  v_break := muster_private.check_audit_head(v_caller.tenant_id, v_chain, verify_audit.head);
  v_seq := v_chain.pruned_seq;
  v_hash := v_chain.pruned_hash;
  if v_break is null and verify_audit.from_seq > v_seq + 1 then
    -- The entry before was the last of an earlier piece.
    select a.seq, a.hash into v_seq, v_hash from muster.audit_log a
    where a.tenant_id = v_caller.tenant_id and a.seq < verify_audit.from_seq order by a.seq desc limit 1;
    if not found then
      v_seq := v_chain.pruned_seq;
      v_hash := v_chain.pruned_hash;
    end if;
  end if;
  if v_break is null then
    for v_entry in
      select * from muster.audit_log a where a.tenant_id = v_caller.tenant_id and a.seq > v_seq order by a.seq
    loop
      if v_checked = v_most_entries or v_bytes > v_most_bytes then
        v_next := v_entry.seq;
        exit;
      end if;
      v_break := muster_private.check_audit_entry(v_entry, v_seq, v_hash, v_chain.seq);
      exit when v_break is not null;
      v_checked := v_checked + 1;
      v_bytes := v_bytes + octet_length(v_entry.data::text);
      v_seq := v_entry.seq;
      v_hash := v_entry.hash;
    end loop;
  end if;
  if v_break is null and v_next is null and (v_seq, v_hash) is distinct from (v_chain.seq, v_chain.hash) then
    v_break := case when v_seq < v_chain.seq
      then muster_private.audit_break(v_seq + 1, 'truncated', format('Entries %s to %s are missing from the end', v_seq + 1, v_chain.seq))
      else muster_private.audit_break(v_seq, 'rewritten', format('Entry %s is not the one that was sealed last', v_seq)) end;
  end if;
  return jsonb_build_object('intact', v_break is null, 'checked', v_checked, 'broken', v_break,
    'next_seq', case when v_break is null then v_next end,
    'head', muster_private.audit_link_json(v_chain.seq, v_chain.hash),
    'checkpoint', muster_private.audit_link_json(v_chain.pruned_seq, v_chain.pruned_hash),
    'retention_days', extract(epoch from coalesce(v_chain.retention, interval '400 days')) / 86400);
end
$$;
comment on function muster.verify_audit(jsonb, bigint, jsonb) is
  'Walks a piece of the tenant''s audit log and names the first entry that is not as it was sealed, and how';

create function muster_private.audit_break(seq bigint, how text, message text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  return jsonb_build_object('seq', audit_break.seq, 'how', audit_break.how, 'message', audit_break.message);
end
$$;
comment on function muster_private.audit_break(bigint, text, text) is 'Where a chain is broken, and how';

-- An entry is held against the one before it. Its own hash says whether it still says what it said, the link whether it
-- still stands where it stood.
create function muster_private.check_audit_entry(entry muster.audit_log, seq bigint, hash bytea, last_seq bigint) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_entry alias for $1;
  v_is_own constant boolean := v_entry.hash = muster_private.audit_hash(v_entry.tenant_id, v_entry.seq, v_entry.created_at,
    v_entry.actor, v_entry.action, v_entry.subject, v_entry.data, v_entry.previous_hash);
begin
  if v_entry.seq > check_audit_entry.last_seq then
    return muster_private.audit_break(v_entry.seq, 'added', format('Entry %s was not sealed: the chain ends with entry %s',
      v_entry.seq, check_audit_entry.last_seq));
  end if;
  if v_entry.seq > check_audit_entry.seq + 1 then
    return muster_private.audit_break(check_audit_entry.seq + 1, 'missing',
      format('Entries %s to %s are missing', check_audit_entry.seq + 1, v_entry.seq - 1));
  end if;
  if v_entry.previous_hash = check_audit_entry.hash then
    return case when not v_is_own then
      muster_private.audit_break(v_entry.seq, 'changed', format('Entry %s does not say what it said when it was sealed', v_entry.seq)) end;
  end if;
  if not v_is_own and exists (
    select from muster.audit_log a
    where a.tenant_id = v_entry.tenant_id and a.hash = v_entry.previous_hash
      and a.seq between v_entry.seq - 10000 and v_entry.seq + 10000) then
    return muster_private.audit_break(v_entry.seq, 'reordered', format('Entry %s stands in another place than it was sealed in', v_entry.seq));
  end if;
  return case when v_is_own
    then muster_private.audit_break(v_entry.seq - 1, 'rewritten', format(
      'Entry %s was replaced by another: entry %s does not follow it', v_entry.seq - 1, v_entry.seq))
    else muster_private.audit_break(v_entry.seq, 'changed', format('Entry %s does not say what it said when it was sealed', v_entry.seq)) end;
end
$$;
comment on function muster_private.check_audit_entry(muster.audit_log, bigint, bytea, bigint) is
  'How an entry breaks the chain of which the given link is the one before it; null when it does not';

create function muster_private.check_audit_head(tenant_id uuid, chain muster_private.audit_chains, head jsonb) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_chain alias for $2;
  v_seq constant bigint := (check_audit_head.head ->> 'seq')::bigint;
  v_hash constant text := check_audit_head.head ->> 'hash';
  v_present bytea;
begin
  -- What was pruned cannot be looked at any more; its last entry is the checkpoint.
  if v_seq is null or v_seq < v_chain.pruned_seq then
    return null;
  end if;
  if v_seq > v_chain.seq then
    return muster_private.audit_break(v_chain.seq + 1, 'truncated', format(
      'Entries %s to %s are missing from the end: the noted head is entry %s', v_chain.seq + 1, v_seq, v_seq));
  end if;
  if v_seq = v_chain.pruned_seq then
    v_present := v_chain.pruned_hash;
  else
    select a.hash into v_present from muster.audit_log a where a.tenant_id = check_audit_head.tenant_id and a.seq = v_seq;
    if not found then
      return null;
    end if;
  end if;
  return case when encode(v_present, 'hex') <> v_hash then
    muster_private.audit_break(v_seq, 'rewritten', format('Entry %s or one before it was replaced: its hash is not the noted one', v_seq)) end;
end
$$;
comment on function muster_private.check_audit_head(uuid, muster_private.audit_chains, jsonb) is
  'How the chain contradicts a head that was noted earlier; null when it does not';

create function muster.set_audit_retention(caller jsonb, days integer) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(set_audit_retention.caller, 'administer');
  v_before interval;
begin
  -- An admin of the tenant is one of those whom the log is about.
  if v_caller.kind <> 'service' then
    perform muster_private.fail('MU002', 'Cannot set how long the audit log is kept: only the project itself can',
      'Use the project''s secret key');
  end if;
  if coalesce(set_audit_retention.days, 0) not between 30 and 3650 then
    perform muster_private.fail('MU004', format('Cannot keep the audit log for %s days: it must be 30 to 3650', set_audit_retention.days));
  end if;
  perform muster_private.lock_audit(v_caller.tenant_id, true);
  insert into muster_private.audit_chains (tenant_id) values (v_caller.tenant_id) on conflict do nothing;
  select c.retention into v_before from muster_private.audit_chains c where c.tenant_id = v_caller.tenant_id;
  update muster_private.audit_chains c
  set retention = make_interval(days => set_audit_retention.days),
    prune_at = c.prune_at - c.retention + make_interval(days => set_audit_retention.days)
  where c.tenant_id = v_caller.tenant_id;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'audit.retention_changed', v_caller.tenant_id::text,
    jsonb_build_object('from_days', extract(epoch from v_before) / 86400, 'to_days', set_audit_retention.days));
  return jsonb_build_object('retention_days', set_audit_retention.days);
end
$$;
comment on function muster.set_audit_retention(jsonb, integer) is 'Says how many days the entries of a tenant''s audit log are kept';

-- Gives up to `most` of the oldest entries away; answers how many. The checkpoint goes first: it is what lets them be
-- deleted, and what the rest is verified from.
create function muster_private.prune_audit(tenant_id uuid, most integer, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_chain muster_private.audit_chains;
  v_entry record;
  v_count integer := 0;
  v_next timestamptz;
begin
  if not muster_private.lock_audit(prune_audit.tenant_id, false) then
    return 0;
  end if;
  select * into strict v_chain from muster_private.audit_chains c where c.tenant_id = prune_audit.tenant_id;
  for v_entry in
    select a.seq, a.hash, a.created_at from muster.audit_log a
    where a.tenant_id = prune_audit.tenant_id and a.seq > v_chain.pruned_seq
    order by a.seq limit prune_audit.most + 1
  loop
    v_next := v_entry.created_at + v_chain.retention;
    exit when v_next > prune_audit.at or v_count = prune_audit.most;
    v_count := v_count + 1;
    v_chain.pruned_seq := v_entry.seq;
    v_chain.pruned_hash := v_entry.hash;
    v_next := null;
  end loop;
  update muster_private.audit_chains c
  set pruned_seq = v_chain.pruned_seq, pruned_hash = v_chain.pruned_hash, prune_at = coalesce(v_next, 'infinity')
  where c.tenant_id = prune_audit.tenant_id;
  delete from muster.audit_log a where a.tenant_id = prune_audit.tenant_id and a.seq <= v_chain.pruned_seq;
  return v_count;
end
$$;
comment on function muster_private.prune_audit(uuid, integer, timestamptz) is
  'Deletes the oldest entries past their retention, as many as asked, and leaves a checkpoint in their place';

-- Hops over the index from tenant to tenant, from a random one on: where one floods its inbox, all get their turn.
-- A log that somebody has tampered with may refuse an entry: that stops neither the others nor the scheduler.
create function muster_private.seal_inbox(most integer) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_start constant uuid := gen_random_uuid();
  v_tenant_id uuid;
  v_count integer := 0;
  -- Each takes a lock to the end of the transaction, for which Postgres has room for some thousands.
  v_tenants_left integer := 1000;
begin
  for v_round in 1..2 loop
    v_tenant_id := case v_round when 1 then v_start else '00000000-0000-0000-0000-000000000000' end;
    loop
      select i.tenant_id into v_tenant_id from muster_private.audit_inbox i
      where i.tenant_id > v_tenant_id and (v_round = 1 or i.tenant_id <= v_start)
      order by i.tenant_id limit 1;
      exit when not found or v_count >= seal_inbox.most or v_tenants_left = 0;
      v_tenants_left := v_tenants_left - 1;
      begin
        v_count := v_count + muster_private.seal_audit(v_tenant_id, false);
      exception when others then
        raise warning 'Cannot seal the audit log of tenant %: % (%)', v_tenant_id, sqlerrm, sqlstate;
      end;
    end loop;
  end loop;
  return v_count;
end
$$;
comment on function muster_private.seal_inbox(integer) is
  'Seals what tenants have in the inbox: as many entries as asked, or the rest of one tenant more';

create function muster_private.prune_logs(tenants integer, at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_most_a_tenant constant integer := 2000;
  v_tenant_id uuid;
  v_count integer := 0;
begin
  for v_tenant_id in
    select c.tenant_id from muster_private.audit_chains c
    where c.prune_at <= prune_logs.at order by c.prune_at limit prune_logs.tenants
  loop
    v_count := v_count + muster_private.prune_audit(v_tenant_id, v_most_a_tenant, prune_logs.at);
  end loop;
  return v_count;
end
$$;
comment on function muster_private.prune_logs(integer, timestamptz) is
  'Deletes entries past their retention from the logs of as many tenants, up to 2,000 each';

create function muster_private.tend_audit(at timestamptz) returns void
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.collect_refused_joins();
  perform muster_private.seal_inbox(20000);
  perform muster_private.prune_logs(5, tend_audit.at);
end
$$;
comment on function muster_private.tend_audit(timestamptz) is
  'The tick''s share of the audit log: refused joins, sealing, retention; waits for nobody';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'list_audit(jsonb, jsonb, integer, text)', 'verify_audit(jsonb, bigint, jsonb)', 'set_audit_retention(jsonb, integer)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
