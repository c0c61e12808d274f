-- Jobs that failed for good, for as long as somebody may want to do something about them.

create table muster.dead_letters (
  job_id uuid primary key,
  tenant_id uuid not null,
  type text not null,
  error_code text,
  error_message text,
  attempts integer not null,
  failed_at timestamptz not null,
  replayed_as uuid,
  replayed_at timestamptz,
  dismissed_at timestamptz,
  foreign key (job_id) references muster.jobs on delete cascade,
  constraint letters_are_dealt_with_in_one_way check (dismissed_at is null or replayed_as is null),
  constraint replayed_letters_say_when check ((replayed_as is null) = (replayed_at is null))
);
comment on table muster.dead_letters is
  'One letter for each job that failed for good: open until it is replayed as a new job, or dismissed';
create index dead_letters_open_idx on muster.dead_letters (tenant_id, failed_at, job_id)
  where replayed_as is null and dismissed_at is null;
create index dead_letters_open_of_type_idx on muster.dead_letters (tenant_id, type, failed_at, job_id)
  where replayed_as is null and dismissed_at is null;
create index dead_letters_open_of_error_idx on muster.dead_letters (tenant_id, error_code, failed_at, job_id)
  where replayed_as is null and dismissed_at is null;
create index dead_letters_done_idx on muster.dead_letters (tenant_id, failed_at, job_id)
  where replayed_as is not null or dismissed_at is not null;

-- By a trigger, so that it is one whoever failed the job and whatever for. A batch's parent has no work to repeat.
create function muster_private.tg_jobs__keep_letter() returns trigger
language plpgsql set search_path = ''
as $$
begin
  insert into muster.dead_letters (job_id, tenant_id, type, error_code, error_message, attempts, failed_at)
  values (new.id, new.tenant_id, new.type, left(new.error ->> 'code', 100), left(new.error ->> 'message', 500), new.attempts, new.finished_at);
  return null;
end
$$;
comment on function muster_private.tg_jobs__keep_letter() is 'Keeps a letter of each job that fails for good';
create trigger keep_letter after update of status on muster.jobs
  for each row when (new.status = 'failed' and old.status <> 'failed' and new.type <> 'muster.batch')
  execute function muster_private.tg_jobs__keep_letter();

create function muster_private.check_letter_filter(filter jsonb) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_unknown text;
begin
  if jsonb_typeof(check_letter_filter.filter) is distinct from 'object' then
    perform muster_private.fail('MU004', 'Cannot read the filter: it must be an object');
  end if;
  select k into v_unknown from jsonb_object_keys(check_letter_filter.filter) k
  where k not in ('type', 'error_code', 'after', 'before') limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot filter dead letters by %s', left(v_unknown, 100)));
  end if;
  perform muster_private.check_text(check_letter_filter.filter, 'type', 200);
  perform muster_private.check_text(check_letter_filter.filter, 'error_code', 100);
end
$$;
comment on function muster_private.check_letter_filter(jsonb) is 'Refuses a filter of dead letters that it cannot read';

-- Each combination of filters wants a plan of its own.
create function muster.list_dead_letters(
  caller jsonb, state text default 'open', filters jsonb default '{}', page_size integer default 50, cursor text default null
) returns jsonb
language plpgsql security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(list_dead_letters.caller, 'read');
  v_size constant integer := least(greatest(coalesce(list_dead_letters.page_size, 50), 1), 200);
  v_cursor constant record := muster_private.read_cursor(list_dead_letters.cursor);
  v_rows jsonb;
  v_page jsonb;
begin
  if coalesce(list_dead_letters.state, '') not in ('open', 'replayed', 'dismissed') then
    perform muster_private.fail('MU004', 'Cannot list dead letters: the state must be open, replayed or dismissed');
  end if;
  perform muster_private.check_letter_filter(list_dead_letters.filters);
  select coalesce(jsonb_agg(jsonb_build_object(
      'id', p.job_id, 'created_at', muster_private.iso(p.failed_at), 'job_id', p.job_id, 'type', p.type,
      'error_code', p.error_code, 'error_message', p.error_message, 'attempts', p.attempts,
      'failed_at', muster_private.iso(p.failed_at), 'replayed_as', p.replayed_as,
      'replayed_at', muster_private.iso(p.replayed_at), 'dismissed_at', muster_private.iso(p.dismissed_at))
    order by p.failed_at desc, p.job_id desc), '[]')
  into v_rows
  from (
    select l.* from muster.dead_letters l
    where l.tenant_id = v_caller.tenant_id
      and (l.failed_at, l.job_id) < (v_cursor.before_at, v_cursor.before_id)
      and (list_dead_letters.state <> 'open' or (l.replayed_as is null and l.dismissed_at is null))
      and (list_dead_letters.state = 'open' or l.replayed_as is not null or l.dismissed_at is not null)
      and (list_dead_letters.state <> 'replayed' or l.replayed_as is not null)
      and (list_dead_letters.state <> 'dismissed' or l.dismissed_at is not null)
      and (list_dead_letters.filters ->> 'type' is null or l.type = list_dead_letters.filters ->> 'type')
      and (list_dead_letters.filters ->> 'error_code' is null or l.error_code = list_dead_letters.filters ->> 'error_code')
      and (list_dead_letters.filters ->> 'after' is null or l.failed_at > (list_dead_letters.filters ->> 'after')::timestamptz)
      and (list_dead_letters.filters ->> 'before' is null or l.failed_at < (list_dead_letters.filters ->> 'before')::timestamptz)
    order by l.failed_at desc, l.job_id desc
    limit v_size + 1
  ) p;
  v_page := muster_private.page_of('dead_letters', v_rows, v_size);
  -- What pages are cut by is called otherwise here.
  return jsonb_set(v_page, '{dead_letters}', (
    select coalesce(jsonb_agg(l.letter - '{id,created_at}'::text[] order by l.ordinal), '[]')
    from jsonb_array_elements(v_page -> 'dead_letters') with ordinality l (letter, ordinal)));
