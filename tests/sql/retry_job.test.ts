import assert from "node:assert/strict";
import {
  createInput,
  createTenant,
  createWorker,
  failed,
  getJob,
  refused,
  submit,
  succeeded,
} from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("retry_job() submits a failed job again as a new one that names the old", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const input = await createInput(db, tenant);
  const asked = {
    type: "again",
    payload: { n: 1 },
    requires: ["compute/basic"],
    labels: {},
    priority: 5,
    max_attempts: 1,
    attempt_timeout_seconds: 60,
    concurrency_key: "k",
    correlation_id: "c",
    notify: true,
    inputs: [input.id],
    idempotency_key: "once",
  };
  const [job] = await submit(db, tenant, { ...asked, timeout_seconds: 100 });
  const [held] = await worker.claim();
  await worker.complete([failed(held!)]);
  const before = await getJob(db, tenant, job.id);
  await db.advance(50);

  const again = await db.call(service, "retry_job", { caller: tenant.caller, job_id: job.id });

  assert.notEqual(again.id, job.id);
  assert.equal(again.retry_of, job.id);
  for (const [field, value] of Object.entries({ ...asked, idempotency_key: null })) {
    assert.deepEqual(again[field], value, field);
  }
  assert.deepEqual([again.status, again.attempts, again.error, again.result], ["queued", 0, null, null]);
  assert.equal(again.expires_at, "2026-01-01T00:02:30.000000Z");
  assert.deepEqual(await getJob(db, tenant, job.id), before);
  const [next] = await worker.claim();
  assert.deepEqual([next!.job_id, next!.attempt], [again.id, 1]);
});

Deno.test("retry_job() retries a cancelled job and gives it to an idle worker at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [job] = await submit(db, tenant, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  const worker = await createWorker(db, tenant, { listening: true });
  const again = await db.call(service, "retry_job", { caller: tenant.caller, job_id: job.id });
  assert.deepEqual([again.status, again.worker_id], ["assigned", worker.id]);
});

Deno.test("retry_job() keeps to the concurrency key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [first] = await submit(db, tenant, { concurrency_key: "k" });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.id] });
  await submit(db, tenant, { concurrency_key: "k" });
  const again = await db.call(service, "retry_job", { caller: tenant.caller, job_id: first.id });
  assert.equal(again.status, "blocked");
});

Deno.test("retry_job() refuses a job that has not ended, or has succeeded, with conflict", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job, queued, scheduled] = await submit(db, tenant, {}, {}, { run_at: "2027-01-01T00:00:00Z" });
  const retry = (id: string) => db.call(service, "retry_job", { caller: tenant.caller, job_id: id });
  const [held] = await worker.claim();
  for (const each of [job, queued, scheduled]) await refused(retry(each.id), "MU008");
  await worker.complete([succeeded(held!)]);
  await refused(retry(job.id), "MU008");
  const [row] = await db.sql`select count(*)::integer as count from muster.jobs`;
  assert.equal(row!.count, 3);
});
