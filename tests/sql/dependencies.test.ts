import assert from "node:assert/strict";
import { createTenant, createWorker, failed, getJob, refused, submit, succeeded, tick } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

Deno.test("a job starts once all it comes after have succeeded, in the call that ends the last of them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  const [first] = await submit(db, tenant, {});
  const [second, last] = await submit(db, tenant, {}, { after: [first.id, "#0"] });
  assert.deepEqual([last.status, last.waiting_for, last.after_policy], ["blocked", "dependencies", "succeeded"]);
  assert.deepEqual(last.after, [first.id, second.id].sort());
  const held = await worker.claim(3);
  assert.deepEqual(held.map(({ job_id }) => job_id), [first.id, second.id]);
  assert.deepEqual((await worker.complete([succeeded(held[0]!)], 1)).jobs, []);
  const { jobs } = await worker.complete([succeeded(held[1]!)], 1);
  assert.deepEqual(jobs.map(({ job_id }: { job_id: string }) => job_id), [last.id]);
  assert.equal((await getJob(db, tenant, last.id)).waiting_for, null);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("jobs that have ended count at once: a success lets go, a failure fails what comes after it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [good, bad] = await submit(db, tenant, {}, {});
  const held = await worker.claim(2);
  await worker.complete([succeeded(held[0]!), failed(held[1]!, { retryable: false })]);
  const jobs = await submit(
    db,
    tenant,
    { after: [good.id] },
    { after: [bad.id, good.id], after_policy: "ended" },
    { after: [good.id, bad.id] },
    { after: ["#2"] },
    { after: [bad.id], run_at: "2030-01-01T00:00:00Z" },
  );
  assert.deepEqual(jobs.map(({ status }) => status), ["queued", "queued", "failed", "failed", "failed"]);
  assert.deepEqual([jobs[2].error.code, jobs[2].error.details], ["dependency_failed", { jobId: bad.id }]);
  assert.deepEqual(jobs[3].error.details, { jobId: jobs[2].id });
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a failure, a cancellation and the end of its time fail what comes after, onward; policy ended starts it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  for (const end of ["failed", "cancelled", "expired"]) {
    const [job, next, onward, anyway, both] = await submit(
      db,
      tenant,
      { timeout_seconds: 60 },
      { after: ["#0"] },
      { after: ["#1"], notify: true },
      { after: ["#0"], after_policy: "ended" },
      { after: ["#3", "#1"], after_policy: "ended" },
    );
    if (end === "failed") await worker.complete([failed((await worker.claim())[0]!, { retryable: false })]);
    if (end === "cancelled") await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
    if (end === "expired") {
      await db.advance(61);
      await tick(db);
      await worker.hello();
    }
    const [a, b, c, d] = await Promise.all([next, onward, anyway, both].map(({ id }) => getJob(db, tenant, id)));
    assert.deepEqual([a.error?.code, b.error?.code], ["dependency_failed", "dependency_failed"], end);
    assert.deepEqual([c.status, d.status, d.waiting_for], ["queued", "blocked", "dependencies"], end);
    await worker.complete([succeeded((await worker.claim())[0]!)]);
    assert.equal((await getJob(db, tenant, d.id)).status, "queued", end);
    await worker.complete([succeeded((await worker.claim())[0]!)]);
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a chain of 1000 jobs fails in one call, and one of 1000 after one job is let go in one call", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [head] = await submit(
    db,
    tenant,
    ...Array.from({ length: 1000 }, (_, n) => n === 0 ? {} : { after: [`#${n - 1}`] }),
  );
  const [root] = await submit(db, tenant, ...Array.from({ length: 1000 }, (_, n) => n === 0 ? {} : { after: ["#0"] }));
  const held = await worker.claim(2);
  assert.deepEqual(held.map(({ job_id }) => job_id), [head.id, root.id]);
  await worker.complete([failed(held[0]!, { retryable: false })]);
  await worker.complete([succeeded(held[1]!)]);
  const counts = await db.sql`
    select status, error ->> 'code' as code, count(*)::integer from muster.jobs group by 1, 2 order by 1, 2`;
  assert.deepEqual(counts.map((row) => Object.values(row)), [
    ["queued", null, 999],
    ["succeeded", null, 1],
    ["failed", "dependency_failed", 999],
    ["failed", "test", 1],
  ]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a delayed job that comes after others waits for both, whichever takes longer", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const run_at = "2026-01-01T00:01:00Z";
  const [, early, , late] = await submit(db, tenant, {}, { after: ["#0"], run_at }, {}, { after: ["#2"], run_at });
  await worker.complete([succeeded((await worker.claim())[0]!)]);
  assert.equal((await getJob(db, tenant, early.id)).status, "scheduled");
  await db.advance(61);
  await tick(db);
  assert.equal((await getJob(db, tenant, early.id)).status, "queued");
  const waiting = await getJob(db, tenant, late.id);
  assert.deepEqual([waiting.status, waiting.waiting_for], ["blocked", "dependencies"]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a request that is repeated answers the jobs it made, and a job after a known one comes after that", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const request = [{ idempotency_key: "a" }, { idempotency_key: "b", after: ["#0"] }];
  const first = await submit(db, tenant, ...request);
  const second = await submit(db, tenant, ...request, { after: ["#0", "#1"] });
  assert.deepEqual(second.slice(0, 2).map(({ id }) => id), first.map(({ id }) => id));
  assert.deepEqual(second[2].after, first.map(({ id }) => id).sort());
  for (const { id } of [first[0], first[1], second[2]]) {
    const [held] = await worker.claim();
    assert.equal(held!.job_id, id);
    await worker.complete([succeeded(held!)]);
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("of two jobs of a request with one idempotency key the first counts, also when the second comes after it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [first, second] = await submit(db, tenant, { idempotency_key: "a" }, { idempotency_key: "a", after: ["#0"] });
  assert.deepEqual([second.id, second.status], [first.id, "queued"]);
  const rows = await db.sql`select from muster.job_dependencies`;
  assert.equal(rows.length, 0);
});

Deno.test("a retry of a job that came after others comes after none", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [job, next] = await submit(db, tenant, {}, { after: ["#0"] });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  const retry = await db.call(service, "retry_job", { caller: tenant.caller, job_id: next.id });
  assert.deepEqual([retry.status, retry.after], ["queued", undefined]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("submit_jobs() refuses jobs that come after what is not there, another tenant's, or themselves", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const other = await createTenant(db);
  const [foreign] = await submit(db, other, {});
  await refused(submit(db, tenant, {}, { after: [foreign.id] }), "MU003");
  await refused(submit(db, tenant, { after: [crypto.randomUUID()] }), "MU003");
  for (const after of [["#0"], ["#1"], ["#-1"], ["1"], "#0", [1], Array(101).fill("#0"), [null], {}]) {
    await refused(submit(db, tenant, { after }), "MU004", JSON.stringify(after));
  }
  await refused(submit(db, tenant, {}, { after: ["#0"], after_policy: "maybe" }), "MU004");
  await refused(submit(db, tenant, {}, ...Array(101).fill({ after: Array(100).fill("#0") })), "MU015");
  const [{ count }] = await db.sql`select count(*)::integer from muster.jobs` as unknown as [{ count: number }];
  assert.equal(count, 1);
});
