-- Joins of channels that were refused. Realtime asks the policies in a transaction that it rolls back, so no row can tell
-- of a refusal; sequences are all that a rollback leaves alone. A few of them hold who was refused last and how often, and
-- the tick makes entries of the audit log from them.
--
-- Each refusal goes to one of 32 slots, by who was refused and where, so that a flood by one worker drowns only what
-- shares its slot. Of a slot two sequences tell: refused_join_<n> holds a role (2 bits), a kind of channel (3), the first
-- 44 bits of the id of who was refused and a tally (14); refused_join_topic_<n> the first 60 bits of the id in the
-- channel's name. Of refusals that meet in one slot at one time some may go uncounted; none is counted that did not happen.

do $$
begin
  for v_slot in 0..31 loop
    execute format('create sequence muster_private.refused_join_%s minvalue 0', v_slot);
    execute format('create sequence muster_private.refused_join_topic_%s minvalue 0', v_slot);
  end loop;
end
$$;
create sequence muster_private.refused_join_count;
comment on sequence muster_private.refused_join_count is 'Moves with each refusal: the tick looks at the slots only where it has moved';

create table muster_private.refused_joins (
  slot integer primary key,
  seen bigint not null default 0,
  constraint slots_are_0_to_32 check (slot between 0 and 32)
);
comment on table muster_private.refused_joins is 'What the tick has last seen of each slot; slot 32 is the count of all';
insert into muster_private.refused_joins (slot) select generate_series(0, 32);
alter table muster_private.refused_joins enable row level security;
create policy nobody on muster_private.refused_joins as restrictive for all to public using (false);

create function muster_private.channel_kinds() returns text[]
language plpgsql immutable set search_path = ''
as $$
begin
  return array['worker', 'executor', 'job', 'fleet', 'worker-wakeup'];
end
$$;
comment on function muster_private.channel_kinds() is 'The first words of channel names';

create function muster_private.note_refused_join(topic text) returns void
language plpgsql set search_path = ''
as $$
declare
  v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_role constant bigint := case v_claims ->> 'role'
    when 'muster_worker' then 1 when 'muster_client' then 2 when 'authenticated' then 3 else 0 end;
  v_sub constant text := coalesce(v_claims ->> 'sub', '');
  v_kind bigint := coalesce(array_position(muster_private.channel_kinds(), split_part(note_refused_join.topic, ':', 1)), 0);
  v_id constant text := split_part(note_refused_join.topic, ':', 2);
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_who bigint;
  v_slot bigint;
  v_name regclass;
  v_last bigint;
  v_count bigint;
begin
  if v_id !~ v_uuid then
    v_kind := 0;
  end if;
  -- An app's own users join its own channels, which are none of ours: other policies may let them in.
  if v_role = 0 or v_sub !~ v_uuid or (v_role = 3 and v_kind = 0) then
    return;
  end if;
  v_who := (v_role << 47) | (v_kind << 44) | ('x' || left(replace(v_sub, '-', ''), 11))::bit(44)::bigint;
  v_slot := (v_who + v_kind) % 32;
  v_name := format('muster_private.refused_join_%s', v_slot)::regclass;
  v_last := coalesce(pg_sequence_last_value(v_name), 0);
  v_count := case when v_last >> 14 = v_who then v_last & 16383 else 0 end;
  perform setval(format('muster_private.refused_join_topic_%s', v_slot)::regclass,
    case when v_kind = 0 then 0 else ('x' || left(replace(v_id, '-', ''), 15))::bit(60)::bigint end);
  -- Not nextval(), which after a crash goes on up to 32 further: nobody shall be blamed for more than was.
  perform setval(v_name, (v_who << 14) | case v_count when 16383 then 1 else v_count + 1 end);
  perform nextval('muster_private.refused_join_count');
end
$$;
comment on function muster_private.note_refused_join(text) is 'Notes, past any rollback, that the token that makes this call was refused a channel';

