import assert from "node:assert/strict";
import {
  createTenant,
  createWorker,
  failed,
  getJob,
  refused,
  sentMessages,
  submit,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

function submitBatch(db: TestDatabase, tenant: TestTenant, batch: Args, ...jobs: Args[]): Promise<Answer> {
  const items = jobs.map((job) => ({ type: "test", ...job }));
  return db.call(service, "submit_jobs", { caller: tenant.caller, jobs: items, batch });
}

const none = { open: false, jobs: 0, waiting: 0, held: 0, succeeded: 0, failed: 0, cancelled: 0 };

Deno.test("a batch ends with its last job: well if all did, with the counts", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const { batch, jobs } = await submitBatch(db, tenant, { name: "nightly", notify: true }, {}, {});
  assert.deepEqual([batch.type, batch.status, batch.waiting_for, batch.payload], [
    "muster.batch",
    "blocked",
    "children",
    { name: "nightly" },
  ]);
  assert.deepEqual(batch.batch, { ...none, jobs: 2, waiting: 2 });
  assert.deepEqual(jobs.map(({ job }: Answer) => job.parent_id), [batch.id, batch.id]);
  const held = await worker.claim(2);
  await worker.complete([succeeded(held[0]!)]);
  assert.deepEqual((await getJob(db, tenant, batch.id)).batch, { ...none, jobs: 2, held: 1, succeeded: 1 });
  await worker.complete([succeeded(held[1]!)]);
  const ended = await getJob(db, tenant, batch.id);
  assert.deepEqual([ended.status, ended.result, ended.error], [
    "succeeded",
    { succeeded: 2, failed: 0, cancelled: 0 },
    null,
  ]);
  const [message] = await sentMessages(db, `job:${batch.id}`);
  assert.deepEqual([message!.event, message!.data.status], ["task.result", "succeeded"]);
  const { jobs: children } = await db.call(service, "list_jobs", {
    caller: tenant.caller,
    filters: { parent_id: batch.id },
  });
  assert.deepEqual(children.length, 2);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a batch fails when a job of it did, and says how many", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  const { batch, jobs } = await submitBatch(db, tenant, {}, {}, {}, {}, { after: ["#1"] });
  const held = await worker.claim(3);
  await worker.complete([succeeded(held[0]!), failed(held[1]!, { retryable: false })]);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [jobs[2].job.id] });
  const { status, error, result } = await getJob(db, tenant, batch.id);
  assert.deepEqual([status, error.code, error.details, result], [
    "failed",
    "children_failed",
    { succeeded: 1, failed: 2, cancelled: 1 },
    null,
  ]);
  assert.match(error.message, /4 jobs 2 failed and 1/);
  await refused(db.call(service, "retry_job", { caller: tenant.caller, job_id: batch.id }), "MU008");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("an open batch takes jobs until it is closed, and ends then at the earliest", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const { batch } = await submitBatch(db, tenant, { open: true });
  assert.deepEqual([batch.status, batch.batch], ["blocked", { ...none, open: true }]);
  for (let n = 0; n < 2; n++) {
    await submit(db, tenant, { parent_id: batch.id });
    await worker.complete([succeeded((await worker.claim())[0]!)]);
    assert.equal((await getJob(db, tenant, batch.id)).status, "blocked");
  }
  const [last] = await submit(db, tenant, { parent_id: batch.id });
  const close = () => db.call(service, "close_batch", { caller: tenant.caller, job_id: batch.id });
  assert.deepEqual((await close()).batch, { ...none, jobs: 3, waiting: 1, succeeded: 2 });
  await refused(submit(db, tenant, { parent_id: batch.id }), "MU008");
  await worker.complete([succeeded((await worker.claim())[0]!)]);
  assert.equal((await getJob(db, tenant, batch.id)).status, "succeeded");
  assert.equal((await close()).status, "succeeded");
  await refused(submit(db, tenant, { parent_id: batch.id }), "MU008");
  await refused(db.call(service, "close_batch", { caller: tenant.caller, job_id: last.id }), "MU008");
  // One without a job ends as it is closed; one that is not open, at once.
  const { batch: empty } = await submitBatch(db, tenant, { open: true });
  const closed = await db.call(service, "close_batch", { caller: tenant.caller, job_id: empty.id });
  assert.deepEqual([closed.status, (await submitBatch(db, tenant, {})).batch.status], ["succeeded", "succeeded"]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("jobs come after a batch as after any other job, and in a batch", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const { batch } = await submitBatch(db, tenant, {}, {}, {});
  const second = await submitBatch(db, tenant, {}, { after: [batch.id] });
  const [end] = await submit(db, tenant, { after: [second.batch.id] });
  const seen: string[] = [];
  for (let [job] = await worker.claim(); job; [job] = (await worker.complete([succeeded(job)], 1)).jobs) {
    seen.push(job.job_id);
  }
  assert.equal(seen.length, 4);
  assert.deepEqual(seen.slice(2), [second.jobs[0].job.id, end.id]);
  // And a batch whose jobs all fail for it, one after the other, ends without anybody's doing.
  const third = await submitBatch(db, tenant, {}, {});
  const fourth = await submitBatch(db, tenant, {}, { after: [third.batch.id] });
  const [never] = await submit(db, tenant, { after: [fourth.batch.id] });
  await worker.complete([failed((await worker.claim())[0]!, { retryable: false })]);
  for (const id of [third.batch.id, fourth.batch.id]) {
    assert.equal((await getJob(db, tenant, id)).error.code, "children_failed");
  }
  assert.equal((await getJob(db, tenant, never.id)).error.code, "dependency_failed");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a batch fails when a job of it was cancelled, though none failed", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const { batch, jobs } = await submitBatch(db, tenant, {}, {}, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [jobs[1].job.id] });
  await worker.complete((await worker.claim(1)).map((job) => succeeded(job)));
  const { status, error } = await getJob(db, tenant, batch.id);
  assert.deepEqual([status, error?.code, error?.details], [
    "failed",
    "children_failed",
    { succeeded: 1, failed: 0, cancelled: 1 },
  ]);
});

Deno.test("to cancel a batch cancels its jobs, 1000 at a time: the rest with the next ticks", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const { batch } = await submitBatch(db, tenant, { open: true }, ...Array(1000).fill({}));
  for (let n = 0; n < 2; n++) await submit(db, tenant, ...Array(600).fill({ parent_id: batch.id }));
  const held = await worker.claim(2);
  const { jobs: [cancelled] } = await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [batch.id] });
  assert.deepEqual([cancelled.status, cancelled.error.code], ["cancelled", "cancelled"]);
  const left = async () => {
    const [row] = await db.sql`select count(*)::integer as count from muster.jobs where status <> 'cancelled'`;
    return row!.count;
  };
  assert.equal(await left(), 1200);
  await refused(submit(db, tenant, { parent_id: batch.id }), "MU008");
  await tick(db);
  assert.equal(await left(), 200);
  await tick(db);
  assert.equal(await left(), 0);
  assert.deepEqual(
    (await worker.complete(held.map((attempt) => succeeded(attempt)))).outcomes.map(({ outcome }: Answer) => outcome),
    ["stale", "stale"],
  );
  const [rest] = await db.sql`select count(*)::integer as count from muster_private.unsettled_jobs`;
  assert.equal(rest!.count, 0);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a batch with an idempotency key is made once, and so are its jobs", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const request = () => submitBatch(db, tenant, { idempotency_key: "run-7" }, {}, { idempotency_key: "mine" });
  const first = await request();
  const second = await request();
  assert.equal(second.batch.id, first.batch.id);
  assert.deepEqual(
    second.jobs.map(({ job, created }: Answer) => [job.id, created]),
    first.jobs.map(({ job }: Answer) => [job.id, false]),
  );
  assert.deepEqual(first.jobs.map(({ job }: Answer) => job.idempotency_key), ["run-7#0", "mine"]);
  // What the repetition brings on top does not fit: the batch is closed.
  await refused(submitBatch(db, tenant, { idempotency_key: "run-7" }, {}, {}, {}), "MU008");
  await refused(submitBatch(db, tenant, { idempotency_key: "mine" }), "MU008");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("submit_jobs() refuses batches that make no sense, and children of what is no batch of the tenant", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const other = await submitBatch(db, await createTenant(db), { open: true });
  const [job] = await submit(db, tenant, {});
  for (const parent_id of [job.id, other.batch.id, crypto.randomUUID()]) {
    await refused(submit(db, tenant, { parent_id }), "MU003");
  }
  await refused(submit(db, tenant, { parent_id: "x" }), "MU004");
  for (
    const batch of [[], "a", { name: "" }, { name: 1 }, { open: "maybe" }, { more: 1 }, {
      idempotency_key: "x".repeat(201),
    }]
  ) {
    await assert.rejects(submitBatch(db, tenant, batch as Args, {}), /./, JSON.stringify(batch));
  }
  await refused(submitBatch(db, tenant, {}, { parent_id: job.id }), "MU004");
  await refused(submitBatch(db, tenant, {}, ...Array(1001).fill({})), "MU015");
  const [row] = await db.sql`select count(*)::integer as count from muster.jobs where tenant_id = ${tenant.id}`;
  assert.equal(row!.count, 1);
});
