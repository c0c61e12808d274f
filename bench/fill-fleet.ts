import type postgres from "postgres";
import { createTenant, submit, type TestTenant, workerOf } from "../tests/support/actors.ts";
import type { TestDatabase } from "../tests/support/database.ts";
import { placeJobs } from "../tests/support/places.ts";

/** What the simulation is about; the shares of states follow from it. */
export type FleetSize = { workers: number; jobs: number };

export type Fleet = {
  tenant: TestTenant;
  /** Two slots each; a fifth of the fleet serves `gpu/cuda` and is full, half of the others hold one job. */
  fullIds: string[];
  halfIds: string[];
  idleIds: string[];
  counts: Record<string, number>;
};

/**
 * A fleet in the middle of its work: all workers listen; one job in ten is queued, for machines that are full; as many
 * are held as the fleet can; one in a hundred waits for its hour, one in a thousand for its concurrency key; the rest
 * has finished.
 */
export async function fillFleet(db: TestDatabase, { workers, jobs }: FleetSize): Promise<Fleet> {
  const tenant = await createTenant(db);
  const kinds = [
    { requires: ["gpu/cuda"] },
    ...[0, 1, 2, 3].map((n) => ({ requires: ["compute/basic", `pool/${n}`] })),
  ];
  const seeds = (await submit(db, tenant, ...kinds)).map((job) => job.id as string);
  await db.sql.begin(async (tx) => {
    // Rows made this way need no triggers.
    await tx`set local session_replication_role = replica`;
    await insertWorkers(tx, tenant, workers);
    await insertJobs(tx, tenant, seeds, jobs);
  });
  await db.sql`delete from muster.jobs where id = any (${seeds})`;
  await placeJobs(db.sql);
  await db.sql`vacuum analyze`;
  const ids = async (held: number) =>
    (await db.sql`select id from muster.worker_devices where held_count = ${held} order by id`).map((row) => row.id);
  const counts = await db.sql`select status, count(*)::integer from muster.jobs group by status`;
  return {
    tenant,
    fullIds: await ids(2),
    halfIds: await ids(1),
    idleIds: await ids(0),
    counts: Object.fromEntries(counts.map((row) => [row.status, row.count])),
  };
}

/** Makes the calls of a worker of the fleet. */
export function fleetWorker(db: TestDatabase, { tenant }: Fleet, id: string): ReturnType<typeof workerOf> {
  return workerOf(db, id, tenant.id, id);
}

async function insertWorkers(tx: postgres.TransactionSql, tenant: TestTenant, workers: number): Promise<void> {
  await tx`
    insert into muster.worker_devices
      (id, tenant_id, name, device_fingerprint, public_jwk, capabilities, slots, held_count, status, listening, version)
    select id, ${tenant.id}, 'worker-' || i, id::text, '{"kty": "EC"}',
      case i % 5 when 4 then '{gpu/cuda}' else array['compute/basic', 'pool/' || i % 5] end, 2,
      case when i % 5 = 4 then 2 when i % 2 = 0 then 1 else 0 end, 'online', true, '1.0.0'
    from generate_series(0, ${workers}::integer - 1) i cross join lateral (select md5('worker' || i)::uuid as id) d`;
  await tx`
    insert into muster.worker_heartbeats
      (worker_id, tenant_id, last_seen_at, deadline_at, busy_interval, wake_nonce, wake_sent_at, wake_heard_at)
    select w.id, w.tenant_id, now.at, now.at + interval '1 hour', '5 seconds', 'heard', now.at, now.at
    from muster.worker_devices w cross join (select muster_private.now() as at) now`;
  await tx`
    insert into muster.worker_classes (worker_id, class_id, tenant_id)
    select w.id, c.id, c.tenant_id from muster.worker_devices w
    join muster.job_classes c on c.tenant_id = w.tenant_id and c.requires <@ w.capabilities`;
}

async function insertJobs(
  tx: postgres.TransactionSql,
  tenant: TestTenant,
  seeds: string[],
  jobs: number,
): Promise<void> {
  const base = tx`${tenant.id}, ${tenant.executorId}, 'bench'`;
  const columns = tx`tenant_id, executor_id, type, class_id, requires, status, payload, run_at, created_at, updated_at`;
  const at = tx`(select muster_private.now() as at) now`;
  const payload = tx`jsonb_build_object('number', i, 'text', repeat('x', 100))`;
  const gpu = tx`(select * from muster.jobs where id = ${seeds[0]!}) c`;
  await tx`
    insert into muster.jobs (${columns}, worker_id, attempts, queued_at, assigned_at, started_at, attempt_deadline_at, last_sequence)
    select ${base}, wc.class_id, c.requires, 'running', '{}', now.at, now.at, now.at,
      w.id, 1, now.at, now.at, now.at, now.at + interval '1 hour', 3
    from muster.worker_devices w
    join muster.worker_classes wc on wc.worker_id = w.id
    join muster.job_classes c on c.id = wc.class_id
    cross join lateral generate_series(1, w.held_count) n cross join ${at}`;
  await tx`
    insert into muster.jobs (${columns}, queued_at, last_sequence)
    select ${base}, c.class_id, c.requires, 'queued', ${payload}, now.at, now.at - make_interval(secs => i), now.at, now.at, 1
    from generate_series(1, ${jobs}::integer / 10) i cross join ${gpu} cross join ${at}`;
  await tx`
    insert into muster.jobs (${columns}, last_sequence, stored_sequence)
    select ${base}, c.class_id, c.requires, 'scheduled', ${payload}, now.at + interval '1 day', now.at, now.at, 1, 1
    from generate_series(1, ${jobs}::integer / 100) i cross join ${gpu} cross join ${at}`;
  await tx`
    insert into muster.jobs (${columns}, concurrency_key, waiting_for, last_sequence, stored_sequence)
    select ${base}, c.class_id, c.requires, case i when 1 then 'queued' else 'blocked' end::muster.job_status, ${payload},
      now.at, now.at, now.at, 'one at a time', case when i > 1 then 'concurrency' end, 1, (i > 1)::integer
    from generate_series(1, ${jobs}::integer / 1000) i cross join ${gpu} cross join ${at}`;
  await tx`insert into muster.concurrency_keys (tenant_id, key) values (${tenant.id}, 'one at a time')`;
  const [row] = await tx`select count(*)::integer as made from muster.jobs`;
  await tx`
    insert into muster.jobs (${columns}, attempts, queued_at, assigned_at, started_at, finished_at, result, worker_id, last_sequence)
    select ${base}, c.class_id, c.requires, case i % 20 when 0 then 'failed' else 'succeeded' end::muster.job_status, ${payload},
      now.at, now.at - make_interval(secs => i), now.at, 1, now.at, now.at, now.at, now.at, '{"ok": true}',
      md5('worker' || i % 1000)::uuid, 4
    from generate_series(1, ${jobs - row!.made}::integer) i cross join ${gpu} cross join ${at}`;
  await tx`
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
    select j.id, 1, j.tenant_id, 0, 'status', jsonb_build_object('status', j.status), j.created_at
    from muster.jobs j where j.stored_sequence = 1 and j.id <> all (${seeds})`;
}
