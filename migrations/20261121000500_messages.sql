-- Hints over Realtime. Each is sent in the transaction that made it true, and none is needed for correctness.

create function muster_private.send_message(
  topic text, type text, data jsonb, correlation_id text default null, attempt integer default null
) returns void
language plpgsql set search_path = ''
as $$
declare
  v_id constant uuid := gen_random_uuid();
begin
  perform realtime.send(
    jsonb_build_object(
      'messageId', v_id, 'correlationId', send_message.correlation_id, 'producerId', 'muster',
      'sentAt', muster_private.iso(muster_private.now()), 'attempt', send_message.attempt,
      'idempotencyKey', v_id, 'type', send_message.type, 'data', send_message.data),
    send_message.type, send_message.topic, true);
end
$$;
comment on function muster_private.send_message(text, text, jsonb, text, integer) is
  'Sends one message in the common envelope on a private channel; a failure is a warning, never an error';

create function muster_private.tasks_topic(worker_id uuid) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return 'worker:' || tasks_topic.worker_id || ':tasks';
end
$$;
comment on function muster_private.tasks_topic(uuid) is 'The channel on which a worker hears of its jobs';

-- One message a worker, however many jobs; the payloads stay in the database until the worker asks for them.
create function muster_private.send_assignments(job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(send_assignments.job_ids), 0) = 0 then
    return;
  end if;
  perform muster_private.send_message(muster_private.tasks_topic(a.worker_id), 'task.assign', jsonb_build_object('jobs', a.jobs))
  from (
    select j.worker_id,
      jsonb_agg(jsonb_build_object('jobId', j.id, 'attempt', j.attempts, 'type', j.type) order by j.position) as jobs
    from muster.jobs j
    where j.id = any (send_assignments.job_ids) and j.status = 'assigned'
    group by j.worker_id
  ) a;
end
$$;
comment on function muster_private.send_assignments(uuid[]) is 'Nudges each worker that was given jobs, with one message';

create function muster_private.send_cancels(worker_id uuid, jobs jsonb) returns void
language plpgsql set search_path = ''
as $$
begin
  perform muster_private.send_message(
    muster_private.tasks_topic(send_cancels.worker_id), 'task.cancel', jsonb_build_object('jobs', send_cancels.jobs));
end
$$;
comment on function muster_private.send_cancels(uuid, jsonb) is 'Tells a worker which of its attempts have ended without it';

-- Only for jobs whose submitter asked: messages cost money.
create function muster_private.send_results(job_ids uuid[]) returns void
language plpgsql set search_path = ''
as $$
begin
  if coalesce(cardinality(send_results.job_ids), 0) = 0 then
    return;
  end if;
  perform muster_private.send_message(t.topic, case j.status when 'succeeded' then 'task.result' else 'task.error' end,
    jsonb_build_object('jobId', j.id, 'status', j.status, 'attempt', j.attempts, 'error', j.error)
    || case when octet_length(j.result::text) <= 65536 then jsonb_build_object('result', j.result) else '{}' end,
    j.correlation_id, j.attempts)
  from muster.jobs j
  cross join lateral (values ('job:' || j.id), ('executor:' || j.executor_id || ':tasks')) t (topic)
  where j.id = any (send_results.job_ids) and j.notify and t.topic is not null
    and j.status in ('succeeded', 'failed', 'cancelled');
end
$$;
comment on function muster_private.send_results(uuid[]) is 'Tells of the end of those jobs whose submitter asked to be told';

revoke execute on all functions in schema muster_private from public;
