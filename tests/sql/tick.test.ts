import assert from "node:assert/strict";
import { createTenant, createWorker, getJob, submit, succeeded, type TestWorker, tick } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";
import { placeJobs } from "../support/places.ts";

const idle = { ran: true, lost_workers: 0, overdue_attempts: 0, expired_jobs: 0, due_jobs: 0, assigned_jobs: 0 };

Deno.test("tick() finds nothing to do twice", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { listening: true });
  await submit(db, tenant, { requires: ["nobody/has"] }, {});
  assert.deepEqual(await tick(db), idle);
  assert.deepEqual(await tick(db), idle);
});

Deno.test("tick() runs once at a time: a second one leaves at once", async () => {
  await using db = await TestDatabase.create();
  await using tx = await db.transaction();
  assert.equal((await tx.call(service, "tick")).ran, true);
  assert.deepEqual(await tick(db), { ran: false });
  await tx.commit();
  assert.equal((await tick(db)).ran, true);
});

Deno.test("tick() turns a silent worker offline and requeues its jobs, the first time without a wait", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [job, last] = await submit(db, tenant, {}, { max_attempts: 1 });
  await worker.claim(2);
  await db.advance(14);
  assert.equal((await tick(db)).lost_workers, 0);
  await db.advance(2);
  assert.equal((await tick(db)).lost_workers, 1);
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  const failed = await getJob(db, tenant, last.id);
  assert.deepEqual([failed.status, failed.error.code], ["failed", "worker_lost"]);
  const shown = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual([shown.status, shown.held_count], ["offline", 0]);
});

Deno.test("tick() requeues the jobs of 1,000 workers that are lost at once, and leaves more of them to the next", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await cloneWorkers(db, await createWorker(db, tenant), 1200, { held: 1 });
  await db.advance(16);
  assert.equal((await tick(db)).lost_workers, 1000);
  assert.deepEqual(await jobCounts(db), { queued: 1000, running: 200 });
  assert.equal((await tick(db)).lost_workers, 200);
  assert.deepEqual(await jobCounts(db), { queued: 1200 });
  const [left] = await db.sql`select count(*)::integer as workers, sum(held_count)::integer as held
    from muster.worker_devices where status = 'offline'`;
  assert.deepEqual([left!.workers, left!.held], [1200, 0]);
  const [events] = await db.sql`select count(*)::integer as written from muster.job_events
    where data ->> 'status' = 'queued' and data -> 'error' ->> 'message' like 'Worker % went offline while it held the job'`;
  assert.equal(events!.written, 1200);
});

Deno.test("tick() takes no more lost workers than hold some 4,000 jobs, so that nobody waits long for it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await cloneWorkers(db, await createWorker(db, tenant, { slots: 256 }), 17, { held: 256 });
  await db.advance(16);
  assert.equal((await tick(db)).lost_workers, 16);
  assert.deepEqual(await jobCounts(db), { queued: 16 * 256, running: 256 });
  assert.equal((await tick(db)).lost_workers, 1);
  assert.deepEqual(await jobCounts(db), { queued: 17 * 256 });
});

Deno.test("tick() looks no more at workers that are gone, until they come back", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [lost, stopped, revoked, live] = await Promise.all([1, 2, 3, 4].map(() => createWorker(db, tenant)));
  await db.call(stopped!.actor, "goodbye");
  await db.call(service, "revoke_worker", {
    caller: { kind: "service", tenant_id: tenant.id },
    worker_id: revoked!.id,
  });
  await db.advance(80);
  await live!.heartbeat();
  await db.advance(20);
  assert.equal((await tick(db)).lost_workers, 1);
  const overdue = async () =>
    (await db.sql`select worker_id from muster.worker_heartbeats where deadline_at < 'infinity'`).map((row) =>
      row.worker_id
    );
  assert.deepEqual(await overdue(), [live!.id]);
  await lost!.hello();
  assert.deepEqual((await overdue()).sort(), [live!.id, lost!.id].sort());
});

Deno.test("tick() leaves an idle worker alone for 90 seconds", async () => {
  await using db = await TestDatabase.create();
  await createWorker(db, await createTenant(db));
  await db.advance(89);
  assert.equal((await tick(db)).lost_workers, 0);
  await db.advance(2);
  assert.equal((await tick(db)).lost_workers, 1);
});

