-- Label expressions: what a job may ask of a worker's labels beyond their being equal. A label is a text; an operator
-- says how it is read. Versions and ranges are those of npm: https://docs.npmjs.com/about-semantic-versioning.

-- Keys compare like their versions, byte by byte: numbers are padded, the end of an identifier is lower than all that an
-- identifier may hold, and the mark of a release is higher than any identifier.
create function muster_private.version_key(major text, minor text, patch text, prerelease text) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_key text := lpad(version_key.major, 16, '0') || lpad(version_key.minor, 16, '0') || lpad(version_key.patch, 16, '0');
  v_part text;
begin
  if version_key.prerelease is null then
    return v_key || '~';
  end if;
  foreach v_part in array string_to_array(version_key.prerelease, '.') loop
    if v_part = '' or v_part ~ '^0[0-9]+$' then
      return null;
    end if;
    v_key := v_key || case when v_part ~ '^[0-9]+$' then '0' || lpad(length(v_part)::text, 3, '0') else '1' end || v_part || ' ';
  end loop;
  return v_key;
end
$$;
comment on function muster_private.version_key(text, text, text, text) is
  'A text that orders like the version of these parts under collation C; null where the prerelease is malformed';

create function muster_private.version_key(version text) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_parts constant text[] := regexp_match(version_key.version,
    '^\s*v?(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\s*$');
begin
  if v_parts is null then
    return null;
  end if;
  return muster_private.version_key(v_parts[1], v_parts[2], v_parts[3], v_parts[4]);
end
$$;
comment on function muster_private.version_key(text) is 'The key of a version such as 1.2.3-rc.1, null where it is none';