-- A join is asked for by reading broadcasts, and counts once however many extensions are asked. Writing is asked when
-- somebody first writes: refused, it is a listener's usual lot, unless the token may not even listen.
create function muster_private.authorize_topic(topic text, extension text, is_write boolean) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if muster_private.may_use_topic(authorize_topic.topic, authorize_topic.extension, authorize_topic.is_write) then
    return true;
  end if;
  if authorize_topic.extension = 'broadcast'
    and not (authorize_topic.is_write and muster_private.may_use_topic(authorize_topic.topic, 'broadcast', false)) then
    perform muster_private.note_refused_join(authorize_topic.topic);
  end if;
  return false;
end
$$;
comment on function muster_private.authorize_topic(text, text, boolean) is
  'Whether the token that makes this call may read (or write) a channel; counts refused joins for the audit log';

create function muster_private.collect_refused_joins() returns integer
language plpgsql set search_path = ''
as $$
declare
  v_all constant bigint := coalesce(pg_sequence_last_value('muster_private.refused_join_count'), 0);
  v_slot record;
  v_last bigint;
  v_tally bigint;
  v_from uuid;
  v_to uuid;
  v_kind text;
  v_who record;
  v_entries integer := 0;
begin
  update muster_private.refused_joins r set seen = v_all where r.slot = 32 and r.seen <> v_all;
  if not found then
    return 0;
  end if;
  for v_slot in select r.slot, r.seen from muster_private.refused_joins r where r.slot < 32 order by r.slot loop
    v_last := coalesce(pg_sequence_last_value(format('muster_private.refused_join_%s', v_slot.slot)::regclass), 0);
    continue when v_last = v_slot.seen;
    update muster_private.refused_joins r set seen = v_last where r.slot = v_slot.slot;
    v_tally := (v_last & 16383)
      - case when v_last >> 14 = v_slot.seen >> 14 and v_last > v_slot.seen then v_slot.seen & 16383 else 0 end;
    v_from := rpad(lpad(to_hex((v_last >> 14) & 17592186044415), 11, '0'), 32, '0')::uuid;
    v_to := rpad(lpad(to_hex((v_last >> 14) & 17592186044415), 11, '0'), 32, 'f')::uuid;
    v_kind := (muster_private.channel_kinds())[(v_last >> 58) & 7];
    for v_who in
      select w.tenant_id, 'worker' as kind, w.id from muster.worker_devices w
      where v_last >> 61 = 1 and w.id between v_from and v_to
      union all
      select e.tenant_id, 'executor', e.id from muster.executors e
      where v_last >> 61 = 2 and e.id between v_from and v_to
      union all
      select m.tenant_id, 'member', m.user_id from muster.members m
      where v_last >> 61 = 3 and m.user_id between v_from and v_to
    loop
      perform muster_private.audit(v_who.tenant_id, jsonb_build_object('kind', v_who.kind, 'id', v_who.id), 'channel.refused',
        coalesce(v_kind || ':' || muster_private.refused_topic_id(v_slot.slot), 'unknown'), jsonb_build_object('count', v_tally));
      v_entries := v_entries + 1;
    end loop;
  end loop;
  return v_entries;
end
$$;
comment on function muster_private.collect_refused_joins() is
  'Makes entries of the audit log from the refusals since the last look; answers how many';

create function muster_private.refused_topic_id(slot integer) returns text
language plpgsql volatile set search_path = ''
as $$
begin
  return left(rpad(lpad(to_hex(coalesce(pg_sequence_last_value(
    format('muster_private.refused_join_topic_%s', refused_topic_id.slot)::regclass), 0)), 15, '0'), 32, '0')::uuid::text, 17) || '…';
end
$$;
comment on function muster_private.refused_topic_id(integer) is 'The first 15 digits of the id in the name of the channel last refused in a slot';

revoke execute on all functions in schema muster_private from public;