end
$$;
comment on function muster.list_dead_letters(jsonb, text, jsonb, integer, text) is
  'Letters of the tenant''s jobs that failed for good, newest first; at most 200 a page';

-- Locks open letters, oldest first: those of the ids, for which it waits, or those the filter fits that nobody has in hand.
-- The cursor says where to go on, or is null when there are no more. Letters come before every other lock but the rate
-- bucket.
create function muster_private.take_letters(
  tenant_id uuid, ids jsonb, filter jsonb, most integer, cursor text,
  out job_ids uuid[], out skipped integer, out next_cursor text
)
language plpgsql set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- As much as one transaction copies in a moment.
  v_most_bytes constant bigint := 16777216;
  v_most constant integer := coalesce(take_letters.most, 1000);
  v_after record;
  v_ids uuid[];
  v_unknown uuid;
  v_found uuid[];
  v_last muster.dead_letters;
begin
  if (take_letters.ids is null) = (take_letters.filter is null) then
    perform muster_private.fail('MU004', 'Cannot choose dead letters: give either ids or a filter');
  end if;
  if v_most not between 1 and 1000 then
    perform muster_private.fail('MU015', format('Cannot choose %s dead letters: at most 1000 go at a time', v_most));
  end if;
  v_after := muster_private.read_cursor(take_letters.cursor);
  if take_letters.cursor is null then
    v_after.before_at := '-infinity'::timestamptz;
  end if;
  if take_letters.ids is not null then
    if jsonb_typeof(take_letters.ids) <> 'array' or jsonb_array_length(take_letters.ids) not between 1 and 1000 then
      perform muster_private.fail('MU015', 'Cannot choose dead letters: ids must be an array of 1 to 1000');
    end if;
    v_ids := array(select distinct muster_private.to_uuid(i, 'job id') from jsonb_array_elements_text(take_letters.ids) i);
    select i into v_unknown from unnest(v_ids) i
    where not exists (select from muster.dead_letters l where l.job_id = i and l.tenant_id = take_letters.tenant_id) limit 1;
    if found then
      perform muster_private.fail('MU003', format('Cannot find a dead letter of job %s', coalesce(v_unknown::text, 'null')));
    end if;
    v_found := array(
      select l.job_id from muster.dead_letters l
      where l.tenant_id = take_letters.tenant_id and l.job_id = any (v_ids) and (l.failed_at, l.job_id) > (v_after.before_at, v_after.before_id)
        and l.replayed_as is null and l.dismissed_at is null
      order by l.failed_at, l.job_id limit v_most
      for no key update);
  else
    perform muster_private.check_letter_filter(take_letters.filter);
    v_found := array(
      select l.job_id from muster.dead_letters l
      where l.tenant_id = take_letters.tenant_id and (l.failed_at, l.job_id) > (v_after.before_at, v_after.before_id)
        and l.replayed_as is null and l.dismissed_at is null
        and (take_letters.filter ->> 'type' is null or l.type = take_letters.filter ->> 'type')
        and (take_letters.filter ->> 'error_code' is null or l.error_code = take_letters.filter ->> 'error_code')
        and (take_letters.filter ->> 'after' is null or l.failed_at > (take_letters.filter ->> 'after')::timestamptz)
        and (take_letters.filter ->> 'before' is null or l.failed_at < (take_letters.filter ->> 'before')::timestamptz)
      order by l.failed_at, l.job_id limit v_most
      for no key update skip locked);
  end if;
  take_letters.job_ids := array(
    select t.id from (
      select f.id, f.n, sum(pg_column_size(j.payload)) over (order by f.n) - pg_column_size(j.payload) as bytes_before
      from unnest(v_found) with ordinality f (id, n) join muster.jobs j on j.id = f.id
    ) t
    where t.bytes_before < v_most_bytes order by t.n);
  if cardinality(take_letters.job_ids) = v_most or cardinality(take_letters.job_ids) < cardinality(v_found) then
    select * into strict v_last from muster.dead_letters l where l.job_id = take_letters.job_ids[cardinality(take_letters.job_ids)];
    take_letters.next_cursor := muster_private.iso(v_last.failed_at) || '_' || v_last.job_id;
  end if;
  select count(*) into take_letters.skipped from muster.dead_letters l
  where l.job_id = any (v_ids) and (l.failed_at, l.job_id) > (v_after.before_at, v_after.before_id) and l.job_id <> all (take_letters.job_ids)
    and (take_letters.next_cursor is null or (l.failed_at, l.job_id) <= (v_last.failed_at, v_last.job_id));