Deno.test("tick() gives a pushed job that was not taken up within 5 s to someone else, and spends no attempt", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const deaf = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  assert.equal(job.worker_id, deaf.id);
  const other = await createWorker(db, tenant, { listening: true });
  await db.advance(4);
  assert.equal((await tick(db)).overdue_attempts, 0);
  await db.advance(2);
  const done = await tick(db);
  assert.deepEqual([done.overdue_attempts, done.assigned_jobs], [1, 1]);
  const moved = await getJob(db, tenant, job.id);
  assert.deepEqual([moved.status, moved.worker_id, moved.attempts], ["assigned", other.id, 2]);
  assert.equal((await db.call(service, "get_worker", { caller: tenant.caller, worker_id: deaf.id })).deaf, true);
  const [held] = await other.claim(0);
  await other.complete([succeeded(held!)]);
  assert.equal((await getJob(db, tenant, job.id)).status, "succeeded");
});

Deno.test("tick() ends an attempt that takes too long, with a retry until attempts are spent", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [again, last] = await submit(
    db,
    tenant,
    { attempt_timeout_seconds: 10, retry_base_seconds: 2 },
    { attempt_timeout_seconds: 10, max_attempts: 1 },
  );
  const running = await worker.claim(2);
  await db.advance(9);
  await worker.heartbeat({ running });
  assert.equal((await tick(db)).overdue_attempts, 0);
  await db.advance(2);
  assert.equal((await tick(db)).overdue_attempts, 2);
  assert.equal((await getJob(db, tenant, again.id)).status, "scheduled");
  const failed = await getJob(db, tenant, last.id);
  assert.deepEqual([failed.status, failed.error.code], ["failed", "attempt_timeout"]);
  assert.equal((await worker.heartbeat({ running })).stop.length, 2);
});

Deno.test("tick() fails a job whose total time is over, wherever it stands", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const jobs = await submit(
    db,
    tenant,
    { timeout_seconds: 10 },
    { timeout_seconds: 10, requires: ["nobody/has"] },
    { timeout_seconds: 10, run_at: "2027-01-01T00:00:00Z" },
    { timeout_seconds: 10, concurrency_key: "k", requires: ["nobody/has"] },
    { timeout_seconds: 10, concurrency_key: "k" },
  );
  const [held] = await worker.claim();
  await db.advance(9);
  await worker.heartbeat({ running: [held!] });
  await db.advance(2);
  const { overdue_attempts, expired_jobs } = await tick(db);
  assert.deepEqual([overdue_attempts, expired_jobs], [1, 4]);
  for (const job of jobs) {
    const ended = await getJob(db, tenant, job.id);
    assert.deepEqual([ended.status, ended.error.code], ["failed", "expired"]);
  }
});

Deno.test("tick() queues what is due and lets blocked jobs in, and gives them to idle workers", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 5, listening: true });
  const [due, keyed, later] = await submit(
    db,
    tenant,
    { run_at: "2026-01-01T00:00:05Z" },
    { run_at: "2026-01-01T00:00:05Z", concurrency_key: "k" },
    { run_at: "2026-01-01T00:01:00Z" },
  );
  await db.advance(5);
  const { due_jobs, assigned_jobs } = await tick(db);
  assert.deepEqual([due_jobs, assigned_jobs], [2, 2]);
  for (const job of [due, keyed]) {
    const assigned = await getJob(db, tenant, job.id);
    assert.deepEqual([assigned.status, assigned.worker_id, assigned.queued_at], [
      "assigned",
      worker.id,
      "2026-01-01T00:00:05.000000Z",
    ]);
  }
  assert.equal((await getJob(db, tenant, later.id)).status, "scheduled");
});

Deno.test("tick() waits for nobody: what others hold locked is left to the next one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [held, waiting] = await submit(db, tenant, { timeout_seconds: 10 }, { timeout_seconds: 10 });
  await worker.claim();
  await using tx = await db.transaction();
  await tx.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [held.id, waiting.id] });
  await db.advance(100);
  assert.deepEqual(await tick(db), idle);
  await tx.rollback();
  const { lost_workers, expired_jobs } = await tick(db);
  assert.deepEqual([lost_workers, expired_jobs], [1, 1]);
});

Deno.test("tick() forgets proofs that would be refused as too old anyway, and no others", async () => {
  await using db = await TestDatabase.create();
  await db
    .sql`insert into muster_private.used_proofs values ('old', '2026-01-01T00:00:30Z'), ('new', '2026-01-01T00:02:00Z')`;
  await db.advance(60);
  await tick(db);
  const rows = await db.sql`select id from muster_private.used_proofs`;
  assert.deepEqual(rows.map((row) => row.id), ["new"]);
});

