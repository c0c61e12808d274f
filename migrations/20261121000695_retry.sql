-- What becomes of a job whose attempt failed: whether it is tried again, and when.

create function muster_private.check_retry(item jsonb, index integer) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_codes constant jsonb := nullif(check_retry.item -> 'final_errors', 'null');
  v_bad jsonb;
begin
  if not check_retry.item ?| '{retry_backoff,retry_jitter,final_errors,fairness_key,fairness_weight,start_by}'::text[] then
    return;
  end if;
  if coalesce(nullif(check_retry.item -> 'retry_backoff', 'null'), '"fixed"') not in ('"exponential"', '"linear"', '"fixed"') then
    perform muster_private.fail('MU004', format('Cannot submit job %s: retry_backoff must be exponential, linear or fixed', check_retry.index));
  end if;
  perform muster_private.check_number(check_retry.item, 'retry_jitter', 0, 1);
  perform muster_private.check_text(check_retry.item, 'fairness_key', 255);
  perform muster_private.check_number(check_retry.item, 'fairness_weight', 1, 100);
  if v_codes is not null then
    if jsonb_typeof(v_codes) <> 'array' then
      perform muster_private.fail('MU004', format('Cannot submit job %s: final_errors must be an array of codes', check_retry.index));
    end if;
    if jsonb_array_length(v_codes) > 20 then
      perform muster_private.fail('MU015', format('Cannot submit job %s: it names %s final errors, and at most 20 are allowed',
        check_retry.index, jsonb_array_length(v_codes)));
    end if;
    select c into v_bad from jsonb_array_elements(v_codes) c
    where jsonb_typeof(c) <> 'string' or length(c #>> '{}') > 100 or c #>> '{}' !~ '^[a-zA-Z0-9_][a-zA-Z0-9_.:/-]*(\.\*)?$' limit 1;
    if found then
      perform muster_private.fail('MU004', format('Cannot submit job %s: final error %s must be a code, or the beginning of some, as in "http.*"',
        check_retry.index, left(v_bad::text, 100)));
    end if;
  end if;
  if jsonb_typeof(coalesce(check_retry.item -> 'start_by', 'null')) not in ('string', 'null')
    or not isfinite((check_retry.item ->> 'start_by')::timestamptz) then
    perform muster_private.fail('MU004', format('Cannot submit job %s: start_by must be an instant', check_retry.index));
  end if;
end
$$;
comment on function muster_private.check_retry(jsonb, integer) is
  'Refuses what a job says about retries, its start and its turn that the API''s own limits would have refused';

-- Not with the other checks: a job that is there already may be asked for again, however late.
create function muster_private.check_start_by(tenant_id uuid, items jsonb, at timestamptz) returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_late record;
begin
  select i.index, i.item ->> 'start_by' as start_by, (i.item ->> 'start_by')::timestamptz <= check_start_by.at as is_past into v_late
  from jsonb_array_elements(check_start_by.items) with ordinality i (item, index)
  where (i.item ->> 'start_by')::timestamptz <= greatest(check_start_by.at, (i.item ->> 'run_at')::timestamptz)
    and not exists (
      select from muster.jobs j
      where j.tenant_id = check_start_by.tenant_id and j.idempotency_key = i.item ->> 'idempotency_key')
  order by i.index limit 1;
  if found then
    perform muster_private.fail('MU004', format('Cannot submit job %s: start_by %s must lie %s', v_late.index - 1, v_late.start_by,
      case when v_late.is_past then 'in the future' else 'after run_at' end));
  end if;
end
$$;
comment on function muster_private.check_start_by(uuid, jsonb, timestamptz) is
  'Refuses new jobs that must have started before they may start, or before now';

-- Capped, and jitter of it left to chance: many jobs that failed together do not come back together.
create function muster_private.retry_delay(failures integer, base interval, cap interval, retry jsonb default null) returns interval
language plpgsql volatile set search_path = ''
as $$
declare
  -- Rounded: a number that is almost nothing would be out of range in the product.
  v_jitter constant double precision := coalesce(round((retry_delay.retry ->> 'jitter')::numeric, 6), 0.5);
begin
  return case when retry_delay.failures < 1 then interval '0'
    else least(retry_delay.cap, retry_delay.base * case coalesce(retry_delay.retry ->> 'backoff', 'exponential')
      when 'fixed' then 1
      when 'linear' then retry_delay.failures
      else power(2, least(retry_delay.failures - 1, 30)) end) * (1 - v_jitter * random()) end;
end
$$;
comment on function muster_private.retry_delay(integer, interval, interval, jsonb) is
  'How long a job waits after so many failed attempts; 0 failures give no wait. retry is that of its policy';

create function muster_private.is_final_error(retry jsonb, error jsonb) returns boolean
language plpgsql immutable set search_path = ''
as $$
begin
  return exists (
    select from jsonb_array_elements_text(is_final_error.retry -> 'final_errors') f (pattern)
    where is_final_error.error ->> 'code' = f.pattern
      or (f.pattern like '%.*' and starts_with(is_final_error.error ->> 'code', left(f.pattern, -1))));
end
$$;
comment on function muster_private.is_final_error(jsonb, jsonb) is 'Whether a job asks for no other try after such an error';

revoke execute on all functions in schema muster_private from public;
