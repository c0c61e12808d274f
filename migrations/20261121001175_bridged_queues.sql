-- Making and ending the bridge of a queue, and being told of its messages: for who may speak for all tenants.

create function muster_private.check_bridge_options(type text, options jsonb) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_unknown text;
begin
  if jsonb_typeof(check_bridge_options.options) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot bridge the queue: options must be an object');
  end if;
  select k into v_unknown from jsonb_object_keys(check_bridge_options.options) k
  where k <> all (array['tenant_id', 'requires', 'labels', 'where', 'prefer', 'resources', 'secrets', 'priority', 'notify',
    'concurrency_key', 'concurrency_limit', 'concurrency_policy', 'rate_limit', 'affinity', 'resource_ref', 'fairness_key',
    'fairness_weight', 'max_attempts', 'retry_base_seconds', 'retry_cap_seconds', 'retry_backoff', 'retry_jitter',
    'final_errors', 'attempt_timeout_seconds', 'timeout_seconds'])
  order by k limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot bridge the queue: option %L is not a field that all its jobs can have',
      left(v_unknown, 100)));
  end if;
  perform muster_private.check_job(
    check_bridge_options.options || jsonb_build_object('type', check_bridge_options.type, 'payload', '{}'::jsonb), 0,
    muster_private.now());
end
$$;
comment on function muster_private.check_bridge_options(text, jsonb) is 'Refuses options with which no message could become a job';

-- The lock of making the triggers waits for who sends, and keeps others from sending until it is done: so each message
-- is either there already or met by the triggers.
create function muster.bridge_queue(queue text, type text, options jsonb default '{}') returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_now constant timestamptz := muster_private.now();
  v_caller muster_private.caller;
  v_table constant regclass := muster_private.queue_table(bridge_queue.queue);
  v_archive constant regclass := muster_private.queue_table(bridge_queue.queue, 'a');
  v_known boolean := false;
  v_count integer;
  v_taken integer := 0;
