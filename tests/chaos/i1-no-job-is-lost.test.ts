import assert from "node:assert/strict";
import {
  type Assignment,
  createTenant,
  createWorker,
  failed,
  getJob,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import { Connections } from "../support/connections.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

/** Each test ends here: another worker finishes the job, and nothing is out of order. */
async function finishElsewhere(db: TestDatabase, tenant: TestTenant, id: string, attempt: number): Promise<void> {
  const rescuer = await createWorker(db, tenant);
  const [taken] = await rescuer.claim();
  assert.deepEqual([taken?.job_id, taken?.attempt], [id, attempt]);
  const { outcomes } = await rescuer.complete([succeeded(taken!, "rescued")]);
  assert.equal(outcomes[0].outcome, "accepted");
  assert.equal((await getJob(db, tenant, id)).result, "rescued");
  assert.deepEqual(await violations(db.sql), []);
}

async function holding(db: TestDatabase, job: Args = {}): Promise<[TestTenant, TestWorker, Assignment, Answer]> {
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [submitted] = await submit(db, tenant, job);
  const [held] = await worker.claim();
  return [tenant, worker, held!, submitted];
}

const tick = (db: TestDatabase): Promise<Answer> => db.call(service, "tick");

Deno.test("a job that was pushed to a worker that died goes to someone else", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const dead = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, {});
  assert.deepEqual([job.status, job.worker_id], ["assigned", dead.id]);
  await db.advance(6);
  assert.equal((await tick(db)).overdue_attempts, 1);
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a job whose worker died while it ran is queued again once the worker counts as lost", async () => {
  await using db = await TestDatabase.create();
  const [tenant, , , job] = await holding(db);
  await db.advance(14);
  assert.equal((await tick(db)).lost_workers, 0);
  await db.advance(2);
  assert.equal((await tick(db)).lost_workers, 1);
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a worker that went offline by any other hand loses its jobs too", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, , job] = await holding(db);
  await db.sql`update muster.worker_devices set status = 'offline' where id = ${worker.id}`;
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a completion that was rolled back leaves the job with its worker", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 1);
  const [tenant, worker, held, job] = await holding(db);
  const tx = await connections.transaction();
  await tx.call(worker.actor, "complete_jobs", { results: [succeeded(held, "lost")] });
  await tx.rollback();
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
  await db.advance(16);
  await tick(db);
  await finishElsewhere(db, tenant, job.id, 2);
});

for (const name of ["claim_jobs", "heartbeat", "complete_jobs"] as const) {
  Deno.test(`a job taken by a ${name}() that was rolled back is queued as before`, async () => {
    await using db = await TestDatabase.create();
    await using connections = new Connections(db, 1);
    const tenant = await createTenant(db);
    const worker = await createWorker(db, tenant);
    const [job] = await submit(db, tenant, {});
    const tx = await connections.transaction();
    const args = { claim_jobs: {}, heartbeat: { running: [] }, complete_jobs: { results: [] } }[name];
    assert.equal((await tx.call(worker.actor, name, { ...args, want: 1 })).jobs.length, 1);
    await tx.rollback();
    await finishElsewhere(db, tenant, job.id, 1);
  });
}

Deno.test("a worker that comes back without its jobs gives them up at once", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, , job] = await holding(db);
  await worker.hello({ capabilities: ["other"] }, []);
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a worker that comes back with its jobs keeps them", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, held] = await holding(db);
  const answer = await worker.hello({}, [held]);
  assert.deepEqual([answer.stop, answer.jobs], [[], []]);
  assert.equal((await worker.complete([succeeded(held)])).outcomes[0].outcome, "accepted");
  assert.equal((await getJob(db, tenant, held.job_id)).status, "succeeded");
});

