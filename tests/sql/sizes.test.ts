import assert from "node:assert/strict";
import { createTenant, createWorker, failed, getJob, refused, submit, succeeded } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

const megabyte = "x".repeat(1024 * 1024);

function nested(levels: number): Answer {
  let value: Answer = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

Deno.test("what a worker sends is bounded on every call, however it is shaped", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const call = (name: string, args: Answer) => db.call(worker.actor, name, args);
  const event = { ...held, number: 1, kind: "log" };
  const cases: [string, string, Answer][] = [
    ["MU005", "hello", { worker: { junk: megabyte } }],
    ["MU005", "hello", { worker: {}, running: [{ ...held, junk: megabyte }] }],
    ["MU005", "heartbeat", { running: [{ ...held, junk: megabyte }] }],
    ["MU004", "heartbeat", { running: [], metrics: { junk: megabyte } }],
    ["MU004", "heartbeat", { running: [], metrics: { a: nested(100) } }],
    ["MU005", "report_events", { events: Array(9).fill({ ...event, data: {}, junk: megabyte }) }],
    ["MU004", "report_events", { events: [{ ...event, data: { text: megabyte } }] }],
    ["MU004", "report_events", { events: [{ ...event, data: nested(101) }] }],
    ["MU005", "complete_jobs", { results: Array(9).fill({ ...held, status: "succeeded", result: megabyte }) }],
    ["MU004", "create_artifact", {
      caller: null,
      artifact: { ...held, name: megabyte, size_bytes: 1, sha256: "0".repeat(64) },
    }],
    ["MU004", "hello", { worker: { session_id: megabyte.slice(0, 100_000) } }],
  ];
  for (const [state, name, args] of cases) {
    const error = await refused(call(name, args), state, `${name} ${JSON.stringify(args).slice(0, 60)}`);
    assert.ok(error.message.length < 1000, "the answer does not repeat what was sent");
  }
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
  await call("heartbeat", { running: [held], wake_nonce: megabyte });
  await call("goodbye", { reason: megabyte });
});

Deno.test("a result or an error that is nested too deep fails its job and spoils no batch; one that just fits is kept", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 4 });
  await submit(db, tenant, {}, {}, {}, {});
  const [deep, error, fits, plain] = await worker.claim(4);
  await worker.complete([
    succeeded(deep!, nested(101)),
    failed(error!, { details: nested(100) }),
    succeeded(fits!, nested(100)),
    succeeded(plain!),
  ]);
  const jobs = await Promise.all([deep, error, fits, plain].map((each) => getJob(db, tenant, each!.job_id)));
  assert.deepEqual(jobs.map(({ status }) => status), ["failed", "failed", "succeeded", "succeeded"]);
  assert.deepEqual(jobs.map((each) => each.error?.code), ["result_too_deep", "result_too_deep", undefined, undefined]);
  await refused(submit(db, tenant, { payload: nested(101) }), "MU004");
  await submit(db, tenant, { payload: nested(100) });
});

Deno.test("a job has at most 100,000 events, and what a worker stores counts against its rate by its size", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {});
  const [held] = await worker.claim();
  const report = (number: number, data: Answer, count = 1) =>
    db.call(worker.actor, "report_events", {
      events: Array.from({ length: count }, (_, n) => ({ ...held, number: number + n, kind: "log", data })),
    });
  await db.sql`update muster.jobs set last_sequence = 99999 where id = ${held!.job_id}`;
  await report(1, {});
  await refused(report(5, {}), "MU015");

  await db.sql`update muster.jobs set last_sequence = 2 where id = ${held!.job_id}`;
  await db.sql`insert into muster.tenant_limits (tenant_id, worker_rate, worker_burst) values (${tenant.id}, 10, 320)`;
  await db.advance(100);
  // A megabyte is worth sixteen calls more.
  const answers = await Promise.allSettled(
    Array.from({ length: 40 }, (_, n) => report(100 + n * 100, { text: "x".repeat(16_000) }, 66)),
  );
  const stored = answers.filter(({ status }) => status === "fulfilled").length;
  assert.ok(stored >= 5 && stored <= 19, `${stored} megabytes were stored`);
});

Deno.test("a correlation id is bounded for the secret key as well", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const args = { caller: tenant.caller, jobs: [{ type: "a" }], correlation_id: "x".repeat(256) };
  await refused(db.call(service, "submit_jobs", args), "MU004");
});