begin
  perform muster_private.check_bridge_options(bridge_queue.type, bridge_queue.options);
  v_caller := muster_private.resolve_caller(
    jsonb_build_object('kind', 'service', 'tenant_id', bridge_queue.options ->> 'tenant_id'), 'operate');
  if to_regclass('pgmq.meta') is not null then
    execute format('select exists (select from %I.meta m where m.queue_name = $1)', 'pgmq') into v_known using bridge_queue.queue;
  end if;
  if not v_known or num_nulls(v_table, v_archive) > 0 then
    perform muster_private.fail('MU003', format('Cannot bridge queue %L: pgmq has no queue of that name', left(bridge_queue.queue, 100)),
      'Make it first: select pgmq.create(…)');
  end if;
  if exists (select from muster.queue_bridges b where b.queue = bridge_queue.queue and b.tenant_id <> v_caller.tenant_id) then
    perform muster_private.fail('MU004', format('Cannot bridge queue %L: it is bridged for another tenant', bridge_queue.queue),
      'End that first: select muster.unbridge_queue(…)');
  end if;
  if not (has_table_privilege(v_table, 'trigger') and has_table_privilege(v_table, 'select')
    and has_table_privilege(v_table, 'update') and has_table_privilege(v_table, 'delete')
    and has_table_privilege(v_archive, 'insert') and has_table_privilege(v_archive, 'update')) then
    perform muster_private.fail('MU002', format('Cannot bridge queue %L: role %s may not change it', bridge_queue.queue, current_user),
      format('As its owner: grant all on %s, %s to %s', v_table, v_archive, current_user));
  end if;
  execute format('create or replace trigger muster_hide before insert on %s
    for each row execute function muster_private.tg_queue__hide(%L)', v_table, bridge_queue.queue);
  execute format('create or replace trigger muster_note_sent after insert on %s referencing new table as new_messages
    for each statement execute function muster_private.tg_queue__note_sent(%L)', v_table, bridge_queue.queue);
  execute format('create or replace trigger muster_note_gone after delete on %s referencing old table as old_messages
    for each statement execute function muster_private.tg_queue__note_gone(%L)', v_table, bridge_queue.queue);
  execute format('create or replace trigger muster_note_purged after truncate on %s
    for each statement execute function muster_private.tg_queue__note_purged(%L)', v_table, bridge_queue.queue);
  insert into muster.queue_bridges as b (queue, tenant_id, type, options, created_at, updated_at)
  values (bridge_queue.queue, v_caller.tenant_id, bridge_queue.type, bridge_queue.options - 'tenant_id', v_now, v_now)
  on conflict on constraint queue_bridges_pkey do update
  set type = excluded.type, options = excluded.options, updated_at = excluded.updated_at;

  -- A queue that was dropped and made anew counts from 1 again: what is known of the old one went with it.
  execute format(
    'with gone as (
       delete from muster_private.queue_messages b
       where b.queue = $1 and not exists (
         select from %s q where q.msg_id = b.msg_id and q.vt > $2 + muster_private.out_of_sight() / 2)
       returning b.job_id
     )
     insert into muster_private.commit_inbox (kind, job_ids)
     select ''gone'', array_agg(g.job_id) from gone g where g.job_id is not null having count(*) > 0', v_table)
  using bridge_queue.queue, v_now;
  execute format(
    'with hidden as (
       update %s q set vt = q.vt + muster_private.out_of_sight()
       where q.vt < $2 + muster_private.out_of_sight() / 2
         and not exists (select from muster_private.queue_messages b where b.queue = $1 and b.msg_id = q.msg_id)
       returning q.msg_id, q.vt
     )
     insert into muster_private.queue_messages (queue, msg_id, tenant_id, run_at)
     select $1, h.msg_id, $3, h.vt - muster_private.out_of_sight() from hidden h', v_table)
  using bridge_queue.queue, v_now, v_caller.tenant_id;
  -- A long queue is left to the tick, some at a time.
  for v_turn in 1..10 loop
    v_count := muster_private.take_messages(bridge_queue.queue, null, v_now);
    v_taken := v_taken + coalesce(v_count, 0);
    exit when coalesce(v_count, 0) < 500;
  end loop;
  perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'queue.bridged', bridge_queue.queue,
    jsonb_build_object('type', bridge_queue.type));
  perform muster_private.assign_jobs(v_caller.tenant_id, v_now);
  return jsonb_build_object('queue', bridge_queue.queue, 'tenant_id', v_caller.tenant_id, 'type', bridge_queue.type,
    'taken_over', v_taken);
end
$$;
comment on function muster.bridge_queue(text, text, jsonb) is
  'From now on each message of a pgmq queue becomes a job of the type, those that are there too; again to change the options';

-- Gives the queue back to its readers; messages whose jobs live stay hidden until those end, unless `all`.
create function muster_private.release_queue(queue text, every boolean) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_table constant regclass := muster_private.queue_table(release_queue.queue);
  v_name text;
  v_count integer := 0;
begin
  if v_table is not null then
    foreach v_name in array array['muster_hide', 'muster_note_sent', 'muster_note_gone', 'muster_note_purged'] loop
      execute format('drop trigger if exists %I on %s', v_name, v_table);
    end loop;
    execute format(
      'update %s q set vt = q.vt - muster_private.out_of_sight()
       where q.vt > muster_private.now() + muster_private.out_of_sight() / 2
         and ($2 or not exists (
           select from muster_private.queue_messages b
           where b.queue = $1 and b.msg_id = q.msg_id and b.job_id is not null))', v_table)
    using release_queue.queue, release_queue.every;
    get diagnostics v_count = row_count;
  end if;
  delete from muster_private.queue_messages b
  where b.queue = release_queue.queue and (b.job_id is null or release_queue.every);
  return v_count;
end
$$;
comment on function muster_private.release_queue(text, boolean) is
  'Takes the bridge''s triggers from a queue and shows its messages again: those without a job, or every one';

create function muster_private.release_all_queues() returns void
language plpgsql set search_path = ''
as $$
declare
  v_trigger record;
begin
  perform muster_private.release_queue(q.queue, true)
  from (select b.queue from muster.queue_bridges b union select m.queue from muster_private.queue_messages m) q;
  for v_trigger in
    select t.tgname as name, t.tgrelid::regclass as relation
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    where p.pronamespace = 'muster_private'::regnamespace and c.relnamespace = to_regnamespace('pgmq')
  loop
    execute format('drop trigger %I on %s', v_trigger.name, v_trigger.relation);
  end loop;
end
$$;
comment on function muster_private.release_all_queues() is 'Gives every queue back to its readers, with all its messages: before Muster is removed';

create function muster.unbridge_queue(queue text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_bridge muster.queue_bridges;
  v_count integer;
begin
  select * into v_bridge from muster.queue_bridges b where b.queue = unbridge_queue.queue for update;
  if not found then
    perform muster_private.fail('MU003', format('Cannot end the bridge of queue %L: it has none', left(unbridge_queue.queue, 100)));
  end if;
  v_count := muster_private.release_queue(v_bridge.queue, false);
  delete from muster.queue_bridges b where b.queue = v_bridge.queue;
  perform muster_private.audit(v_bridge.tenant_id, '{"kind": "service"}', 'queue.unbridged', v_bridge.queue);
  return jsonb_build_object('queue', v_bridge.queue, 'tenant_id', v_bridge.tenant_id, 'given_back', v_count);
end
$$;
comment on function muster.unbridge_queue(text) is
  'Messages of the queue no longer become jobs; those that have one are archived when it ends, as before';

create function muster_private.tg_queue__notify() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_msg_id bigint;
begin
  select max(m.msg_id) into v_msg_id from new_messages m;
  if v_msg_id is not null then
    perform muster_private.send_message(tg_argv[1], tg_argv[2], jsonb_build_object('queue', tg_argv[0], 'job_id', v_msg_id));
  end if;
  return null;
end
$$;
comment on function muster_private.tg_queue__notify() is 'Sends one message a statement that put messages into a queue, naming the last of them';

create function muster.create_realtime_trigger(queue text, channel text default null, event text default 'job_enqueued') returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_table constant regclass := muster_private.queue_table(create_realtime_trigger.queue);
  v_channel constant text := coalesce(create_realtime_trigger.channel, (
    select 'worker-wakeup:' || b.tenant_id from muster.queue_bridges b where b.queue = create_realtime_trigger.queue));
  v_event constant text := coalesce(create_realtime_trigger.event, 'job_enqueued');
begin
  if v_table is null then
    perform muster_private.fail('MU003', format('Cannot watch queue %L: pgmq has no queue of that name', left(create_realtime_trigger.queue, 100)),
      'Make it first: select pgmq.create(…)');
  end if;
  if v_channel is null or length(v_channel) not between 1 and 255 or length(v_event) not between 1 and 100 then
    perform muster_private.fail('MU004', format('Cannot watch queue %L: name a channel of 1 to 255 characters and an event of 1 to 100',
      create_realtime_trigger.queue), 'For workers in claim mode that is worker-wakeup:<tenant id>');
  end if;
  execute format('create or replace trigger muster_notify after insert on %s referencing new table as new_messages
    for each statement execute function muster_private.tg_queue__notify(%L, %L, %L)',
    v_table, create_realtime_trigger.queue, v_channel, v_event);
  return jsonb_build_object('queue', create_realtime_trigger.queue, 'channel', v_channel, 'event', v_event);
end
$$;
comment on function muster.create_realtime_trigger(text, text, text) is
  'From now on each statement that sends to a pgmq queue sends one message {queue, job_id} on the channel; again to change it';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'bridge_queue(text, text, jsonb)', 'unbridge_queue(text)', 'create_realtime_trigger(text, text, text)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
