import assert from "node:assert/strict";
import { createTenant, createWorker, failed, getJob, submit, succeeded } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("get_job() shows a job through its life", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, { max_attempts: 2, retry_base_seconds: 0 });
  const shown = async () => {
    const { status, worker_id, worker_name, attempts } = await getJob(db, tenant, job.id);
    return [status, worker_id === worker.id, typeof worker_name, attempts];
  };
  assert.deepEqual(await shown(), ["assigned", true, "string", 1]);
  const [first] = await worker.claim();
  assert.deepEqual(await shown(), ["running", true, "string", 1]);
  await worker.complete([failed(first!)]);
  assert.deepEqual((await shown()).slice(1, 3), [true, "string"]);
  const [second] = await worker.claim();
  await worker.complete([succeeded(second!, "done")]);
  assert.deepEqual(await shown(), ["succeeded", true, "string", 2]);
  const ended = await getJob(db, tenant, job.id);
  assert.deepEqual([ended.result, ended.error, ended.progress], ["done", null, 1]);
});

Deno.test("get_job() shows times as ISO 8601 in UTC and never an instant that was not reached", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await db.advance(1.5);
  const [held] = await worker.claim();
  await db.advance(2);
  await worker.complete([succeeded(held!)]);
  const { created_at, queued_at, assigned_at, started_at, finished_at, expires_at } = await getJob(db, tenant, job.id);
  assert.deepEqual([created_at, queued_at, assigned_at, started_at, finished_at, expires_at], [
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:01.500000Z",
    "2026-01-01T00:00:01.500000Z",
    "2026-01-01T00:00:03.500000Z",
    null,
  ]);
});

Deno.test("get_job() refuses an id that is no UUID", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await assert.rejects(db.call(service, "get_job", { caller: tenant.caller, job_id: "x" }), { code: "22P02" });
});