Deno.test("a worker that was lost and comes back is told to stop what others have taken over", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, held, job] = await holding(db);
  await db.advance(16);
  await tick(db);
  assert.equal((await worker.heartbeat({ running: [held] })).resync, true);
  const greeting = await worker.hello({ capabilities: ["other"] }, [held]);
  assert.deepEqual(greeting.stop.map((stop: Answer) => stop.job_id), [job.id]);
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a job whose handing over got lost is handed over again, and goes to someone else when that does not help", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, held, job] = await holding(db);
  const again = await worker.heartbeat({ running: [] });
  assert.deepEqual(again.jobs.map(({ job_id, attempt }: Answer) => ({ job_id, attempt })), [
    { job_id: held.job_id, attempt: held.attempt },
  ]);
  for (const seconds of [9, 9, 9]) {
    await db.advance(seconds);
    await tick(db);
    assert.equal((await worker.heartbeat({ running: [] })).jobs.length, 1);
  }
  await db.advance(4);
  await tick(db);
  const late = await worker.heartbeat({ running: [] });
  assert.equal(late.jobs.length, 0);
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a goodbye hands everything back at once and spends no attempt", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, , job] = await holding(db, { max_attempts: 1 });
  assert.deepEqual(await db.call(worker.actor, "goodbye", { reason: "update" }), { released: 1 });
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a goodbye hands back what was pushed and not yet taken up", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  assert.equal(job.worker_id, worker.id);
  assert.deepEqual(await db.call(worker.actor, "goodbye"), { released: 1 });
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a drained worker finishes what it holds", async () => {
  await using db = await TestDatabase.create();
  const [tenant, worker, held] = await holding(db);
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  const beat = await worker.heartbeat({ running: [held], want: 1 });
  assert.deepEqual([beat.commands, beat.stop], [["drain"], []]);
  assert.equal((await worker.complete([succeeded(held)], 1)).outcomes[0].outcome, "accepted");
});

Deno.test("a job pushed to a worker that was drained before it took the job up is not lost", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, {});
  assert.equal(job.worker_id, worker.id);
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  await db.advance(6);
  await tick(db);
  await finishElsewhere(db, tenant, job.id, 2);
});

Deno.test("a job fails, and says why, once its worker was lost as often as it may be tried", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [job] = await submit(db, tenant, { max_attempts: 2, retry_base_seconds: 1 });
  for (const attempt of [1, 2]) {
    const worker = await createWorker(db, tenant);
    const [held] = await worker.claim();
    assert.equal(held!.attempt, attempt);
    await db.advance(16);
    await tick(db);
  }
  const lost = await getJob(db, tenant, job.id);
  assert.deepEqual([lost.status, lost.error.code], ["failed", "worker_lost"]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a job that never finishes in time is tried again and then fails", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { max_attempts: 2, attempt_timeout_seconds: 3 });
  for (const attempt of [1, 2]) {
    const [held] = await worker.claim();
    assert.equal(held!.attempt, attempt);
    await db.advance(4);
    await worker.heartbeat({ running: [held] });
    await tick(db);
    const beat = await worker.heartbeat({ running: [held] });
    assert.deepEqual(beat.stop.map((stop: Answer) => stop.job_id), [job.id]);
    await db.advance(2);
    await tick(db);
  }
  const late = await getJob(db, tenant, job.id);
  assert.deepEqual([late.status, late.error.code], ["failed", "attempt_timeout"]);
});

Deno.test("a job that nobody can serve waits until its time is over", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { requires: ["nobody"], timeout_seconds: 60 });
  await db.advance(59);
  await tick(db);
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  await db.advance(2);
  await tick(db);
  const expired = await getJob(db, tenant, job.id);
  assert.deepEqual([expired.status, expired.error.code], ["failed", "expired"]);
});

Deno.test("a job behind a concurrency key is let in however the one before it ends", async (t) => {
  await using db = await TestDatabase.create();
  const ends: Record<string, (tenant: TestTenant, worker: TestWorker, held: Assignment) => Promise<unknown>> = {
    "it succeeds": (_, worker, held) => worker.complete([succeeded(held)]),
    "it fails for good": (_, worker, held) => worker.complete([failed(held, { retryable: false })]),
    "it fails and waits for its next try": (_, worker, held) => worker.complete([failed(held)]),
    "it is cancelled": (tenant, _, held) =>
      db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [held.job_id] }),
    "its worker is revoked": (tenant, worker) =>
      db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id }),
    "its time is over": async () => {
      await db.advance(6);
      await tick(db);
    },
  };
  for (const [how, end] of Object.entries(ends)) {
    await t.step(how, async () => {
      await tick(db);
      const tenant = await createTenant(db);
      const worker = await createWorker(db, tenant);
      const [, second] = await submit(
        db,
        tenant,
        ...[5, 100].map((attempt_timeout_seconds, index) => (
          { concurrency_key: "k", max_attempts: 2, attempt_timeout_seconds, priority: -index }
        )),
      );
      const [held] = await worker.claim();
      assert.equal(second.status, "blocked");
      await end(tenant, worker, held!);
      const rescuer = await createWorker(db, tenant);
      const next: Assignment[] = await rescuer.claim(2);
      assert.equal(next.length, 1, "one job of the key runs");
      const first = await getJob(db, tenant, held!.job_id);
      if (first.status !== "running") assert.equal(next[0]!.job_id, second.id);
      assert.deepEqual(await violations(db.sql), []);
    });
  }
});
