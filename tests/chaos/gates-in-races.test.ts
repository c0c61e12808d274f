import assert from "node:assert/strict";
import {
  createTenant,
  createWorker,
  failed,
  getJob,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { Connections, overlap, startStep, type Step } from "../support/connections.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const submission = (tenant: TestTenant, ...jobs: Args[]): Step => (tx) =>
  tx.call(service, "submit_jobs", { caller: tenant.caller, jobs: jobs.map((job) => ({ type: "test", ...job })) });

const completion = (worker: TestWorker, ...results: Args[]): Step => (tx) =>
  tx.call(worker.actor, "complete_jobs", { results });

const cancellation = (tenant: TestTenant, ...job_ids: string[]): Step => (tx) =>
  tx.call(service, "cancel_jobs", { caller: tenant.caller, job_ids });

async function twoWorkers(db: TestDatabase, tenant: TestTenant): Promise<[TestWorker, TestWorker]> {
  return [await createWorker(db, tenant), await createWorker(db, tenant)];
}

Deno.test("two jobs that end at once let go what comes after both, at the next look", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const [one, two] = await twoWorkers(db, tenant);
  for (const look of ["a worker's", "the tick's"]) {
    const [, , last, doomed] = await submit(db, tenant, {}, {}, { after: ["#0", "#1"] }, { after: ["#1", "#0"] });
    const [a] = await one.claim();
    const [b] = await two.claim();
    await overlap(db, connections, completion(one, succeeded(a!)), completion(two, succeeded(b!)));
    if (look === "the tick's") await tick(db);
    const jobs = [...await one.claim(), ...await two.claim()];
    assert.deepEqual(new Set(jobs.map(({ job_id }) => job_id)), new Set([last.id, doomed.id]), look);
    await one.complete([succeeded(jobs[0]!)]);
    await two.complete([succeeded(jobs[1]!)]);
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a success and a failure at once fail what comes after both", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const [one, two] = await twoWorkers(db, tenant);
  for (const order of ["the success first", "the failure first"]) {
    const [, , last, onward] = await submit(db, tenant, {}, {}, { after: ["#0", "#1"] }, { after: ["#2"] });
    const [a] = await one.claim();
    const [b] = await two.claim();
    const steps = [completion(one, succeeded(a!)), completion(two, failed(b!, { retryable: false }))] as const;
    if (order === "the success first") await overlap(db, connections, steps[0], steps[1]);
    else await overlap(db, connections, steps[1], steps[0]);
    await tick(db);
    for (const { id } of [last, onward]) {
      assert.equal((await getJob(db, tenant, id)).error?.code, "dependency_failed", order);
    }
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a job that is submitted after another while that one ends waits for it or sees its end", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  for (const order of ["the end first", "the submission first"]) {
    const [job] = await submit(db, tenant, { idempotency_key: order });
    const [held] = await worker.claim();
    // By its id, and by its place as a known job of the request.
    const next = submission(tenant, { after: [job.id] }, { idempotency_key: order }, { after: ["#1"] });
    const end = completion(worker, succeeded(held!));
    const [first, second] = order === "the end first"
      ? await overlap(db, connections, end, next)
      : await overlap(db, connections, next, end);
    const { jobs } = order === "the end first" ? second : first;
    for (const index of [0, 2]) {
      assert.equal((await getJob(db, tenant, jobs[index].job.id)).status, "queued", order);
      await worker.complete([succeeded((await worker.claim())[0]!)]);
    }
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a job that comes after one whose key another submission is just making comes after that one", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [first, second] = await overlap(
    db,
    connections,
    submission(tenant, { idempotency_key: "a" }),
    submission(tenant, { idempotency_key: "a" }, { after: ["#0"] }),
  );
  assert.equal(second.jobs[0].job.id, first.jobs[0].job.id);
  assert.deepEqual(second.jobs[1].job.after, [first.jobs[0].job.id]);
  const { jobs: [next] } = await worker.complete([succeeded((await worker.claim())[0]!)], 1);
  assert.equal(next.job_id, second.jobs[1].job.id);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("to cancel a job and what comes after it does not deadlock with its end", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  for (const order of ["the end first", "the cancellation first"]) {
    // Among several some have an id below that of the job they come after, some one above.
    const [job, ...next] = await submit(db, tenant, {}, ...Array(6).fill({ after: ["#0"] }));
    const [held] = await worker.claim();
    const cancel = cancellation(tenant, job.id, ...next.map(({ id }) => id));
    const end = completion(worker, succeeded(held!));
    if (order === "the end first") await overlap(db, connections, end, cancel);
    else await overlap(db, connections, cancel, end);
    await tick(db);
    for (const { id } of next) assert.equal((await getJob(db, tenant, id)).status, "cancelled", order);
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("ends that let go jobs of each other's concurrency keys do not deadlock", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  const [one, two] = await twoWorkers(db, tenant);
  await submit(
    db,
    tenant,
    { concurrency_key: "a" },
    { concurrency_key: "b" },
    { concurrency_key: "b", after: ["#0"] },
    { concurrency_key: "a", after: ["#1"] },
  );
  const [a] = await one.claim();
  const [b] = await two.claim();
  const gate = await connections.transaction();
  await gate.call(service, "set_concurrency_key", { caller: tenant.caller, key: "a", max_running: 1 });
  const ends = [
    await startStep(db, connections, completion(one, succeeded(a!))),
    await startStep(db, connections, completion(two, succeeded(b!))),
  ];
  assert.deepEqual(ends.map((end) => end.isDone()), [false, false]);
  await gate.commit();
  await Promise.all(ends.map((end) => end.committed));
  const jobs = [...await one.claim(), ...await two.claim()];
  assert.equal(jobs.length, 2);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("the last two jobs of a batch that end at once end it, at the next look", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const [one, two] = await twoWorkers(db, tenant);
  for (const look of ["a worker's", "the tick's"]) {
    const { batch } = await db.call(service, "submit_jobs", {
      caller: tenant.caller,
      jobs: [{ type: "test" }, { type: "test" }],
      batch: {},
    });
    const [a] = await one.claim();
    const [b] = await two.claim();
    await overlap(db, connections, completion(one, succeeded(a!)), completion(two, succeeded(b!)));
    assert.equal((await getJob(db, tenant, batch.id)).status, "blocked");
    if (look === "the tick's") await tick(db);
    else await one.claim();
    assert.equal((await getJob(db, tenant, batch.id)).status, "succeeded", look);
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a batch is closed, and jobs are added to it, while its last job ends", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  for (const what of ["close", "add"]) {
    for (const order of ["the end first", "the end second"]) {
      await t.step(`${what}, ${order}`, async () => {
        const tenant = await createTenant(db);
        const worker = await createWorker(db, tenant);
        const { batch } = await db.call(service, "submit_jobs", {
          caller: tenant.caller,
          jobs: [{ type: "test" }],
          batch: { open: true },
        });
        const end = completion(worker, succeeded((await worker.claim())[0]!));
        const other: Step = what === "close"
          ? (tx) => tx.call(service, "close_batch", { caller: tenant.caller, job_id: batch.id })
          : submission(tenant, { parent_id: batch.id });
        if (order === "the end first") await overlap(db, connections, end, other);
        else await overlap(db, connections, other, end);
        await tick(db);
        if (what === "add") {
          assert.equal((await getJob(db, tenant, batch.id)).batch.waiting, 1);
          await worker.complete([succeeded((await worker.claim())[0]!)]);
          await db.call(service, "close_batch", { caller: tenant.caller, job_id: batch.id });
        }
        assert.equal((await getJob(db, tenant, batch.id)).status, "succeeded");
        assert.deepEqual(await violations(db.sql), []);
      });
    }
  }
});

Deno.test("a batch is cancelled while jobs are added to it: they are cancelled with it, or refused", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  for (const order of ["the cancellation first", "the jobs first"]) {
    await t.step(order, async () => {
      const tenant = await createTenant(db);
      const { batch } = await db.call(service, "submit_jobs", {
        caller: tenant.caller,
        jobs: [],
        batch: { open: true },
      });
      const cancel = cancellation(tenant, batch.id);
      const add = submission(tenant, { parent_id: batch.id }, { parent_id: batch.id });
      if (order === "the cancellation first") {
        await assert.rejects(overlap(db, connections, cancel, add), { code: "MU008" });
      } else {
        const [{ jobs }] = await overlap(db, connections, add, cancel);
        await tick(db);
        for (const { job } of jobs) assert.equal((await getJob(db, tenant, job.id)).status, "cancelled");
      }
      assert.deepEqual(await violations(db.sql), []);
    });
  }
});

Deno.test("of two jobs at once that reject one is refused, and of two that replace one is left", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const job = (policy: string) => ({ concurrency_key: "one", concurrency_policy: policy });
  await t.step("reject", async () => {
    const tenant = await createTenant(db);
    const step = submission(tenant, job("reject"));
    await assert.rejects(overlap(db, connections, step, step), { code: "MU030" });
    assert.deepEqual(await violations(db.sql), []);
  });
  await t.step("replace", async () => {
    const tenant = await createTenant(db);
    await submit(db, tenant, job("wait"));
    const step = submission(tenant, job("replace"));
    const [first, second] = await overlap(db, connections, step, step);
    assert.equal((await getJob(db, tenant, first.jobs[0].job.id)).error.code, "replaced");
    assert.equal((await getJob(db, tenant, second.jobs[0].job.id)).status, "queued");
    assert.deepEqual(await violations(db.sql), []);
  });
});

Deno.test("a job is replaced while its worker claims it, ends it or is going: one of both counts", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const calls: Record<string, (worker: TestWorker, held: Answer) => Step> = {
    "claims it": (worker) => (tx) => tx.call(worker.actor, "claim_jobs", { want: 1 }),
    "ends it": (worker, held) => completion(worker, succeeded(held)),
    "hands it back": (worker) => (tx) => tx.call(worker.actor, "goodbye"),
    "fails it": (worker, held) => completion(worker, failed(held)),
  };
  for (const [what, call] of Object.entries(calls)) {
    for (const order of ["the worker first", "the replacement first"]) {
      await t.step(`${what}, ${order}`, async () => {
        const tenant = await createTenant(db);
        const worker = await createWorker(db, tenant, { listening: what !== "claims it" });
        const [old] = await submit(db, tenant, { concurrency_key: "one" });
        const [held] = what === "claims it" ? [] : (await worker.heartbeat()).jobs;
        const replacement = submission(tenant, { concurrency_key: "one", concurrency_policy: "replace" });
        const steps = [call(worker, held), replacement] as const;
        const answers = order === "the worker first"
          ? await overlap(db, connections, steps[0], steps[1])
          : (await overlap(db, connections, steps[1], steps[0])).reverse();
        const { status, error } = await getJob(db, tenant, old.id);
        const replaced = ["cancelled", "replaced"];
        // What waits for a later try is not in the way.
        const before: Record<string, unknown[]> = {
          "ends it": ["succeeded", undefined],
          "fails it": ["scheduled", "test"],
        };
        const expected = order === "the worker first" ? before[what] ?? replaced : replaced;
        assert.deepEqual([status, error?.code], expected);
        const id = answers[1].jobs[0].job.id;
        assert.ok(["queued", "assigned", "running"].includes((await getJob(db, tenant, id)).status));
        assert.deepEqual(await violations(db.sql), []);
      });
    }
  }
});

Deno.test("a submission that replaces does not deadlock with workers that end jobs of its key and wait for it", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  const [one, two] = await twoWorkers(db, tenant);
  const wide = { concurrency_key: "two", concurrency_limit: 2 };
  await submit(db, tenant, wide, wide);
  const [a] = await one.claim();
  const [b] = await two.claim();
  const gate = await connections.transaction();
  await gate.call(service, "set_concurrency_key", { caller: tenant.caller, key: "two", max_running: 2 });
  const replacement = { ...wide, concurrency_policy: "replace" };
  const end = await startStep(db, connections, completion(one, succeeded(a!)));
  const submitting = await startStep(db, connections, submission(tenant, replacement, replacement));
  assert.deepEqual([end.isDone(), submitting.isDone()], [false, false]);
  await gate.commit();
  await end.committed;
  const { jobs } = await submitting.committed;
  for (const { job } of jobs) assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  assert.deepEqual((await two.complete([succeeded(b!)])).outcomes[0].outcome, "stale");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a bucket gives each token once, to submissions and workers that come at once", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 8);
  const tenant = await createTenant(db);
  const workers: TestWorker[] = [];
  for (let n = 0; n < 4; n++) workers.push(await createWorker(db, tenant, { slots: 8 }));
  const job = { rate_limit: { key: "api", limit: 10, per_seconds: 10, burst: 5 } };
  let started = 0;
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all([
      ...Array.from(
        { length: 3 },
        () =>
          connections.call(service, "submit_jobs", {
            caller: tenant.caller,
            jobs: Array(4).fill({ type: "test", ...job }),
          }),
      ),
      ...workers.map(({ actor }) => connections.call(actor, "claim_jobs", { want: 8 })),
      connections.call(service, "tick"),
    ]);
    started += answers.flatMap(({ jobs }) => jobs ?? []).filter((item: Answer) => item.job_id !== undefined).length;
    assert.ok(started <= 5 + 2 * round, `${started} jobs have started in round ${round}`);
    await db.advance(2);
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("the tick waits for nobody: what comes after jobs in other hands is left to the next one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job, next] = await submit(db, tenant, { timeout_seconds: 5 }, { after: ["#0"] }, {
    rate_limit: { key: "api", limit: 1, per_seconds: 5 },
  }, { rate_limit: { key: "api", limit: 1, per_seconds: 5 } });
  await using other = await db.transaction();
  await other.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [next.id] });
  await other.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: [{ type: "test", rate_limit: { key: "api", limit: 1, per_seconds: 5 } }],
  });
  await db.advance(6);
  assert.equal((await tick(db)).ran, true);
  assert.equal((await getJob(db, tenant, job.id)).status, "failed");
  assert.equal((await getJob(db, tenant, next.id)).status, "blocked");
  await other.rollback();
  await tick(db);
  assert.equal((await getJob(db, tenant, next.id)).error.code, "dependency_failed");
  assert.equal((await worker.claim()).length, 1);
  assert.deepEqual(await violations(db.sql), []);
});
