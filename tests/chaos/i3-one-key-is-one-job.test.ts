import assert from "node:assert/strict";
import { createTenant, createWorker, submit, succeeded, type TestTenant } from "../support/actors.ts";
import { Connections, overlap, startStep, type Step } from "../support/connections.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const callers = 20;

type Item = { job: Answer; created: boolean };

function submitting(tenant: TestTenant, ...jobs: Args[]): Args {
  return { caller: tenant.caller, jobs: jobs.map((job) => ({ type: "test", ...job })) };
}

async function submitAtOnce(connections: Connections, batches: Args[]): Promise<Item[][]> {
  const answers = await Promise.all(batches.map((args) => connections.call(service, "submit_jobs", args)));
  return answers.map((answer) => answer.jobs);
}

Deno.test("twenty callers with one key at once get one job, which one of them created", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, callers);
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { listening: true });
  const batches = Array.from(
    { length: callers },
    (_, n) => submitting(tenant, { idempotency_key: "once", payload: { n } }),
  );
  const items = (await submitAtOnce(connections, batches)).flat();
  assert.equal(new Set(items.map(({ job }) => job.id)).size, 1);
  assert.equal(items.filter(({ created }) => created).length, 1);
  const creator = items.findIndex(({ created }) => created);
  for (const { job } of items) assert.deepEqual(job.payload, { n: creator });
  assert.equal((await db.sql`select from muster.jobs`).length, 1);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("batches that share keys in crossed order neither deadlock nor create a job twice", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, callers);
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { listening: true, slots: 4 });
  const keys = Array.from({ length: 12 }, (_, n) => `key-${n}`);
  const batches = Array.from({ length: callers }, (_, n) => {
    const turned = [...keys.slice(n % 12), ...keys.slice(0, n % 12)];
    const ordered = n % 2 === 0 ? turned : turned.reverse();
    return submitting(
      tenant,
      ...ordered.map((key) => ({
        idempotency_key: key,
        payload: { key },
        requires: [`class-${n % 3}`],
        ...(n % 2 === 0 ? { concurrency_key: `lane-${key}` } : {}),
      })),
    );
  });
  const answers = await submitAtOnce(connections, batches);
  for (const key of keys) {
    const items = answers.flat().filter(({ job }) => job.idempotency_key === key);
    assert.equal(items.length, callers);
    assert.equal(new Set(items.map(({ job }) => job.id)).size, 1, key);
    assert.equal(items.filter(({ created }) => created).length, 1, key);
  }
  // Each answer keeps the order of its batch.
  for (const [n, items] of answers.entries()) {
    assert.deepEqual(
      items.map(({ job }) => job.idempotency_key),
      (batches[n]!.jobs as Args[]).map((job) => job.idempotency_key),
    );
  }
  assert.equal((await db.sql`select from muster.jobs`).length, keys.length);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("one key twice in a batch is one job, beside jobs without a key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = await submit(db, tenant, { idempotency_key: "k" }, {}, { idempotency_key: "k" }, {}, {
    idempotency_key: "l",
  });
  assert.equal(jobs.length, 5);
  assert.equal(jobs[0].id, jobs[2].id);
  assert.equal(new Set(jobs.map((job) => job.id)).size, 4);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("one key in two tenants is two jobs, also at once", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 10);
  const tenants = [await createTenant(db), await createTenant(db)];
  const batches = Array.from({ length: 10 }, (_, n) => submitting(tenants[n % 2]!, { idempotency_key: "once" }));
  const items = (await submitAtOnce(connections, batches)).flat();
  assert.equal(new Set(items.map(({ job }) => job.id)).size, 2);
  for (const [n, { job }] of items.entries()) assert.equal(job.tenant_id, tenants[n % 2]!.id);
});

Deno.test("a caller with a key that is being stored waits for it and gets that job", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const step: Step = (tx) => tx.call(service, "submit_jobs", submitting(tenant, { idempotency_key: "once" }));
  const [first, second] = await overlap(db, connections, step, step);
  assert.equal(first.jobs[0].job.id, second.jobs[0].job.id);
  assert.deepEqual([first.jobs[0].created, second.jobs[0].created], [true, false]);
});

Deno.test("a caller with a key that is being stored stores it itself when the other one gives up", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const args = submitting(tenant, { idempotency_key: "once", concurrency_key: "lane" });
  const first = await connections.transaction();
  await first.call(service, "submit_jobs", args);
  const second = await startStep(db, connections, (tx) => tx.call(service, "submit_jobs", args));
  assert.equal(second.isDone(), false, "it waits for the first");
  await first.rollback();
  const [item] = (await second.committed).jobs;
  assert.deepEqual([item.created, item.job.status], [true, "queued"]);
  assert.equal((await db.sql`select from muster.jobs`).length, 1);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a caller that repeats itself because the answer got lost gets its job, however far that has come", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const again = async () => {
    const { jobs: [item] } = await db.call(
      service,
      "submit_jobs",
      submitting(tenant, { idempotency_key: "once", payload: { other: true } }),
    );
    return item as Item;
  };
  const [job] = await submit(db, tenant, { idempotency_key: "once", payload: { first: true } });
  const statuses: string[] = [];
  const repeat = async () => {
    const { job: same, created } = await again();
    assert.deepEqual([same.id, created, same.payload], [job.id, false, { first: true }]);
    statuses.push(same.status);
  };
  await repeat();
  const [held] = await worker.claim();
  await repeat();
  await worker.complete([succeeded(held!, "done")]);
  await repeat();
  assert.deepEqual(statuses, ["queued", "running", "succeeded"]);
  assert.deepEqual(await worker.claim(), []);
});
