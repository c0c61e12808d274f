import assert from "node:assert/strict";
import { createTenant, createWorker, getJob, submit, succeeded } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("goodbye() hands back every held job at once and spends no attempt", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const jobs = await submit(db, tenant, { max_attempts: 1 }, { max_attempts: 1 });
  await worker.claim(2);
  assert.deepEqual(await db.call(worker.actor, "goodbye", { reason: "upgrade" }), { released: 2 });
  for (const job of jobs) assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  const again = await (await createWorker(db, tenant, { slots: 2 })).claim(2);
  assert.deepEqual(again.map((job) => job.attempt), [2, 2]);
});

Deno.test("goodbye() spends no attempt however often it happens", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  for (let n = 1; n <= 5; n++) {
    const [held] = await worker.claim();
    assert.equal(held!.attempt, n);
    await db.call(worker.actor, "goodbye");
    await worker.hello();
  }
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!)]);
  assert.equal((await getJob(db, tenant, job.id)).status, "succeeded");
});

Deno.test("goodbye() pushes what it hands back to a worker that listens", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const next = await createWorker(db, tenant, { listening: true });
  await db.call(worker.actor, "goodbye");
  const moved = await getJob(db, tenant, job.id);
  assert.deepEqual([moved.status, moved.worker_id], ["assigned", next.id]);
});

Deno.test("goodbye() makes what the worker still sends stale", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await db.call(worker.actor, "goodbye");
  assert.equal((await worker.complete([succeeded(held!)])).outcomes[0].outcome, "stale");
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
});

Deno.test("goodbye() shows the worker as offline, and may be said twice", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  await db.call(worker.actor, "goodbye");
  assert.deepEqual(await db.call(worker.actor, "goodbye", { reason: null }), { released: 0 });
  const shown = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual([shown.status, shown.listening, shown.held_count, shown.current_jobs], ["offline", false, 0, []]);
});

Deno.test("goodbye() fails a job whose total time is over rather than queue it again", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { timeout_seconds: 5 });
  await worker.claim();
  await db.advance(6);
  await db.call(worker.actor, "goodbye");
  const ended = await getJob(db, tenant, job.id);
  assert.equal(ended.status, "failed");
});

Deno.test("goodbye() lets a blocked job of the same key keep its turn behind the one handed back", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [first, second] = await submit(db, tenant, { concurrency_key: "k" }, { concurrency_key: "k" });
  await worker.claim();
  await db.call(worker.actor, "goodbye");
  assert.equal((await getJob(db, tenant, first.id)).status, "queued");
  assert.equal((await getJob(db, tenant, second.id)).status, "blocked");
});

Deno.test("goodbye() takes a reason of any length", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  await db.call(worker.actor, "goodbye", { reason: "x".repeat(1_000_000) });
  const { events } = await db.call(service, "list_job_events", { caller: tenant.caller, job_id: job.id });
  assert.ok(JSON.stringify(events).length < 20_000, "the reason is kept short");
});