-- A comparator is an operator and a key: [">=", key]. What an x leaves open, and what ^ and ~ stand for, becomes a lower
-- bound and an upper one, which ends before the prereleases of the first version that is out.
create function muster_private.version_comparators(token text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  v_parts constant text[] := regexp_match(version_comparators.token,
    '^(\^|~>?|[<>]?=?)v?(0|[1-9][0-9]{0,14}|[xX*])(?:\.(0|[1-9][0-9]{0,14}|[xX*])(?:\.(0|[1-9][0-9]{0,14}|[xX*])(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?)?)?$');
  v_operator constant text := case v_parts[1] when '' then '=' when '~>' then '~' else v_parts[1] end;
  v_major constant bigint := case when v_parts[2] ~ '^[0-9]' then v_parts[2]::bigint end;
  v_minor constant bigint := case when v_major is not null and v_parts[3] ~ '^[0-9]' then v_parts[3]::bigint end;
  v_patch constant bigint := case when v_minor is not null and v_parts[4] ~ '^[0-9]' then v_parts[4]::bigint end;
  -- Of the version itself, x read as 0.
  v_low text;
  -- Of the first version beyond all that x stands for.
  v_after_x bigint[];
  v_after bigint[];
begin
  -- After an x there is nothing but x.
  if v_parts is null or (v_patch is null and (v_parts[4] ~ '^[0-9]' or v_parts[5] is not null))
    or (v_minor is null and v_parts[3] ~ '^[0-9]') then
    return null;
  end if;
  if v_major is null then
    return case when v_operator in ('<', '>')
      then jsonb_build_array(jsonb_build_array('<', muster_private.version_key('0', '0', '0', '0'))) else '[]' end;
  end if;
  v_low := muster_private.version_key(v_major::text, coalesce(v_minor, 0)::text, coalesce(v_patch, 0)::text,
    case when v_patch is not null then v_parts[5] end);
  if v_low is null then
    return null;
  end if;
  v_after_x := case when v_minor is null then array[v_major + 1, 0, 0] else array[v_major, v_minor + 1, 0] end;
  if v_operator in ('=', '>', '>=', '<', '<=') and v_patch is not null then
    return jsonb_build_array(jsonb_build_array(v_operator, v_low));
  end if;
  case v_operator
    when '>' then
      return jsonb_build_array(jsonb_build_array('>=',
        muster_private.version_key(v_after_x[1]::text, v_after_x[2]::text, v_after_x[3]::text, null)));
    when '>=' then
      return jsonb_build_array(jsonb_build_array('>=', v_low));
    when '<' then
      return jsonb_build_array(jsonb_build_array('<',
        muster_private.version_key(v_major::text, coalesce(v_minor, 0)::text, '0', '0')));
    when '^' then
      v_after := case
        when v_major > 0 or v_minor is null then array[v_major + 1, 0, 0]
        when v_minor > 0 or v_patch is null then array[0, v_minor + 1, 0]
        else array[0, 0, v_patch + 1] end;
    else
      v_after := v_after_x;
  end case;
  return case when v_operator = '<=' then '[]' else jsonb_build_array(jsonb_build_array('>=', v_low)) end
    || jsonb_build_array(jsonb_build_array('<',
      muster_private.version_key(v_after[1]::text, v_after[2]::text, v_after[3]::text, '0')));
end
$$;
comment on function muster_private.version_comparators(text) is
  'Part of a version range, such as ^1.2 or >=3, as comparators that all must hold; null where it is none';

create function muster_private.read_version_range(range text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  v_range constant text := regexp_replace(read_version_range.range, '\s+', ' ', 'g');
  v_ranges jsonb := '[]'::jsonb;
  v_part text;
  v_hyphen text[];
  v_token text;
  v_comparators jsonb;
  v_more jsonb;
begin
  foreach v_part in array string_to_array(v_range, '||') loop
    v_part := btrim(v_part);
    v_hyphen := regexp_match(v_part, '^(v?[0-9xX*][^ ]*) - (v?[0-9xX*][^ ]*)$');
    v_comparators := '[]'::jsonb;
    foreach v_token in array case
      when v_hyphen is not null then array['>=' || v_hyphen[1], '<=' || v_hyphen[2]]
      when v_part = '' then array['*']
      else string_to_array(regexp_replace(v_part, '(^| )([<>]=?|=|~>?|\^) ', '\1\2', 'g'), ' ') end
    loop
      v_more := muster_private.version_comparators(v_token);
      if v_more is null then
        return null;
      end if;
      v_comparators := v_comparators || v_more;
    end loop;
    v_ranges := v_ranges || jsonb_build_array(v_comparators);
  end loop;
  -- An alternative that any release meets stands for all of them; so does none.
  return case when v_ranges = '[]' or '[]' in (select r from jsonb_array_elements(v_ranges) r)
    then '[[]]' else v_ranges end;
end
$$;
comment on function muster_private.read_version_range(text) is
  'A range of versions as npm writes it, read: alternatives of comparators; null where it is none';

-- A prerelease is meant only by who names one of the same version.
create function muster_private.version_is_within(version text, ranges jsonb) returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  v_key constant text collate "C" := muster_private.version_key(version_is_within.version);
  v_is_release constant boolean := right(v_key, 1) = '~';
begin
  return v_key is not null and exists (
    select from jsonb_array_elements(version_is_within.ranges) alternative
    where not exists (
        select from jsonb_array_elements(alternative) c
        where not case c ->> 0
          when '<' then v_key < c ->> 1 when '<=' then v_key <= c ->> 1 when '>' then v_key > c ->> 1
          when '>=' then v_key >= c ->> 1 else v_key = c ->> 1 end)
      and (v_is_release or exists (
        select from jsonb_array_elements(alternative) c
        where right(c ->> 1, 1) <> '~' and left(c ->> 1, 48) = left(v_key, 48))));
end
$$;
comment on function muster_private.version_is_within(text, jsonb) is
  'Whether a text is a version within a range that read_version_range() has read';

create function muster_private.is_number(value text) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return coalesce(is_number.value ~ '^[+-]?[0-9]{1,30}(\.[0-9]{1,30})?$', false);
end
$$;
comment on function muster_private.is_number(text) is 'Whether a label is read as a number: digits, with a sign and a fraction if need be';

-- What a pattern costs to read is bounded here, as hostile ones take minutes of it and many are tried: nothing that the
-- engine follows by backtracking, no repetition by count of a group, which it writes out (three within each other took
-- 48 s), and few places that match no character.
create function muster_private.pattern_problem(pattern text) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  -- Without what is escaped. What stands in brackets is judged like the rest: to tell it apart safely is a parser's work.
  v_plain constant text := regexp_replace(replace(pattern_problem.pattern, '\\', 'x'), '\\[^0-9AmMyYZ]', 'x', 'g');
begin
  if length(pattern_problem.pattern) not between 1 and 200 then
    return 'it must have 1 to 200 characters';
  end if;
  if v_plain ~ '\\[0-9AmMyYZ]' then
    return 'back references and the escapes \A \m \M \y \Y \Z are not allowed';
  end if;
  if regexp_replace(v_plain, '^\(\?i\)', '') ~ '\(\?[^:]' or v_plain like '***%' then
    return 'after (? only : is allowed, and (?i) at the start';
  end if;
  if length(replace(v_plain, '[^', '[')) - length(translate(replace(v_plain, '[^', '['), '^$', '')) > 4 then
    return 'it must have at most 4 of ^ and $';
  end if;
  if v_plain ~ '\)\{' then
    return 'a group must not be repeated by a count in braces';
  end if;
  if (select coalesce(sum(greatest(nullif(m[1], '')::numeric, nullif(m[2], '')::numeric)), 0)
      from regexp_matches(v_plain, '\{([0-9]*),?([0-9]*)\}', 'g') m) > 100 then
    return 'its counts in braces must not add up to more than 100';
  end if;
  perform '' ~ pattern_problem.pattern;
  return null;
exception when invalid_regular_expression then
  return 'it must be a regular expression of Postgres';
end
$$;
comment on function muster_private.pattern_problem(text) is 'Why a regular expression cannot be accepted, null when it can';

-- A label that is not there fails all but != notIn and absent; so does one that is not of the kind an operator reads.
create function muster_private.expression_holds(expression jsonb, label text) returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  v_operator constant text := expression_holds.expression ->> 'operator';
begin
  if expression_holds.label is null then
    return v_operator in ('!=', 'notIn', 'absent');
  end if;
  case v_operator
    when '=' then return expression_holds.label = expression_holds.expression ->> 'value';
    when '!=' then return expression_holds.label <> expression_holds.expression ->> 'value';
    when 'in' then return expression_holds.expression -> 'values' ? expression_holds.label;
    when 'notIn' then return not expression_holds.expression -> 'values' ? expression_holds.label;
    when 'exists' then return true;
    when 'absent' then return false;
    when 'semver' then
      return muster_private.version_is_within(expression_holds.label, expression_holds.expression -> 'ranges');
    when 'matches' then return expression_holds.label ~ (expression_holds.expression ->> 'value');
    else
      if not muster_private.is_number(expression_holds.label) then
        return false;
      end if;
      return case v_operator
        when '<' then expression_holds.label::numeric < (expression_holds.expression ->> 'value')::numeric
        when '<=' then expression_holds.label::numeric <= (expression_holds.expression ->> 'value')::numeric
        when '>' then expression_holds.label::numeric > (expression_holds.expression ->> 'value')::numeric
        else expression_holds.label::numeric >= (expression_holds.expression ->> 'value')::numeric end;
  end case;
end
$$;
comment on function muster_private.expression_holds(jsonb, text) is
  'Whether a label, null where the worker has none of the name, is as an expression wants it';

create function muster_private.check_expression(item jsonb, is_weighted boolean) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  v_shown constant text := left(check_expression.item::text, 200);
  v_operator constant text := check_expression.item ->> 'operator';
  v_value constant jsonb := check_expression.item -> 'value';
  v_values constant jsonb := check_expression.item -> 'values';
  v_problem text;
begin
  if jsonb_typeof(check_expression.item) <> 'object'
    or jsonb_typeof(check_expression.item -> 'label') is distinct from 'string'
    or length(check_expression.item ->> 'label') not between 1 and 63
    or v_operator is null
    or v_operator not in ('=', '!=', 'in', 'notIn', 'exists', 'absent', '<', '<=', '>', '>=', 'semver', 'matches') then
    perform muster_private.fail('MU004', format('Cannot accept the label expression %s: it needs a label, and one of = != in notIn exists absent < <= > >= semver matches', v_shown));
  end if;
  v_problem := case
    when check_expression.is_weighted
      and not coalesce(jsonb_typeof(check_expression.item -> 'weight') = 'number'
        and check_expression.item ->> 'weight' ~ '^([1-9][0-9]?|100)$', false)
      then 'its weight must be a whole number from 1 to 100'
    when not check_expression.is_weighted and check_expression.item ? 'weight' then 'only preferences have a weight'
    when v_operator in ('exists', 'absent') then
      case when num_nonnulls(v_value, v_values) > 0 then format('%s takes no value', v_operator) end
    when v_operator in ('in', 'notIn') then
      case when v_value is not null or jsonb_typeof(v_values) is distinct from 'array'
        or jsonb_array_length(v_values) not between 1 and 50
        or exists (
          select from jsonb_array_elements(v_values) v where jsonb_typeof(v) <> 'string' or length(v #>> '{}') > 255)
        then format('%s takes values, 1 to 50 texts of at most 255 characters', v_operator) end
    when v_values is not null then format('%s takes a value, not values', v_operator)
    when v_operator in ('<', '<=', '>', '>=') then
      case when jsonb_typeof(v_value) is distinct from 'number' or not muster_private.is_number(v_value #>> '{}')
        then format('%s takes a number as its value', v_operator) end
    when jsonb_typeof(v_value) is distinct from 'string' or length(v_value #>> '{}') > 255
      then format('%s takes a text of at most 255 characters as its value', v_operator)
    when v_operator = 'semver' and length(v_value #>> '{}') > 100 then 'a range of versions has at most 100 characters'
    when v_operator = 'semver' and muster_private.read_version_range(v_value #>> '{}') is null
      then 'its value must be a range of versions, such as ^1.2 or >=3.1 <4'
    when v_operator = 'matches' then muster_private.pattern_problem(v_value #>> '{}')
  end;
  if v_problem is not null then
    perform muster_private.fail('MU004', format('Cannot accept the label expression %s: %s', v_shown, v_problem));
  end if;
end
$$;
comment on function muster_private.check_expression(jsonb, boolean) is
  'Refuses what is not a label expression, or with a weight one that is preferred';

create function muster_private.check_expressions(items jsonb, name text, is_weighted boolean) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if check_expressions.items is null or check_expressions.items = 'null' then
    return;
  end if;
  if jsonb_typeof(check_expressions.items) <> 'array' then
    perform muster_private.fail('MU004', format('Cannot accept %s: it must be an array of label expressions', check_expressions.name));
  end if;
  if jsonb_array_length(check_expressions.items) > 20 then
    perform muster_private.fail('MU015', format('Cannot accept %s label expressions in %s: at most 20 are allowed',
      jsonb_array_length(check_expressions.items), check_expressions.name));
  end if;
  perform muster_private.check_expression(i, check_expressions.is_weighted) from jsonb_array_elements(check_expressions.items) i;
end
$$;
comment on function muster_private.check_expressions(jsonb, text, boolean) is 'Refuses what is there and not at most 20 label expressions';

-- One text for all that mean the same: in an order of its own, without what does not count, and with ranges read.
create function muster_private.read_expressions(items jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if coalesce(read_expressions.items, 'null') in ('null', '[]') then
    return '[]'::jsonb;
  end if;
  return (
    select jsonb_agg(e.expression order by e.expression::text collate "C")
    from (
      select distinct jsonb_strip_nulls(jsonb_build_object('label', i -> 'label', 'operator', i -> 'operator',
        'value', i -> 'value', 'weight', (i ->> 'weight')::integer,
        'values', (select jsonb_agg(distinct v) from jsonb_array_elements(i -> 'values') v),
        'ranges', case when i ->> 'operator' = 'semver' then muster_private.read_version_range(i ->> 'value') end))
        as expression
      from jsonb_array_elements(read_expressions.items) i
    ) e
  );
end
$$;
comment on function muster_private.read_expressions(jsonb) is 'Label expressions as a class keeps them';

create function muster_private.expressions_json(expressions jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
  if expressions_json.expressions = '[]' then
    return '[]'::jsonb;
  end if;
  return (select jsonb_agg(e.expression - 'ranges' order by e.n)
    from jsonb_array_elements(expressions_json.expressions) with ordinality e (expression, n));
end
$$;
comment on function muster_private.expressions_json(jsonb) is 'Label expressions of a class as its callers see them';

create function muster_private.expression_text(expression jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return concat_ws(' ', expression_text.expression ->> 'label', expression_text.expression ->> 'operator',
    coalesce(expression_text.expression ->> 'value',
      (select '(' || string_agg(v, ', ') || ')' from jsonb_array_elements_text(expression_text.expression -> 'values') v)));
end
$$;
comment on function muster_private.expression_text(jsonb) is 'A label expression for people, such as: cuda semver ^12.2';

revoke execute on all functions in schema muster_private from public;
