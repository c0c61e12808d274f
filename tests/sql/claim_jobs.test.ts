import assert from "node:assert/strict";
import { createInput, createTenant, createWorker, getJob, submit, tick } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("claim_jobs() hands over higher priority first, and first come first within a priority", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 10, capabilities: ["a", "b"] });
  await submit(
    db,
    tenant,
    { payload: 3, requires: ["a"] },
    { payload: 6, priority: -100 },
    { payload: 1, priority: 100, requires: ["b"] },
    { payload: 4, requires: ["a", "b"] },
    { payload: 2, priority: 1 },
    { payload: 5 },
  );
  const order: unknown[] = [];
  for (let n = 0; n < 6; n++) order.push((await worker.claim())[0]!.payload);
  assert.deepEqual(order, [1, 2, 3, 4, 5, 6]);
});

Deno.test("claim_jobs() hands over everything a worker needs to run a job", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const inputs = [await createInput(db, tenant, "b"), await createInput(db, tenant, "a")].map((input) => input.id);
  const [job] = await submit(db, tenant, {
    type: "calc.add",
    payload: { a: 2 },
    requires: ["compute/basic"],
    correlation_id: "order-7",
    max_attempts: 5,
    attempt_timeout_seconds: 60,
    timeout_seconds: 600,
    concurrency_key: "printer",
    concurrency_limit: 2,
    inputs,
  });
  const [claimed] = await worker.claim();
  assert.deepEqual(claimed as unknown, {
    job_id: job.id,
    attempt: 1,
    type: "calc.add",
    payload: { a: 2 },
    requires: ["compute/basic"],
    correlation_id: "order-7",
    max_attempts: 5,
    attempt_timeout_seconds: 60,
    expires_at: "2026-01-01T00:10:00.000000Z",
    inputs,
    secrets: [],
    concurrency_key: "printer",
    concurrency_limit: 2,
  });
  const running = await getJob(db, tenant, job.id);
  assert.deepEqual([running.status, running.worker_id, running.attempts], ["running", worker.id, 1]);
  assert.equal(running.started_at, "2026-01-01T00:00:00.000000Z");
});

Deno.test("claim_jobs() gives a worker only jobs whose capabilities and labels it has", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, {
    slots: 10,
    capabilities: ["a", "b"],
    labels: { os: "linux", zone: "1" },
  });
  await submit(
    db,
    tenant,
    { payload: "fits: none" },
    { payload: "fits: both", requires: ["b", "a"] },
    { payload: "fits: label", labels: { os: "linux" } },
    { payload: "no: capability", requires: ["a", "c"] },
    { payload: "no: label value", labels: { os: "macos" } },
    { payload: "no: label", labels: { gpu: "a100" } },
  );
  assert.deepEqual((await worker.claim(10)).map((job) => job.payload), ["fits: none", "fits: both", "fits: label"]);
});

Deno.test("claim_jobs() never gives a worker more than its slots", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, ...Array.from({ length: 10 }, () => ({})));
  assert.equal((await worker.claim(2)).length, 2);
  assert.equal((await worker.claim(100)).length, 1);
  assert.equal((await worker.claim(100)).length, 0);
});

Deno.test("claim_jobs() starts what was pushed to the worker, also with a want of 0", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2, listening: true });
  const [job] = await submit(db, tenant, {});
  assert.equal(job.status, "assigned");
  assert.deepEqual((await worker.claim(0)).map((each) => each.job_id), [job.id]);
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
  assert.deepEqual(await worker.claim(0), []);
});

Deno.test("claim_jobs() gives nothing to a worker that is offline or draining", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [fresh, draining, gone] = [
    await createWorker(db, tenant, { online: false }),
    await createWorker(db, tenant),
    await createWorker(db, tenant),
  ];
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: draining.id });
  await db.call(gone.actor, "goodbye");
  await submit(db, tenant, {});
  for (const worker of [fresh, draining, gone]) assert.deepEqual(await worker.claim(), []);
});

Deno.test("claim_jobs() gives nothing of another tenant", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await submit(db, other, {});
  assert.deepEqual(await (await createWorker(db, tenant)).claim(), []);
});

Deno.test("claim_jobs() gives nothing that is scheduled, blocked or ended", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 10 });
  const [, , , ended] = await submit(
    db,
    tenant,
    { payload: "later", run_at: "2026-01-01T01:00:00Z" },
    { payload: "first", concurrency_key: "k" },
    { payload: "second", concurrency_key: "k" },
    {},
  );
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [ended.id] });
  assert.deepEqual((await worker.claim(10)).map((job) => job.payload), ["first"]);
});

Deno.test("claim_jobs() starts the busy deadline: a worker that then is silent loses the job after 15 s", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  await db.advance(14);
  await tick(db);
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
  await db.advance(2);
  await tick(db);
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
});

Deno.test("claim_jobs() takes null, negative and huge wants for what they can mean", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, {}, {}, {});
  for (const want of [null, 0, -1, -2_147_483_648]) {
    assert.deepEqual((await db.call(worker.actor, "claim_jobs", { want })).jobs, []);
  }
  assert.equal((await worker.claim(2_147_483_647)).length, 2);
});
