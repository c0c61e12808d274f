-- When a cron expression runs, in a time zone: five fields as Vixie cron reads them, evaluated by hopping from field to
-- field. The rules, and why it is done here, are in docs/decisions/0025-cron-in-sql.md.

create type muster_private.cron as (
  -- Each sorted, without duplicates.
  minutes integer[],
  hours integer[],
  days integer[],
  months integer[],
  -- Ten times the weekday (0 is Sunday), plus which one of the month: 0 all of them, 1 to 5 that one, 9 the last.
  weekdays integer[],
  is_last_day boolean,
  -- Where days or weekdays begin with *, a day must be in both; else in one of them.
  needs_both boolean,
  -- Goes by the time that passes, rather than by the hour that the clock shows.
  is_interval boolean
);

create function muster_private.fail_cron(cron text, why text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  perform muster_private.fail('MU004', format('Cannot read cron expression "%s": %s', left(fail_cron.cron, 200), fail_cron.why),
    'Use five fields, minute hour day month weekday, such as "30 7 * * mon-fri", or a name such as @daily');
end
$$;
comment on function muster_private.fail_cron(text, text) is 'Refuses a cron expression, and says why';

-- A number of the field, or one of its names.
create function muster_private.cron_number(cron text, value text, lowest integer, highest integer, names text[]) returns integer
language plpgsql immutable set search_path = ''
as $$
declare
  v_number integer;
begin
  v_number := case when cron_number.value ~ '^\d{1,2}$' then cron_number.value::integer
    else lowest - 1 + array_position(cron_number.names, cron_number.value) end;
  if v_number between cron_number.lowest and cron_number.highest then
    return v_number;
  end if;
  perform muster_private.fail_cron(cron_number.cron, format('"%s" must be a number from %s to %s%s',
    cron_number.value, cron_number.lowest, cron_number.highest,
    case when cron_number.names is not null then format(' or one of %s', array_to_string(cron_number.names, ' ')) else '' end));
  return null;
end
$$;
comment on function muster_private.cron_number(text, text, integer, integer, text[]) is 'A value of a cron field as its number';

-- What one field allows: `*`, `n`, `a-b`, the first and last with `/step`, and lists of those.
create function muster_private.read_cron_field(cron text, field text, lowest integer, highest integer, names text[] default null)
returns integer[]
language plpgsql immutable set search_path = ''
as $$
declare
  v_item text;
  v_parts text[];
  v_first integer;
  v_last integer;
  v_step integer;
  v_numbers integer[] := array[]::integer[];
begin
  foreach v_item in array regexp_split_to_array(read_cron_field.field, ',') loop
    v_parts := regexp_match(v_item, '^(?:(\*)|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/(\d{1,3}))?$');
    if v_parts is null or (v_parts[4] is not null and v_parts[1] is null and v_parts[3] is null) then
      perform muster_private.fail_cron(read_cron_field.cron, format(
        '"%s" must be *, a value, a range a-b, or one of * and a-b with a /step', v_item));
    end if;
    if v_parts[1] is not null then
      v_first := read_cron_field.lowest;
      v_last := read_cron_field.highest;
    else
      v_first := muster_private.cron_number(read_cron_field.cron, v_parts[2], read_cron_field.lowest, read_cron_field.highest, read_cron_field.names);
      v_last := case when v_parts[3] is null then v_first else
        muster_private.cron_number(read_cron_field.cron, v_parts[3], read_cron_field.lowest, read_cron_field.highest, read_cron_field.names) end;
    end if;
    if v_last < v_first then
      perform muster_private.fail_cron(read_cron_field.cron, format('the range %s ends before it begins', v_item));
    end if;
    v_step := coalesce(v_parts[4]::integer, 1);
    if v_step not between 1 and read_cron_field.highest then
      perform muster_private.fail_cron(read_cron_field.cron, format('the step of %s must be from 1 to %s', v_item, read_cron_field.highest));
    end if;
    v_numbers := v_numbers || array(select generate_series(v_first, v_last, v_step));
  end loop;
  return array(select distinct n from unnest(v_numbers) n order by n);
end
$$;
comment on function muster_private.read_cron_field(text, text, integer, integer, text[]) is 'The numbers that a field of a cron expression allows, in order';

create function muster_private.read_cron_weekdays(cron text, field text) returns integer[]
language plpgsql immutable set search_path = ''
as $$
declare
  v_names constant text[] := array['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
  v_item text;
  v_codes integer[] := array[]::integer[];
begin
  foreach v_item in array regexp_split_to_array(read_cron_weekdays.field, ',') loop
    if v_item ~ '^[a-z0-9]+#[1-5l]$' then
      v_codes := v_codes || (muster_private.cron_number(read_cron_weekdays.cron, split_part(v_item, '#', 1), 0, 7, v_names) % 7 * 10
        + case split_part(v_item, '#', 2) when 'l' then 9 else split_part(v_item, '#', 2)::integer end);
    else
      v_codes := v_codes || array(
        select n % 7 * 10 from unnest(muster_private.read_cron_field(read_cron_weekdays.cron,
          -- Sunday is both 0 and 7: once among all of them, and the end of a week.
          replace(regexp_replace(v_item, '^\*', '0-6'), '-sun', '-7'), 0, 7, v_names)) n);
    end if;
  end loop;
  return array(select distinct n from unnest(v_codes) n order by n);
end
$$;
comment on function muster_private.read_cron_weekdays(text, text) is
  'The weekdays that a cron expression allows, in codes; fri#2 is the second Friday of a month, fri#l the last';

create function muster_private.read_cron(cron text) returns muster_private.cron
language plpgsql immutable set search_path = ''
as $$
declare
  v_text text := lower(btrim(coalesce(read_cron.cron, ''), E' \t'));
  v_fields text[];
  v_cron muster_private.cron;
begin
  if length(v_text) not between 1 and 200 then
    perform muster_private.fail_cron(read_cron.cron, 'it must have 1 to 200 characters');
  end if;
  if v_text ~ '^@' then
    v_text := case v_text
      when '@hourly' then '0 * * * *'
      when '@daily' then '0 0 * * *' when '@midnight' then '0 0 * * *'
      when '@weekly' then '0 0 * * 0'
      when '@monthly' then '0 0 1 * *'
      when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *' end;
    if v_text is null then
      perform muster_private.fail_cron(read_cron.cron, 'the names are @hourly @daily @midnight @weekly @monthly @yearly @annually');
    end if;
  end if;
  v_fields := regexp_split_to_array(v_text, '[ \t]+');
  if cardinality(v_fields) <> 5 then
    perform muster_private.fail_cron(read_cron.cron, format('it has %s fields', cardinality(v_fields)));
  end if;
  v_cron.minutes := muster_private.read_cron_field(read_cron.cron, v_fields[1], 0, 59);
  v_cron.hours := muster_private.read_cron_field(read_cron.cron, v_fields[2], 0, 23);
  v_cron.is_last_day := 'l' = any (regexp_split_to_array(v_fields[3], ','));
  if v_fields[3] ~ '^l(,l)*$' then
    v_cron.days := array[]::integer[];
  else
    v_cron.days := muster_private.read_cron_field(read_cron.cron,
      array_to_string(array_remove(regexp_split_to_array(v_fields[3], ','), 'l'), ','), 1, 31);
  end if;
  v_cron.months := muster_private.read_cron_field(read_cron.cron, v_fields[4], 1, 12,
    '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  v_cron.weekdays := muster_private.read_cron_weekdays(read_cron.cron, v_fields[5]);
  v_cron.needs_both := v_fields[3] like '*%' or v_fields[5] like '*%';
  v_cron.is_interval := v_fields[1] || v_fields[2] ~ '[*/]';
  return v_cron;
end
$$;
comment on function muster_private.read_cron(text) is 'A cron expression in parts, or invalid_request with what is wrong';

create function muster_private.cron_has_day(cron muster_private.cron, day date) returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  v_day constant integer := extract(day from cron_has_day.day)::integer;
  v_code constant integer := extract(dow from cron_has_day.day)::integer * 10;
  v_last_day constant integer := extract(day from date_trunc('month', cron_has_day.day::timestamp) + interval '1 month -1 day')::integer;
  v_is_day constant boolean := v_day = any (cron.days) or (cron.is_last_day and v_day = v_last_day);
  v_is_weekday constant boolean := v_code = any (cron.weekdays) or v_code + (v_day + 6) / 7 = any (cron.weekdays)
    or (v_code + 9 = any (cron.weekdays) and v_day > v_last_day - 7);
begin
  return case when cron.needs_both then v_is_day and v_is_weekday else v_is_day or v_is_weekday end;
end
$$;
comment on function muster_private.cron_has_day(muster_private.cron, date) is 'Whether a cron expression allows a day of a month that it allows';

-- Months that are not allowed are passed over as a whole. The rarest days, 29 February on one weekday, are 40 years apart.
create function muster_private.next_cron_day(cron muster_private.cron, day date, direction integer) returns date
language plpgsql immutable set search_path = ''
as $$
declare
  v_last constant date := next_cron_day.day + next_cron_day.direction * 50 * 366;
  v_day date := next_cron_day.day;
begin
  while (v_last - v_day) * next_cron_day.direction >= 0 loop
    if extract(month from v_day)::integer <> all (cron.months) then
      v_day := (date_trunc('month', v_day::timestamp)
        + case when next_cron_day.direction > 0 then interval '1 month' else interval '-1 day' end)::date;
    elsif muster_private.cron_has_day(next_cron_day.cron, v_day) then
      return v_day;
    else
      v_day := v_day + next_cron_day.direction;
    end if;
  end loop;
  return null;
end
$$;
comment on function muster_private.next_cron_day(muster_private.cron, date, integer) is
  'The first day from this one on that is allowed; backwards where direction is -1. Null when there is none in 50 years';

create function muster_private.next_cron_wall(cron muster_private.cron, wall timestamp, direction integer) returns timestamp
language plpgsql immutable set search_path = ''
as $$
declare
  v_hour constant integer := extract(hour from next_cron_wall.wall)::integer;
  v_minute constant integer := extract(minute from next_cron_wall.wall)::integer;
  v_day date := muster_private.next_cron_day(next_cron_wall.cron, next_cron_wall.wall::date, next_cron_wall.direction);
  v_next_hour integer;
  v_next_minute integer;
begin
  if v_day = next_cron_wall.wall::date then
    if v_hour = any (cron.hours) then
      v_next_minute := case when next_cron_wall.direction > 0
        then (select min(m) from unnest(cron.minutes) m where m > v_minute)
        else (select max(m) from unnest(cron.minutes) m where m < v_minute) end;
      if v_next_minute is not null then
        return v_day + make_time(v_hour, v_next_minute, 0);
      end if;
    end if;
    v_next_hour := case when next_cron_wall.direction > 0
      then (select min(h) from unnest(cron.hours) h where h > v_hour)
      else (select max(h) from unnest(cron.hours) h where h < v_hour) end;
    if v_next_hour is null then
      v_day := muster_private.next_cron_day(next_cron_wall.cron, v_day + next_cron_wall.direction, next_cron_wall.direction);
    end if;
  end if;
  if next_cron_wall.direction > 0 then
    return v_day + make_time(coalesce(v_next_hour, cron.hours[1]), cron.minutes[1], 0);
  end if;
  return v_day + make_time(coalesce(v_next_hour, cron.hours[cardinality(cron.hours)]), cron.minutes[cardinality(cron.minutes)], 0);
end
$$;
comment on function muster_private.next_cron_wall(muster_private.cron, timestamp, integer) is
  'The next time on the clock that is allowed after this whole minute, or the one before it where direction is -1';

create function muster_private.zone_offset(at timestamptz, time_zone text) returns interval
language sql stable set search_path = ''
as $$ select (zone_offset.at at time zone zone_offset.time_zone) - (zone_offset.at at time zone 'UTC') $$;
comment on function muster_private.zone_offset(timestamptz, text) is 'How far the clocks of a time zone are ahead of UTC';

-- None while the clocks are put forward, two while they are put back.
create function muster_private.instants_of(wall timestamp, time_zone text) returns timestamptz[]
language plpgsql stable set search_path = ''
as $$
declare
  v_near constant timestamptz := instants_of.wall at time zone instants_of.time_zone;
begin
  return array(
    select distinct c.at
    from unnest(array[v_near - interval '1 day', v_near, v_near + interval '1 day']) n (at)
    cross join lateral (
      select (instants_of.wall - muster_private.zone_offset(n.at, instants_of.time_zone)) at time zone 'UTC' as at
    ) c
    where c.at at time zone instants_of.time_zone = instants_of.wall
    order by c.at);
end
$$;
comment on function muster_private.instants_of(timestamp, text) is 'The instants at which the clocks of a time zone show a time, in order';

create function muster_private.gap_end(wall timestamp, time_zone text) returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_near constant timestamptz := gap_end.wall at time zone gap_end.time_zone;
  v_before constant interval := muster_private.zone_offset(v_near - interval '1 day', gap_end.time_zone);
  v_after constant interval := muster_private.zone_offset(v_near + interval '1 day', gap_end.time_zone);
  v_low bigint := extract(epoch from (gap_end.wall - v_after) at time zone 'UTC')::bigint;
  v_high bigint := extract(epoch from (gap_end.wall - v_before) at time zone 'UTC')::bigint;
begin
  while v_high - v_low > 1 loop
    if muster_private.zone_offset(to_timestamp((v_low + v_high) / 2), gap_end.time_zone) = v_after then
      v_high := (v_low + v_high) / 2;
    else
      v_low := (v_low + v_high) / 2;
    end if;
  end loop;
  return to_timestamp(v_high);
end
$$;
comment on function muster_private.gap_end(timestamp, text) is
  'The first instant after the clocks were put forward over a time that they never showed';

-- The clocks' changes are met as Vixie cron meets them. At fixed times, a time that does not exist runs at the first
-- instant after it that does, on the same day, and one that exists twice runs the first time. At intervals (a * or a / in
-- minutes or hours) runs keep their distance: what does not exist is left out, and what exists twice runs twice.
create function muster_private.cron_run(cron muster_private.cron, time_zone text, origin timestamptz, direction integer)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_offset constant interval := muster_private.zone_offset(cron_run.origin, cron_run.time_zone);
  v_wall timestamp := date_trunc('minute', cron_run.origin at time zone cron_run.time_zone);
  v_instants timestamptz[];
  v_near timestamptz;
  v_best timestamptz;
begin
  -- Clocks that are put back show again what they have shown: begin with the first of that.
  if cron_run.direction > 0 then
    v_wall := v_wall - greatest(
      v_offset - muster_private.zone_offset(cron_run.origin + interval '1 day', cron_run.time_zone), interval '0');
  else
    if v_wall < cron_run.origin at time zone cron_run.time_zone then
      v_wall := v_wall + interval '1 minute';
    end if;
    v_wall := v_wall + greatest(
      muster_private.zone_offset(cron_run.origin - interval '1 day', cron_run.time_zone) - v_offset, interval '0');
  end if;
  loop
    v_wall := muster_private.next_cron_wall(cron_run.cron, v_wall, cron_run.direction);
    exit when v_wall is null;
    v_instants := muster_private.instants_of(v_wall, cron_run.time_zone);
    if cardinality(v_instants) = 0 then
      continue when cron.is_interval;
      v_near := muster_private.gap_end(v_wall, cron_run.time_zone);
      continue when (v_near at time zone cron_run.time_zone)::date <> v_wall::date;
      v_instants := array[v_near];
    elsif not cron.is_interval then
      v_instants := v_instants[:1];
    end if;
    -- The further one of two may lie beyond the nearer one of the next time on the clock.
    if cron_run.direction > 0 then
      v_near := v_instants[1];
      exit when v_near >= v_best;
      v_best := least(v_best, (select min(i) from unnest(v_instants) i where i > cron_run.origin));
      exit when v_near > cron_run.origin;
    else
      v_near := v_instants[cardinality(v_instants)];
      exit when v_near <= v_best;
      v_best := greatest(v_best, (select max(i) from unnest(v_instants) i where i < cron_run.origin));
      exit when v_near < cron_run.origin;
    end if;
  end loop;
  return v_best;
end
$$;
comment on function muster_private.cron_run(muster_private.cron, text, timestamptz, integer) is
  'The next run after an instant, or the last one before it where direction is -1; null when there is none in 50 years';

create function muster_private.check_time_zone(time_zone text) returns void
language plpgsql stable set search_path = ''
as $$
begin
  if check_time_zone.time_zone = 'UTC' then
    return;
  end if;
  if coalesce(check_time_zone.time_zone, '') !~ '^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$'
    or not exists (select from pg_catalog.pg_timezone_names z where z.name = check_time_zone.time_zone) then
    perform muster_private.fail('MU004', format('Cannot find time zone "%s"', left(check_time_zone.time_zone, 100)),
      'Use a name of the IANA database such as Europe/Berlin, or UTC');
  end if;
end
$$;
comment on function muster_private.check_time_zone(text) is 'Refuses what is not the name of a time zone';

revoke execute on all functions in schema muster_private from public;
