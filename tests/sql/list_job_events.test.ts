import assert from "node:assert/strict";
import { createTenant, createWorker, failed, submit, succeeded, tick } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("list_job_events() tells a job's whole story, numbered without gaps", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { retry_base_seconds: 1 });
  const [first] = await worker.claim();
  await db.call(worker.actor, "report_events", {
    events: [{ job_id: job.id, attempt: 1, number: 1, kind: "log", data: { level: "info", message: "hi" } }],
  });
  await worker.complete([failed(first!)]);
  await db.advance(2);
  await tick(db);
  const [second] = await worker.claim();
  await worker.complete([succeeded(second!)]);
  const { events, last_sequence } = await db.call(service, "list_job_events", {
    caller: tenant.caller,
    job_id: job.id,
  });
  assert.deepEqual(events.map((event: Answer) => event.sequence), events.map((_: Answer, n: number) => n + 1));
  assert.equal(last_sequence, events.length);
  assert.deepEqual(
    events.map((event: Answer) => [event.kind, event.data.status ?? event.data.message, event.attempt]),
    [
      ["status", "queued", 0],
      ["status", "running", 1],
      ["log", "hi", 1],
      ["status", "scheduled", 1],
      ["status", "queued", 1],
      ["status", "running", 2],
      ["status", "succeeded", 2],
    ],
  );
  assert.equal(events[3].data.error.message, "It broke");
  assert.match(events[0].created_at, /^2026-01-01T00:00:00\.000000Z$/);
});

Deno.test("list_job_events() resumes after a number", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const list = (args: Args) => db.call(service, "list_job_events", { caller: tenant.caller, job_id: job.id, ...args });
  assert.deepEqual((await list({ after: 1 })).events.map((event: Answer) => event.sequence), [2]);
  assert.deepEqual(await list({ after: 2 }), { events: [], last_sequence: 2 });
  assert.deepEqual(await list({ after: 99 }), { events: [], last_sequence: 99 });
  assert.equal((await list({ after: -1 })).events.length, 2);
  assert.equal((await list({ after: null })).events.length, 2);
  const page = await list({ page_size: 1 });
  assert.deepEqual([page.events.length, page.last_sequence], [1, 1]);
  assert.equal((await list({ page_size: null })).events.length, 2);
});

Deno.test("list_job_events() answers at most 500 a page", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  for (const start of [0, 400]) {
    const events = Array.from(
      { length: 400 },
      (_, n) => ({ job_id: job.id, attempt: 1, number: start + n + 1, kind: "chunk", data: {} }),
    );
    await db.call(worker.actor, "report_events", { events });
  }
  const all = { caller: tenant.caller, job_id: job.id, page_size: 2_000_000_000 };
  assert.equal((await db.call(service, "list_job_events", all)).events.length, 500);
  assert.equal((await db.call(service, "list_job_events", { ...all, after: 500 })).events.length, 302);
});
