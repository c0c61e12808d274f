import type postgres from "postgres";

/** Each names what is wrong when its query finds rows. */
const questions: ReadonlyArray<readonly [string, string]> = [
  [
    "held_count differs from the jobs that a worker holds",
    `select w.id, w.held_count, sum(c.slots) as held from muster.worker_devices w
     left join muster.jobs j on j.worker_id = w.id and j.status in ('assigned', 'running')
     left join muster.job_classes c on c.id = j.class_id
     group by w.id having w.held_count <> coalesce(sum(c.slots), 0)`,
  ],
  [
    "a job's status and what the scheduler searches by disagree",
    `select p from muster_private.check_places() p`,
  ],
  [
    "a worker holds more than its slots",
    `select w.id, w.slots, w.held_count from muster.worker_devices w where w.held_count > w.slots`,
  ],
  [
    "a worker that is gone holds a job",
    `select j.id, w.status from muster.jobs j join muster.worker_devices w on w.id = j.worker_id
     where j.status in ('assigned', 'running') and w.status in ('offline', 'revoked')`,
  ],
  [
    "a concurrency key is above its limit",
    `select c.key, c.max_running, count(*) as admitted from muster.concurrency_keys c
     join muster.jobs j on j.tenant_id = c.tenant_id and j.concurrency_key = c.key
     where j.status in ('queued', 'assigned', 'running')
     group by c.tenant_id, c.key, c.max_running having count(*) > c.max_running`,
  ],
  [
    "a job with a concurrency key has no row for the key",
    `select j.id from muster.jobs j where j.concurrency_key is not null and not exists (
       select from muster.concurrency_keys c where c.tenant_id = j.tenant_id and c.key = j.concurrency_key)`,
  ],
  [
    "a job's events are not numbered 1, 2, 3 …",
    `select j.id, j.last_sequence, count(e.*), min(e.sequence), max(e.sequence) from muster.jobs j
     left join muster.job_events e on e.job_id = j.id
     group by j.id having min(e.sequence) is distinct from 1 or max(e.sequence) <> count(e.*)
       or j.last_sequence <> count(e.*)`,
  ],
  [
    "a job's last status event is not its status",
    `select j.id, j.status, l.status as told from muster.jobs j
     left join lateral (
       select e.data ->> 'status' as status from muster.job_events e
       where e.job_id = j.id and e.kind = 'status' order by e.sequence desc limit 1) l on true
     where l.status is distinct from j.status::text`,
  ],
  [
    "a change of a job's status is not in the audit log, or more than once",
    `select e.job_id, e.attempt, e.data ->> 'status' as status, count(distinct e.sequence) as events, count(l.id) as entries
     from muster.job_events e
     left join (
       select a.id, (a.data ->> 'attempt')::integer as attempt, a.data ->> 'status' as status
       from (select unnest(i.job_ids) as id, i.data from muster_private.audit_inbox i where i.action = 'jobs.changed'
         union all select jsonb_array_elements_text(a.data -> 'jobs')::uuid, a.data from muster.audit_log a
         where a.action = 'jobs.changed') a
     ) l on l.id = e.job_id and l.attempt = e.attempt and l.status = e.data ->> 'status'
     where e.kind = 'status'
     group by e.job_id, e.attempt, e.data ->> 'status'
     having count(l.id) <> count(distinct e.sequence) * count(distinct e.sequence)`,
  ],
  [
    "something happened to a job after its end",
    `select e.job_id, e.sequence, e.data ->> 'status' as status from muster.job_events e
     where e.kind = 'status' and e.data ->> 'status' in ('succeeded', 'failed', 'cancelled')
       and exists (select from muster.job_events l where l.job_id = e.job_id and l.sequence > e.sequence)`,
  ],
  [
    "an attempt was held by two workers",
    `select e.job_id, e.attempt, count(distinct e.data ->> 'worker_id') as workers from muster.job_events e
     where e.kind = 'status' and e.data ->> 'status' in ('assigned', 'running')
     group by e.job_id, e.attempt having count(distinct e.data ->> 'worker_id') > 1`,
  ],
  [
    "an attempt was started twice",
    `select e.job_id, e.attempt from muster.job_events e
     where e.kind = 'status' and e.data ->> 'status' = 'running'
     group by e.job_id, e.attempt having count(*) > 1`,
  ],
  [
    "a job was tried more often than it may be",
    `select j.id, j.attempts, j.released_count, j.max_attempts from muster.jobs j
     where j.attempts - j.released_count > j.max_attempts`,
  ],
  [
    "a job waits for one that has ended, and nobody is told to see to it",
    `select d.job_id, d.after_id from muster_private.open_dependencies d
     join muster.jobs p on p.id = d.after_id join muster.jobs j on j.id = d.job_id
     where p.finished_at is not null and j.finished_at is null
       and not exists (select from muster_private.unsettled_jobs u where u.job_id = d.after_id and u.task = 'settle')`,
  ],
  [
    "a job waits for others and there is none",
    `select b.job_id from muster_private.blocked_jobs b where b.waiting_for = 'dependencies'
       and not exists (select from muster_private.open_dependencies d where d.job_id = b.job_id)`,
  ],
  [
    "a job started before one that it comes after had ended",
    `select d.job_id, d.after_id from muster.job_dependencies d
     join muster.jobs p on p.id = d.after_id join muster.jobs j on j.id = d.job_id
     where j.attempts > 0 and (p.finished_at is null or p.finished_at > j.assigned_at and j.attempts = 1
       or p.status <> 'succeeded' and j.policy ->> 'after_policy' = 'succeeded')`,
  ],
  [
    "the open jobs of a batch are others than those that have not ended",
    `select coalesce(j.id, c.job_id) as id, j.status from
       (select * from muster.jobs where parent_id is not null and finished_at is null) j
     full join muster_private.open_children c on c.job_id = j.id and c.parent_id = j.parent_id
     where j.id is null or c.job_id is null`,
  ],
  [
    "a batch has ended before its jobs, or is forgotten after them",
    `select b.id, b.status from muster.jobs b where b.type = 'muster.batch'
       and not exists (select from muster_private.unsettled_jobs u where u.job_id = b.id)
       and case b.status when 'blocked' then not (b.policy -> 'batch' ->> 'open')::boolean else true end
       and (b.status = 'blocked') <> exists (select from muster_private.open_children c where c.parent_id = b.id)`,
  ],
  [
    "a rate limit has more tokens, with what it let in, than its burst",
    `select r.key, r.tokens, r.burst, i.units from muster.rate_limits r
     cross join lateral (
       select coalesce(sum(j.units), 0) as units from muster_private.rated_jobs j
       where j.tenant_id = r.tenant_id and j.key = r.key) i
     where r.tokens > 1e-3 and r.tokens + i.units > r.burst + 1e-3`,
  ],
  [
    "a job is held by a worker of another tenant",
    `select j.id, j.worker_id from muster.jobs j join muster.worker_devices w on w.id = j.worker_id
     where j.tenant_id <> w.tenant_id`,
  ],
];

/**
 * What breaks the invariants in this database, in words; empty when nothing does. `prepared` plans each question once a
 * connection: for those who ask again and again about few rows.
 */
export async function violations(
  sql: postgres.Sql | postgres.TransactionSql,
  { prepared = false } = {},
): Promise<string[]> {
  const reserved = "reserve" in sql ? await sql.reserve() : undefined;
  const connection = reserved ?? sql;
  try {
    // Sent together: on a busy machine the way there and back takes longer than the answer.
    const answers = await Promise.all(
      questions.map(([, query]) => connection.unsafe(query, [], { prepare: prepared })),
    );
    return questions.flatMap(([what], index) => {
      const rows = answers[index]!;
      if (rows.length === 0) return [];
      const more = rows.length > 5 ? ` and ${rows.length - 5} more` : "";
      return [`${what}: ${JSON.stringify(rows.slice(0, 5))}${more}`];
    });
  } finally {
    reserved?.release();
  }
}
