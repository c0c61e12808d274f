-- Queues of pgmq whose messages become jobs. Who sends a message may be anybody, and shall notice nothing: what the bridge
-- cannot do at once the tick does, and nothing of it fails a transaction that is not its own.
--
-- A message is hidden from the queue's readers by a visibility time far ahead, for as long as its job lives. The job
-- carries queue and number in its policy, and its end archives the message.

create table muster.queue_bridges (
  queue text primary key,
  tenant_id uuid not null references muster.tenants on delete cascade,
  type text not null,
  options jsonb not null default '{}',
  created_at timestamptz not null,
  updated_at timestamptz not null
);
comment on table muster.queue_bridges is 'Queues of pgmq whose messages become jobs of a type; options are fields of each job';
create index queue_bridges_of_tenant_idx on muster.queue_bridges (tenant_id);

create table muster_private.queue_messages (
  queue text not null,
  msg_id bigint not null,
  tenant_id uuid not null references muster.tenants on delete cascade,
  job_id uuid,
  run_at timestamptz not null,
  primary key (queue, msg_id),
  foreign key (job_id) references muster.jobs on delete cascade
);
comment on table muster_private.queue_messages is
  'Messages of bridged queues that are still in their queue; job_id is null for as long as the job is to be made';
create index queue_messages_of_job_idx on muster_private.queue_messages (job_id);
create index queue_messages_of_tenant_idx on muster_private.queue_messages (tenant_id);
create index queue_messages_waiting_idx on muster_private.queue_messages (queue, msg_id) where job_id is null;

-- Only ever added to by others than the tick, so nobody waits for it.
create table muster_private.queue_leftovers (
  id bigint primary key generated always as identity,
  job_id uuid not null,
  queue text,
  msg_id bigint,
  constraint messages_have_a_queue check ((queue is null) = (msg_id is null))
);
comment on table muster_private.queue_leftovers is
  'Jobs that ended while somebody had their message locked, and jobs to be cancelled, of which no message is named: left to the tick';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['queue_messages', 'queue_leftovers'] loop
    execute format('alter table muster_private.%I enable row level security', v_table);
    execute format('create policy nobody on muster_private.%I as restrictive for all to public using (false)', v_table);
  end loop;
end
$$;

-- 400 years to the hour: added to a visibility time, it hides the message and still tells the time.
create function muster_private.out_of_sight() returns interval
language sql immutable set search_path = ''
as $$ select make_interval(hours => 146097 * 24) $$;
comment on function muster_private.out_of_sight() is 'What is added to the visibility time of a message whose job lives';

create function muster_private.queue_table(queue text, prefix text default 'q') returns regclass
language sql stable set search_path = ''
as $$ select to_regclass(format('pgmq.%I', lower(queue_table.prefix || '_' || queue_table.queue))) $$;
comment on function muster_private.queue_table(text, text) is 'The table of a queue (q) or of its archive (a), or null';

-- Before the insert, so that a message is written once.
create function muster_private.tg_queue__hide() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if exists (select from muster.queue_bridges b where b.queue = tg_argv[0]) then
    new.vt := new.vt + muster_private.out_of_sight();
  end if;
  return new;
end
$$;
comment on function muster_private.tg_queue__hide() is 'Hides a message sent to a bridged queue from the readers of the queue';

create function muster_private.tg_queue__note_sent() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_ids bigint[];
begin
  with noted as (
    insert into muster_private.queue_messages (queue, msg_id, tenant_id, run_at)
    select b.queue, m.msg_id, b.tenant_id, m.vt - muster_private.out_of_sight()
    from new_messages m
    join muster.queue_bridges b on b.queue = tg_argv[0]
    on conflict do nothing
    returning msg_id
  )
  select array_agg(n.msg_id) into v_ids from noted n;
  if v_ids is not null then
    insert into muster_private.commit_inbox (kind, queue, msg_ids) values ('sent', tg_argv[0], v_ids);
  end if;
  return null;
end
$$;
comment on function muster_private.tg_queue__note_sent() is 'Notes the messages of a statement, to make jobs of them at the commit';

-- What is deleted here is locked until the commit, and a job that ends meanwhile leaves it alone.
create function muster_private.tg_queue__note_gone() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  with gone as (
    delete from muster_private.queue_messages b using old_messages m
    where b.queue = tg_argv[0] and b.msg_id = m.msg_id
    returning b.job_id
  )
  insert into muster_private.commit_inbox (kind, job_ids)
  select 'gone', array_agg(g.job_id) from gone g where g.job_id is not null having count(*) > 0;
  return null;
