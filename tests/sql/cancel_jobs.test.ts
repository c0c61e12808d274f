import assert from "node:assert/strict";
import { createTenant, createWorker, getJob, refused, submit, succeeded } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("cancel_jobs() ends jobs in every state that is not an end, and keeps the reason", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 1 });
  const jobs = await submit(db, tenant, {}, {}, { concurrency_key: "k" }, { concurrency_key: "k" }, {
    run_at: "2027-01-01T00:00:00Z",
  });
  await worker.claim();
  const { jobs: cancelled } = await db.call(service, "cancel_jobs", {
    caller: tenant.caller,
    job_ids: jobs.map((job) => job.id),
    reason: "not needed",
  });
  assert.deepEqual(cancelled.map((job: Answer) => job.id), jobs.map((job) => job.id));
  for (const job of cancelled) {
    assert.deepEqual([job.status, job.error.code, job.error.message], ["cancelled", "cancelled", "not needed"]);
    assert.equal(job.finished_at, "2026-01-01T00:00:00.000000Z");
  }
  const [row] = await db.sql`select held_count from muster.worker_devices`;
  assert.equal(row!.held_count, 0);
  await db.call(service, "tick");
  for (const job of jobs) assert.equal((await getJob(db, tenant, job.id)).status, "cancelled");
});

Deno.test("cancel_jobs() of an ended job answers it as it is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!, 7)]);
  const before = await getJob(db, tenant, job.id);
  await db.advance(1);
  const { jobs } = await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  assert.deepEqual(jobs, [before]);
});

Deno.test("cancel_jobs() makes the worker's late result stale", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  assert.equal((await worker.complete([succeeded(held!)])).outcomes[0].outcome, "stale");
  assert.deepEqual((await getJob(db, tenant, job.id)).status, "cancelled");
});

Deno.test("cancel_jobs() gives the slot and the key's turn to the next job at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 1, listening: true });
  const [first, second] = await submit(db, tenant, { concurrency_key: "k" }, { concurrency_key: "k" });
  assert.deepEqual([first.status, second.status], ["assigned", "blocked"]);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.id] });
  const next = await getJob(db, tenant, second.id);
  assert.deepEqual([next.status, next.worker_id], ["assigned", worker.id]);
});

Deno.test("cancel_jobs() takes the same job twice in a list for one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const { jobs } = await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id, job.id] });
  assert.deepEqual(jobs.map((each: Answer) => each.status), ["cancelled", "cancelled"]);
  const { events } = await db.call(service, "list_job_events", { caller: tenant.caller, job_id: job.id });
  assert.equal(events.filter((event: Answer) => event.data.status === "cancelled").length, 1);
});

Deno.test("cancel_jobs() cancels none if one of them is not there or another tenant's", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const [job] = await submit(db, tenant, {});
  const [foreign] = await submit(db, other, {});
  for (const id of [foreign.id, crypto.randomUUID(), null]) {
    await refused(db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id, id] }), "MU003");
  }
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  assert.equal((await getJob(db, other, foreign.id)).status, "queued");
});

Deno.test("cancel_jobs() refuses a list of none and of more than 1000, and ids that are no UUIDs", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const cancel = (job_ids: unknown) => db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids });
  for (const ids of [null, [], Array.from({ length: 1001 }, () => crypto.randomUUID())]) {
    await refused(cancel(ids), "MU015");
  }
  await refused(cancel(["x"]), "22P02");
});

Deno.test("cancel_jobs() keeps no more than a sentence of a reason", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [job] = await submit(db, tenant, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id], reason: "x".repeat(1_000_000) })
    .catch(
      (error) => assert.equal(error.code, "MU004"),
    );
  const { error } = await getJob(db, tenant, job.id);
  assert.ok((error?.message ?? "").length <= 1_000);
});
