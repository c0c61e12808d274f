import assert from "node:assert/strict";
import {
  type Assignment,
  createTenant,
  createWorker,
  failed,
  submit,
  succeeded,
  type TestWorker,
} from "../support/actors.ts";
import { Connections, overlap, startStep } from "../support/connections.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const many = 16;

async function countOf(db: TestDatabase, where: string): Promise<number> {
  const [row] = await db.sql.unsafe(`select count(*)::integer as count from muster.jobs where ${where}`);
  return row!.count;
}

Deno.test("a worker that claims sixteen times at once gets no more than its slots", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, many);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, ...Array(20).fill({}));
  const calls = Array.from(
    { length: many },
    (_, n) =>
      n % 2 === 0
        ? connections.call(worker.actor, "claim_jobs", { want: 2 })
        : connections.call(worker.actor, "complete_jobs", { results: [], want: 256 }),
  );
  const jobs = (await Promise.all(calls)).flatMap((answer) => answer.jobs);
  assert.equal(jobs.length, 3);
  assert.equal(new Set(jobs.map((job: Assignment) => job.job_id)).size, 3);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("workers that claim at once never get the same job", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, many);
  const tenant = await createTenant(db);
  const workers: TestWorker[] = [];
  for (let n = 0; n < 4; n++) workers.push(await createWorker(db, tenant, { slots: 8 }));
  await submit(db, tenant, ...Array(30).fill({}));
  const calls = Array.from(
    { length: many },
    (_, n) => connections.call(workers[n % 4]!.actor, "claim_jobs", { want: 2 }),
  );
  const jobs = (await Promise.all(calls)).flatMap((answer) => answer.jobs);
  assert.equal(jobs.length, 30, "nobody went away empty while there was work");
  assert.equal(new Set(jobs.map((job: Assignment) => job.job_id)).size, 30);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a push and a claim at once fill the one slot once", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  for (const order of ["the push first", "the claim first"]) {
    await t.step(order, async () => {
      const tenant = await createTenant(db);
      const worker = await createWorker(db, tenant, { listening: true });
      const push = { caller: tenant.caller, jobs: [{ type: "test" }, { type: "test" }] };
      const steps = [
        (tx: { call: TestDatabase["call"] }) => tx.call(service, "submit_jobs", push),
        (tx: { call: TestDatabase["call"] }) => tx.call(worker.actor, "claim_jobs", { want: 2 }),
      ] as const;
      if (order === "the push first") await overlap(db, connections, steps[0], steps[1]);
      else await overlap(db, connections, steps[1], steps[0]);
      assert.equal(await countOf(db, `worker_id = '${worker.id}'`), 1);
      assert.deepEqual(await violations(db.sql), []);
    });
  }
});

Deno.test("a worker that declares fewer slots than it holds is refused, and keeps what it has", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, {}, {}, {}, {});
  const held = await worker.claim(3);
  await assert.rejects(worker.hello({ slots: 2 }, held), { code: "MU007" });
  assert.equal(await countOf(db, "status = 'running'"), 3);
  const [first, ...others] = held;
  await worker.complete([succeeded(first!)]);
  assert.equal((await worker.hello({ slots: 2 }, others)).slots, 2);
  assert.deepEqual(await worker.claim(2), []);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a worker that lowers its slots while it is pushed jobs holds no more than it declared", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  for (const order of ["the push first", "the hello first"]) {
    await t.step(order, async () => {
      const tenant = await createTenant(db);
      const worker = await createWorker(db, tenant, { listening: true, slots: 2 });
      const jobs = [{ type: "test" }, { type: "test" }];
      const push = (tx: { call: TestDatabase["call"] }) =>
        tx.call(service, "submit_jobs", { caller: tenant.caller, jobs });
      const lower = (tx: { call: TestDatabase["call"] }) =>
        tx.call(worker.actor, "hello", { worker: { slots: 1, listening: true }, running: [] });
      if (order === "the push first") await assert.rejects(overlap(db, connections, push, lower), { code: "MU007" });
      else await overlap(db, connections, lower, push);
      assert.deepEqual(await violations(db.sql), []);
    });
  }
});

Deno.test("a heartbeat that wants more than it has slots for gets what fits", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, ...Array(5).fill({}));
  const { jobs } = await worker.heartbeat({ want: 2_000_000 });
  assert.equal(jobs.length, 2);
  assert.equal((await worker.heartbeat({ running: jobs, want: -5 })).jobs.length, 0);
  assert.deepEqual(await violations(db.sql), []);
});