end
$$;
comment on function muster_private.tg_queue__note_gone() is 'Notes the messages that a statement took away, to cancel their jobs at the commit';

create function muster_private.tg_queue__note_purged() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  with gone as (
    delete from muster_private.queue_messages b where b.queue = tg_argv[0] returning b.job_id
  )
  insert into muster_private.commit_inbox (kind, job_ids)
  select 'gone', array_agg(g.job_id) from gone g where g.job_id is not null having count(*) > 0;
  return null;
end
$$;
comment on function muster_private.tg_queue__note_purged() is 'Notes that a queue was emptied, to cancel the jobs of its messages at the commit';

create function muster_private.message_item(bridge muster.queue_bridges, message jsonb, at timestamptz) returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_headers constant jsonb := case when jsonb_typeof(message_item.message -> 'headers') = 'object'
    then message_item.message -> 'headers' else '{}'::jsonb end;
  v_correlation constant text := left(coalesce(v_headers ->> 'correlation_id', v_headers ->> 'correlationId',
    v_headers ->> 'x-correlation-id'), 255);
begin
  return (message_item.bridge).options || jsonb_strip_nulls(jsonb_build_object(
      'type', (message_item.bridge).type,
      'message', jsonb_build_object('queue', (message_item.bridge).queue, 'id', message_item.message -> 'msg_id'),
      'correlation_id', nullif(v_correlation, ''),
      'run_at', case when (message_item.message ->> 'run_at')::timestamptz > message_item.at then message_item.message -> 'run_at' end))
    || jsonb_build_object('payload', coalesce(message_item.message -> 'message', 'null'));
end
$$;
comment on function muster_private.message_item(muster.queue_bridges, jsonb, timestamptz) is
  'The job that a message asks for, as submit_jobs() takes it';

create function muster_private.store_messages(bridge muster.queue_bridges, items jsonb, at timestamptz) returns void
language plpgsql set search_path = ''
as $$
declare
  v_jobs uuid[];
begin
  if coalesce(jsonb_array_length(store_messages.items), 0) = 0 then
    return;
  end if;
  v_jobs := (muster_private.store_jobs((store_messages.bridge).tenant_id, null, store_messages.items, null, store_messages.at)).job_ids;
  update muster_private.queue_messages b set job_id = v_jobs[i.n]
  from jsonb_array_elements(store_messages.items) with ordinality i (item, n)
  where b.queue = (store_messages.bridge).queue and b.msg_id = (i.item -> 'message' ->> 'id')::bigint;
end
$$;
comment on function muster_private.store_messages(muster.queue_bridges, jsonb, timestamptz) is 'Makes jobs of items that messages asked for';

-- What cannot become a job becomes one that has failed: the sender's transaction is not the place to say so. Its end
-- archives the message.
create function muster_private.refuse_messages(bridge muster.queue_bridges, items jsonb, at timestamptz) returns jsonb
language plpgsql set search_path = ''
as $$
declare
  v_item jsonb;
  v_good jsonb := '[]'::jsonb;
  v_id bigint;
  v_job_id uuid;
begin
  for v_item in select i from jsonb_array_elements(refuse_messages.items) i loop
    begin
      perform muster_private.check_job(v_item, 0, refuse_messages.at);
      v_good := v_good || jsonb_build_array(v_item);
    exception when sqlstate 'MU004' or sqlstate 'MU005' or sqlstate 'MU015' then
      v_id := (v_item -> 'message' ->> 'id')::bigint;
      perform muster_private.store_messages(refuse_messages.bridge, jsonb_build_array(jsonb_build_object(
        'type', (refuse_messages.bridge).type, 'payload', '{}'::jsonb, 'message', v_item -> 'message')), refuse_messages.at);
      select b.job_id into strict v_job_id from muster_private.queue_messages b
      where b.queue = (refuse_messages.bridge).queue and b.msg_id = v_id;
      perform muster_private.leave_waiting(array[v_job_id]);
      perform muster_private.end_waiting_jobs(array[v_job_id], 'failed',
        jsonb_build_object('code', 'message_refused', 'message', sqlerrm), refuse_messages.at);
    end;
  end loop;
  return v_good;
