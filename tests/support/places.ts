import type postgres from "postgres";

/**
 * Puts jobs where their status says they stand, all or those named, and counts what workers hold: for tests and benches
 * that write jobs themselves.
 */
export async function placeJobs(
  sql: postgres.Sql | postgres.TransactionSql,
  ids: string[] | null = null,
): Promise<void> {
  const named = ids === null ? "true" : `job_id in ('${ids.join("', '")}')`;
  const jobs = `(select j.*, j.id as job_id from muster.jobs j where ${named.replace("job_id", "j.id")}) j`;
  for (const place of ["ready", "held", "scheduled", "blocked", "admitted"]) {
    await sql.unsafe(`delete from muster_private.${place}_jobs where ${named}`);
  }
  await sql.unsafe(`
    delete from muster_private.job_deadlines where ${named};
    insert into muster_private.ready_jobs (job_id, tenant_id, class_id, priority, rank, position, flow, queued_at)
    select id, tenant_id, class_id, priority, rank, position, coalesce(fairness_key, executor_id::text, ''),
      coalesce(queued_at, created_at)
    from ${jobs} where status = 'queued';
    insert into muster_private.held_jobs (job_id, tenant_id, worker_id, class_id, attempt, is_running, deadline_at)
    select id, tenant_id, worker_id, class_id, attempts, status = 'running', attempt_deadline_at
    from ${jobs} where status in ('assigned', 'running');
    insert into muster_private.scheduled_jobs (job_id, tenant_id, run_at)
    select id, tenant_id, run_at from ${jobs} where status = 'scheduled';
    insert into muster_private.blocked_jobs (job_id, tenant_id, waiting_for, key, priority, rank, position)
    select id, tenant_id, waiting_for, concurrency_key, priority, rank, position from ${jobs} where status = 'blocked';
    insert into muster_private.admitted_jobs (tenant_id, key, job_id)
    select tenant_id, concurrency_key, id from ${jobs}
    where concurrency_key is not null and status in ('queued', 'assigned', 'running');
    insert into muster_private.job_deadlines (job_id, tenant_id, at)
    select id, tenant_id, least(start_by, expires_at) from ${jobs}
    where status not in ('succeeded', 'failed', 'cancelled') and num_nonnulls(start_by, expires_at) > 0;
    update muster.worker_devices w set held_count = h.slots
    from (
      select o.id, coalesce(sum(c.slots), 0) as slots from muster.worker_devices o
      left join muster_private.held_jobs h on h.worker_id = o.id
      left join muster.job_classes c on c.id = h.class_id
      group by o.id
    ) h
    where h.id = w.id and w.held_count <> h.slots`);
}