end
$$;
comment on function muster_private.take_letters(uuid, jsonb, jsonb, integer, text) is
  'Locks open dead letters, by ids or by a filter, as many as one call deals with';

create function muster.replay_dead_letters(
  caller jsonb, ids jsonb default null, filter jsonb default null, most integer default 1000, changes jsonb default '{}',
  cursor text default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(replay_dead_letters.caller, 'submit');
  v_now constant timestamptz := muster_private.now();
  v_changes constant jsonb := coalesce(nullif(replay_dead_letters.changes, 'null'), '{}');
  v_taken record;
  v_new uuid[];
begin
  if jsonb_typeof(v_changes) <> 'object' or v_changes - '{priority,max_attempts}'::text[] <> '{}' then
    perform muster_private.fail('MU004', 'Cannot replay with these changes: priority and max_attempts can be changed');
  end if;
  perform muster_private.check_number(v_changes, 'priority', -100, 100);
  perform muster_private.check_number(v_changes, 'max_attempts', 1, 20);
  select * into v_taken from muster_private.take_letters(v_caller.tenant_id, nullif(replay_dead_letters.ids, 'null'),
    nullif(replay_dead_letters.filter, 'null'), replay_dead_letters.most, replay_dead_letters.cursor);
  if cardinality(v_taken.job_ids) > 0 then
    v_new := muster_private.repeat_jobs(v_caller.tenant_id, v_caller.executor_id, v_taken.job_ids, v_changes, v_now);
    perform muster_private.assign_jobs(v_caller.tenant_id, v_now);
  end if;
  return jsonb_build_object('replayed', cardinality(v_taken.job_ids), 'skipped', v_taken.skipped,
    'next_cursor', v_taken.next_cursor, 'jobs', (
      select coalesce(jsonb_agg(jsonb_build_object('job_id', r.old_id, 'replayed_as', r.new_id) order by r.n), '[]')
      from unnest(v_taken.job_ids, v_new) with ordinality r (old_id, new_id, n)));
end
$$;
comment on function muster.replay_dead_letters(jsonb, jsonb, jsonb, integer, jsonb, text) is
  'Submits jobs that failed for good again as new ones, each once, however often and concurrently it is asked for';

create function muster.dismiss_dead_letters(
  caller jsonb, ids jsonb default null, filter jsonb default null, most integer default 1000, cursor text default null
) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  v_caller constant muster_private.caller := muster_private.resolve_caller(dismiss_dead_letters.caller, 'submit');
  v_taken record;
begin
  select * into v_taken from muster_private.take_letters(v_caller.tenant_id, nullif(dismiss_dead_letters.ids, 'null'),
    nullif(dismiss_dead_letters.filter, 'null'), dismiss_dead_letters.most, dismiss_dead_letters.cursor);
  if cardinality(v_taken.job_ids) > 0 then
    update muster.dead_letters l set dismissed_at = muster_private.now() where l.job_id = any (v_taken.job_ids);
    perform muster_private.audit(v_caller.tenant_id, v_caller.actor, 'dead_letters.dismissed', 'jobs',
      jsonb_build_object('jobs', to_jsonb(v_taken.job_ids)));
  end if;
  return jsonb_build_object('dismissed', cardinality(v_taken.job_ids), 'skipped', v_taken.skipped, 'next_cursor', v_taken.next_cursor);
end
$$;
comment on function muster.dismiss_dead_letters(jsonb, jsonb, jsonb, integer, text) is
  'Closes letters of jobs that nobody is going to repeat';

do $$
declare
  v_function text;
begin
  foreach v_function in array array[
    'list_dead_letters(jsonb, text, jsonb, integer, text)', 'replay_dead_letters(jsonb, jsonb, jsonb, integer, jsonb, text)',
    'dismiss_dead_letters(jsonb, jsonb, jsonb, integer, text)']
  loop
    execute format('revoke execute on function muster.%s from public', v_function);
    execute format('grant execute on function muster.%s to service_role', v_function);
  end loop;
end
$$;
revoke execute on all functions in schema muster_private from public;