Deno.test("tick() notes when it ran, how many workers beat, and how many of them have a job", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant);
  const busy = await createWorker(db, tenant);
  await createWorker(db, tenant, { online: false });
  await submit(db, tenant, {});
  await busy.claim();
  await db.advance(7);
  await tick(db);
  const [row] = await db.sql`select last_tick_at, beating_count, busy_count from muster_private.scheduler_state`;
  assert.deepEqual([row!.last_tick_at, row!.beating_count, row!.busy_count], [await db.now(), 2, 1]);
});

Deno.test("tick() that comes late after ticks in time gives the workers 10 seconds: the database was away, not they", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [back, gone] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  await submit(db, tenant, {}, {});
  const [held] = await back.claim();
  const [lost] = await gone.claim();
  await db.advance(60, { asOutage: true });
  assert.equal((await tick(db)).lost_workers, 0);
  await back.heartbeat({ running: [held!] });
  await db.advance(9);
  assert.equal((await tick(db)).lost_workers, 0);
  await db.advance(2);
  assert.equal((await tick(db)).lost_workers, 1);
  assert.equal((await getJob(db, tenant, held!.job_id)).status, "running");
  assert.equal((await getJob(db, tenant, lost!.job_id)).attempts, 1);
});

Deno.test("where nobody ticks, a claim does it and is to be repeated", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [doomed, polling] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const [job] = await submit(db, tenant, {});
  await doomed.claim();
  await db.advance(16);
  assert.deepEqual(await db.call(polling.actor, "claim_jobs", { want: 1 }), { jobs: [], again: true });
  const { jobs, again } = await db.call(polling.actor, "claim_jobs", { want: 1 });
  assert.deepEqual([jobs[0].job_id, jobs[0].attempt, again], [job.id, 2, false]);
});

Deno.test("where nobody ticks, idle workers beat often enough to do it", async () => {
  await using db = await TestDatabase.create();
  const worker = await createWorker(db, await createTenant(db));
  const next = async () => (await worker.heartbeat()).next_seconds;
  // Each is told up to a fifth less, at random.
  const between = (least: number, value: number, most: number) =>
    assert.ok(least <= value && value <= most, `${value}`);
  between(24, await next(), 30);
  await db.advance(11);
  assert.equal(await next(), 0);
  between(8, await next(), 10);
  await db.advance(3);
  await tick(db);
  between(24, await next(), 30);
});

Deno.test("a beat that finds the late tick in other hands goes on with its own business", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await db.advance(11);
  await using other = await db.transaction();
  await other.call(service, "tick");
  const { jobs, next_seconds } = await worker.heartbeat({ want: 1 });
  assert.equal(jobs[0].job_id, job.id);
  assert.ok(next_seconds > 0);
});

/** So many workers like the given one, which goes; each runs so many jobs. */
async function cloneWorkers(
  db: TestDatabase,
  { id }: TestWorker,
  count: number,
  { held }: { held: number },
): Promise<void> {
  await db.sql`
    with clones as (
      insert into muster.worker_devices (tenant_id, name, device_fingerprint, public_jwk, slots, held_count, status)
      select w.tenant_id, 'clone-' || i, i::text, w.public_jwk, w.slots, ${held}, 'online'
      from muster.worker_devices w cross join generate_series(1, ${count}::integer) i where w.id = ${id}
      returning id, tenant_id
    ), beats as (
      insert into muster.worker_heartbeats (worker_id, tenant_id, last_seen_at, deadline_at, busy_interval)
      select c.id, c.tenant_id, now.at, now.at + interval '15 seconds', interval '5 seconds'
      from clones c cross join muster_private.test_clock now
    ), classes as (
      insert into muster.job_classes (tenant_id, digest, requires, labels)
      select w.tenant_id, 'any', '{}', '{}' from muster.worker_devices w where w.id = ${id} returning id
    )
    insert into muster.jobs (tenant_id, type, status, class_id, worker_id, attempts, attempt_deadline_at,
      run_at, created_at, updated_at)
    select c.tenant_id, 'test', 'running', k.id, c.id, 1, now.at + interval '1 hour', now.at, now.at, now.at
    from clones c cross join generate_series(1, ${held}::integer) cross join classes k
    cross join muster_private.test_clock now`;
  await db.sql`delete from muster.worker_devices where id = ${id}`;
  await placeJobs(db.sql);
}

async function jobCounts(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql`select status, count(*)::integer as jobs from muster.jobs group by status order by status`;
  return Object.fromEntries(rows.map((row) => [row.status, row.jobs]));
}