for (const limit of [1, 3]) {
  Deno.test(`a concurrency key of limit ${limit} holds while jobs come and go over many connections`, async () => {
    await using db = await TestDatabase.create();
    await using connections = new Connections(db, many);
    const tenant = await createTenant(db);
    const workers: TestWorker[] = [];
    for (let n = 0; n < 4; n++) workers.push(await createWorker(db, tenant, { slots: 4, listening: n % 2 === 0 }));
    const job = { type: "test", concurrency_key: "lane", concurrency_limit: limit, retry_base_seconds: 0 };
    let left = 60;
    let above = 0;
    let done = 0;
    const submitters = Array.from({ length: 4 }, async () => {
      while ((left -= 3) >= 0) {
        await connections.call(service, "submit_jobs", { caller: tenant.caller, jobs: Array(3).fill(job) });
      }
    });
    const running = workers.map(async (worker, index) => {
      let held: Assignment[] = [];
      while (done < 60) {
        const results = held.map((attempt, n) =>
          (index + n) % 3 === 0 && attempt.attempt === 1 ? failed(attempt) : succeeded(attempt)
        );
        const answer = await connections.call(worker.actor, "complete_jobs", { results, want: 4 });
        held = answer.jobs;
        above = Math.max(above, await countOf(db, "status in ('queued', 'assigned', 'running')") - limit);
        done = await countOf(db, "status = 'succeeded'");
        if (held.length === 0) await connections.call(service, "tick");
      }
    });
    await Promise.all([...submitters, ...running]);
    assert.equal(above, 0, "never more than the limit were let in");
    assert.equal(await countOf(db, "true"), 60);
    assert.deepEqual(await violations(db.sql), []);
  });
}

Deno.test("two submits and a completion of one key at once let in one job only", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const job = { type: "test", concurrency_key: "lane" };
  await submit(db, tenant, job);
  const [held] = await worker.claim();
  const first = await connections.transaction();
  await first.call(service, "submit_jobs", { caller: tenant.caller, jobs: [job] });
  const second = await startStep(
    db,
    connections,
    (tx) => tx.call(service, "submit_jobs", { caller: tenant.caller, jobs: [job] }),
  );
  const end = await startStep(
    db,
    connections,
    (tx) => tx.call(worker.actor, "complete_jobs", { results: [succeeded(held!)] }),
  );
  assert.deepEqual([second.isDone(), end.isDone()], [false, false]);
  await first.commit();
  await Promise.all([second.committed, end.committed]);
  assert.equal(await countOf(db, "status = 'queued'"), 1);
  assert.equal(await countOf(db, "status = 'blocked'"), 1);
  assert.deepEqual(await violations(db.sql), []);
});

const absences: Record<string, (db: TestDatabase, tenant: Answer, worker: Answer) => Promise<unknown>> = {
  draining: (db, tenant, worker) => db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id }),
  "draining by itself": (_, __, worker) => worker.heartbeat({ draining: true }),
  "gone offline": (db, _, worker) => db.call(worker.actor, "goodbye"),
  revoked: (db, tenant, worker) =>
    db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id }),
  lost: async (db) => {
    await db.advance(91);
    await db.call(service, "tick");
  },
};
for (const [state, leave] of Object.entries(absences)) {
  Deno.test(`a worker that is ${state} gets nothing new, neither pushed nor by asking`, async () => {
    await using db = await TestDatabase.create();
    const tenant = await createTenant(db);
    const worker = await createWorker(db, tenant, { listening: true, slots: 4 });
    await leave(db, tenant, worker);
    await submit(db, tenant, {}, {});
    await db.call(service, "tick");
    const draining = state === "draining by itself";
    for (
      const ask of [
        () => worker.claim(2),
        async () => (await worker.complete([], 2)).jobs,
        async () => (await worker.heartbeat({ want: 2, draining })).jobs,
      ]
    ) {
      const jobs = await ask().catch((error: { code: string }) => {
        assert.equal(error.code, "MU014");
        return [];
      });
      assert.deepEqual(jobs, []);
    }
    assert.equal(await countOf(db, "status = 'queued'"), 2);
    assert.deepEqual(await violations(db.sql), []);
  });
}

Deno.test("a submit beside a drain that is under way leaves the worker alone", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  await overlap(
    db,
    connections,
    (tx) => tx.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id }),
    (tx) => tx.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test" }] }),
  );
  assert.equal(await countOf(db, "status = 'queued'"), 1);
  assert.deepEqual(await worker.claim(), []);
});