end
$$;
comment on function muster_private.refuse_messages(muster.queue_bridges, jsonb, timestamptz) is
  'Makes of messages that cannot be jobs ones that have failed; answers the items of the others';

-- Makes jobs of up to 500 messages that wait for it; those of the given numbers, or whichever come first. What fails
-- fails for all of them and changes nothing: a quota that is full leaves them in the queue, and the tick tries again.
-- The caller assigns. Answers how many were dealt with, null when it failed.
create function muster_private.take_messages(queue text, msg_ids bigint[], at timestamptz) returns integer
language plpgsql set search_path = ''
as $$
declare
  v_bridge muster.queue_bridges;
  v_table constant regclass := muster_private.queue_table(take_messages.queue);
  v_messages jsonb;
  v_items jsonb;
  v_count integer;
begin
  select * into v_bridge from muster.queue_bridges b where b.queue = take_messages.queue;
  if not found or v_table is null then
    return 0;
  end if;
  execute format(
    'select jsonb_agg(to_jsonb(t)) from (
       select q.*, b.run_at from muster_private.queue_messages b
       join %s q on q.msg_id = b.msg_id
       where b.queue = $1 and b.job_id is null and ($2 is null or b.msg_id = any ($2))
       order by b.msg_id limit 500
       for no key update of b skip locked) t', v_table)
  into v_messages using take_messages.queue, take_messages.msg_ids;
  select jsonb_agg(muster_private.message_item(v_bridge, m, take_messages.at)), count(*) into v_items, v_count
  from jsonb_array_elements(v_messages) m;
  if v_count = 0 then
    return 0;
  end if;
  begin
    perform muster_private.store_messages(v_bridge, v_items, take_messages.at);
  exception when sqlstate 'MU004' or sqlstate 'MU005' or sqlstate 'MU015' then
    perform muster_private.store_messages(v_bridge, muster_private.refuse_messages(v_bridge, v_items, take_messages.at), take_messages.at);
  end;
  return v_count;
exception when others then
  raise log 'Cannot make jobs of messages in queue %: % (%)', take_messages.queue, sqlerrm, sqlstate;
  return null;
end
$$;
comment on function muster_private.take_messages(text, bigint[], timestamptz) is
  'Makes jobs of messages that wait in a bridged queue, at most 500; answers how many, or null when it could not';

-- Whose job has ended leaves the queue. Waits for nobody: a message that somebody has locked is left to the tick.
-- Answers whether there is nothing more to do.
create function muster_private.close_message(queue text, msg_id bigint, job_id uuid) returns boolean
language plpgsql set search_path = ''
as $$
declare
  v_table constant regclass := muster_private.queue_table(close_message.queue);
  v_archive constant regclass := muster_private.queue_table(close_message.queue, 'a');
  v_found boolean;
begin
  perform from muster_private.queue_messages b
  where b.queue = close_message.queue and b.msg_id = close_message.msg_id and b.job_id = close_message.job_id
  for update skip locked;
  if not found then
    return not exists (select from muster_private.queue_messages b
      where b.queue = close_message.queue and b.msg_id = close_message.msg_id and b.job_id = close_message.job_id);
  end if;
  if v_table is not null then
    execute format('select true from %s q where q.msg_id = $1 for update skip locked', v_table)
    into v_found using close_message.msg_id;
    if v_found is null then
      execute format('select true from %s q where q.msg_id = $1', v_table) into v_found using close_message.msg_id;
      if v_found then
        return false;
      end if;
    end if;
  end if;
  -- First: what leaves the queue now is not taken away by somebody else.
  delete from muster_private.queue_messages b
  where b.queue = close_message.queue and b.msg_id = close_message.msg_id;
  if v_found then
    execute format('select %I.archive($1::text, $2::bigint)', 'pgmq') using close_message.queue, close_message.msg_id;
    if v_archive is not null and exists (
      select from pg_catalog.pg_attribute a where a.attrelid = v_archive and a.attname = 'headers' and not a.attisdropped
    ) then
      execute format(
        'update %s a set headers = coalesce(a.headers, ''{}'') || jsonb_build_object(''muster'', jsonb_strip_nulls(
           jsonb_build_object(''jobId'', j.id, ''status'', j.status, ''error'', j.error -> ''code'')))
         from muster.jobs j where a.msg_id = $1 and j.id = $2', v_archive)
      using close_message.msg_id, close_message.job_id;
    end if;
  end if;
  return true;
end
$$;
comment on function muster_private.close_message(text, bigint, uuid) is
  'Archives a message whose job has ended, with the outcome in its headers; answers false while somebody has it locked';

create function muster_private.tg_jobs__close_message() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  v_queue constant text := new.policy -> 'message' ->> 'queue';
  v_msg_id constant bigint := (new.policy -> 'message' ->> 'id')::bigint;
begin
  begin
    if muster_private.close_message(v_queue, v_msg_id, new.id) then
      return null;
    end if;
  exception when others then
    raise log 'Cannot archive message % of queue %: % (%)', v_msg_id, v_queue, sqlerrm, sqlstate;
  end;
  insert into muster_private.queue_leftovers (job_id, queue, msg_id) values (new.id, v_queue, v_msg_id);
  return null;
end
$$;
comment on function muster_private.tg_jobs__close_message() is 'Archives the message of a job that ends; never fails the end of a job';
create trigger close_message after update of status on muster.jobs
  for each row when (new.policy ? 'message' and new.status in ('succeeded', 'failed', 'cancelled') and new.status <> old.status)
  execute function muster_private.tg_jobs__close_message();

-- Cancels the job of a message that somebody took away. Waits for neither the job nor its worker, whom the caller may not
-- keep waiting; answers false while somebody has them locked.
create function muster_private.cancel_of_message(job_id uuid) returns boolean
language plpgsql set search_path = ''
as $$
declare
  v_job muster.jobs;
begin
  select * into v_job from muster.jobs j where j.id = cancel_of_message.job_id;
  if not found or v_job.status in ('succeeded', 'failed', 'cancelled') then
    return true;
  end if;
  -- In the order of all: the worker, where the job stands, the job.
  perform from muster.worker_devices w where w.id = v_job.worker_id for no key update nowait;
  perform from muster_private.ready_jobs p where p.job_id = v_job.id for update nowait;
  perform from muster_private.scheduled_jobs p where p.job_id = v_job.id for update nowait;
  perform from muster_private.blocked_jobs p where p.job_id = v_job.id for update nowait;
  perform from muster.jobs j where j.id = v_job.id for no key update nowait;
  perform muster.cancel_jobs(jsonb_build_object('kind', 'service', 'tenant_id', v_job.tenant_id), array[v_job.id],
    format('Message %s left queue %s', v_job.policy -> 'message' ->> 'id', v_job.policy -> 'message' ->> 'queue'));
  return true;
exception when lock_not_available or deadlock_detected then
  return false;
end
$$;
comment on function muster_private.cancel_of_message(uuid) is
  'Cancels the job of a message that left its queue otherwise; answers false while the job is in other hands';

-- For the tick: what was left, some of it. Answers the tenants whose jobs are to be assigned.
create function muster_private.tend_bridges(at timestamptz) returns uuid[]
language plpgsql set search_path = ''
as $$
declare
  v_tenants uuid[] := array[]::uuid[];
  v_left record;
  v_is_done boolean;
begin
  for v_left in
    select b.queue, b.tenant_id from muster.queue_bridges b
    where exists (select from muster_private.queue_messages m where m.queue = b.queue and m.job_id is null)
    order by b.queue
  loop
    for v_turn in 1..4 loop
      exit when coalesce(muster_private.take_messages(v_left.queue, null, tend_bridges.at), 0) < 500;
    end loop;
    v_tenants := v_tenants || v_left.tenant_id;
  end loop;
  for v_left in select l.* from muster_private.queue_leftovers l order by l.id limit 500 loop
    begin
      v_is_done := case when v_left.queue is null then muster_private.cancel_of_message(v_left.job_id)
        else muster_private.close_message(v_left.queue, v_left.msg_id, v_left.job_id) end;
      if v_is_done then
        delete from muster_private.queue_leftovers l where l.id = v_left.id;
      end if;
    exception when others then
      raise log 'Cannot deal with what is left of job %: % (%)', v_left.job_id, sqlerrm, sqlstate;
    end;
  end loop;
  return v_tenants;
end
$$;
comment on function muster_private.tend_bridges(timestamptz) is
  'Makes jobs of messages that had to wait, and deals with those that were in other hands; answers the tenants concerned';

revoke execute on all functions in schema muster_private from public;
