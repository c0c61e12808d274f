import assert from "node:assert/strict";
import fc from "fast-check";
import { createTenant, createWorker, failed, getJob, submit, succeeded, tick } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const rate_limit = { key: "api", limit: 2, per_seconds: 60 };

async function countOf(db: TestDatabase, where: string): Promise<number> {
  const [row] = await db.sql.unsafe(`select count(*)::integer as count from muster.jobs where ${where}`);
  return row!.count;
}

Deno.test("jobs wait for tokens of their rate limit and are let in, in their order, by the tick", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = await submit(db, tenant, ...Array(4).fill({ rate_limit }), { rate_limit, priority: 1 }, {});
  assert.deepEqual(jobs.map(({ status }) => status), ["queued", "blocked", "blocked", "blocked", "queued", "queued"]);
  assert.deepEqual([jobs[1].waiting_for, jobs[1].rate_limit], ["rate", rate_limit]);
  const list = await db.call(service, "list_rate_limits", { caller: tenant.caller });
  assert.deepEqual(list, {
    rate_limits: [{
      key: "api",
      limit: 2,
      per_seconds: 60,
      burst: 2,
      tokens: 0,
      waiting: 3,
      next_at: "2026-01-01T00:00:30.000000Z",
    }],
    next_cursor: null,
  });
  const worker = await createWorker(db, tenant, { slots: 9, listening: true });
  const held = await worker.claim(9);
  assert.equal(held.length, 3);
  await worker.complete(held.map((attempt) => succeeded(attempt)));
  await worker.heartbeat();
  await db.advance(29.9);
  await tick(db);
  assert.equal(await countOf(db, "status = 'blocked'"), 3);
  await db.advance(0.1);
  await tick(db);
  assert.equal((await getJob(db, tenant, jobs[1].id)).status, "assigned");
  assert.equal(await countOf(db, "status = 'blocked'"), 2);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a worker that finds nothing to do lets in what there are tokens for by now, between ticks", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, ...Array(4).fill({ rate_limit: { key: "api", limit: 1, per_seconds: 1 } }));
  const [first] = await worker.claim(2);
  assert.deepEqual(await worker.claim(2), []);
  await db.advance(1);
  const { jobs: [second] } = await worker.heartbeat({ running: [first], want: 1 });
  await db.advance(1);
  const { jobs: [third] } = await worker.complete([succeeded(first!), succeeded(second)], 1);
  await db.advance(1);
  assert.deepEqual(new Set([third, ...await worker.claim(1)].map(({ job_id }) => job_id)).size, 2);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a job takes as many units as it says, and a large one is not overtaken by small ones", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 9 });
  const limited = (units: number) => ({ rate_limit: { key: "api", limit: 10, per_seconds: 10, units } });
  const jobs = await submit(db, tenant, limited(6), limited(10), limited(1));
  assert.deepEqual(jobs.map(({ status }) => status), ["queued", "blocked", "blocked"]);
  await worker.claim(9);
  await db.advance(5);
  assert.deepEqual(await worker.claim(9), []);
  await db.advance(1);
  assert.deepEqual((await worker.claim(9)).map(({ job_id }) => job_id), [jobs[1].id]);
  await db.advance(1);
  assert.deepEqual((await worker.claim(9)).map(({ job_id }) => job_id), [jobs[2].id]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("however long nobody took jobs up, no more than the burst start at once; a retry takes its units again", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const job = { rate_limit: { ...rate_limit, burst: 3 }, retry_base_seconds: 0 };
  await submit(db, tenant, ...Array(20).fill(job));
  for (let n = 0; n < 20; n++) {
    await db.advance(30);
    await tick(db);
  }
  assert.equal(await countOf(db, "status = 'queued'"), 3);
  const worker = await createWorker(db, tenant, { slots: 20 });
  const held = await worker.claim(20);
  assert.equal(held.length, 3);
  await worker.complete([failed(held[0]!), failed(held[1]!)]);
  assert.deepEqual(await worker.claim(20), []);
  await db.advance(30);
  const [again] = await worker.claim(20);
  assert.deepEqual([again!.job_id, again!.attempt], [held[0]!.job_id, 2]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a job that is cancelled before it starts gives its units to the next", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [first, second, third] = await submit(
    db,
    tenant,
    ...Array(3).fill({ rate_limit: { ...rate_limit, limit: 1 } }),
  );
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.id] });
  await db.advance(1);
  // Whoever comes to the bucket next sees it.
  await submit(db, tenant, { rate_limit: { ...rate_limit, limit: 1 } });
  const statuses = await Promise.all([second, third].map(async ({ id }) => (await getJob(db, tenant, id)).status));
  assert.deepEqual(statuses, ["queued", "blocked"]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("the newest job decides about the limit of its key, and what exceeds a smaller burst takes a full bucket", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 9 });
  const large = { key: "api", limit: 10, per_seconds: 10, units: 10 };
  const [, waiting] = await submit(db, tenant, { rate_limit: large }, { rate_limit: large });
  await worker.claim(9);
  await submit(db, tenant, { rate_limit: { key: "api", limit: 2, per_seconds: 20 } });
  await db.advance(19.9);
  assert.deepEqual(await worker.claim(9), []);
  await db.advance(0.1);
  assert.deepEqual((await worker.claim(9)).map(({ job_id }) => job_id), [waiting.id]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a job passes its concurrency key first, and keeps its place with it while it waits for tokens", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 9 });
  const job = { rate_limit: { ...rate_limit, limit: 1 }, concurrency_key: "one" };
  const jobs = await submit(db, tenant, job, job, job);
  assert.deepEqual(jobs.map(({ waiting_for }) => waiting_for), [null, "concurrency", "concurrency"]);
  const [held] = await worker.claim(9);
  await worker.complete([succeeded(held!)]);
  assert.equal((await getJob(db, tenant, jobs[1].id)).waiting_for, "rate");
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [jobs[1].id] });
  assert.equal((await getJob(db, tenant, jobs[2].id)).waiting_for, "rate");
  await db.advance(60);
  assert.deepEqual((await worker.claim(9)).map(({ job_id }) => job_id), [jobs[2].id]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("submit_jobs() refuses rate limits that make no sense", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const wrong: unknown[] = [1, [], {}, "api", { key: "a", limit: 1 }, { ...rate_limit, key: "" }, {
    ...rate_limit,
    key: 1,
  }];
  for (
    const [name, values] of Object.entries({
      limit: [0, 1.5, 1e7, "1", null],
      per_seconds: [0, -1, 86401],
      burst: [0, 1e9],
    })
  ) {
    wrong.push(...values.map((value) => ({ ...rate_limit, [name]: value })));
  }
  wrong.push({ ...rate_limit, units: 3 }, { ...rate_limit, units: 0 }, { ...rate_limit, burst: 1, units: 2 }, {
    ...rate_limit,
    more: 1,
  });
  for (const value of wrong) {
    await assert.rejects(submit(db, tenant, { rate_limit: value }), { code: "MU004" }, JSON.stringify(value));
  }
  assert.equal(await countOf(db, "true"), 0);
});

Deno.test("in any stretch of time no more units start than burst + rate * time, whatever happens in it", async () => {
  await using db = await TestDatabase.create();
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("submit" as const),
        units: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 6 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("claim" as const), want: fc.integer({ min: 1, max: 4 }) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("end" as const),
        how: fc.constantFrom("succeeded", "failed", "cancel"),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("cancel" as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("tick" as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant("wait" as const), seconds: fc.constantFrom(0.1, 0.5, 1, 3, 7) }),
    },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 3, max: 6 }),
      fc.array(step, { minLength: 5, maxLength: 40 }),
      async (limit, per_seconds, burst, steps) => {
        const tenant = await createTenant(db);
        const worker = await createWorker(db, tenant, { slots: 8 });
        const starts: { at: number; units: number }[] = [];
        const unitsOf = new Map<string, number>();
        let held: Answer[] = [];
        const take = async (jobs: Answer[]) => {
          const at = (await db.now()).getTime() / 1000;
          for (const job of jobs) starts.push({ at, units: unitsOf.get(job.job_id)! });
          held.push(...jobs);
        };
        for (const { kind, ...step } of steps as Answer[]) {
          if (kind === "submit") {
            const jobs = step.units.map((units: number) => ({
              rate_limit: { key: "api", limit, per_seconds, burst, units },
              retry_base_seconds: 0,
              max_attempts: 20,
            }));
            for (const [n, { id }] of (await submit(db, tenant, ...jobs)).entries()) unitsOf.set(id, step.units[n]);
          } else if (kind === "claim") await take(await worker.claim(step.want));
          else if (kind === "end" && held.length > 0) {
            const attempt = held.shift();
            if (step.how === "cancel") {
              await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [attempt.job_id] });
            } else {
              const results = [step.how === "failed" ? failed(attempt) : succeeded(attempt)];
              await take((await worker.complete(results, 1)).jobs);
            }
          } else if (kind === "cancel") {
            const [row] = await db.sql`
              select id from muster.jobs where tenant_id = ${tenant.id} and status in ('queued', 'blocked') limit 1`;
            if (row) await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [row.id] });
          } else if (kind === "restart") {
            held = [];
            await worker.hello({ slots: 8 });
          } else if (kind === "wait") {
            await db.advance(step.seconds);
            await db.call(worker.actor, "heartbeat", { running: held });
          } else await tick(db);
        }
        for (const [first, { at: from }] of starts.entries()) {
          let units = 0;
          for (const start of starts.slice(first)) {
            units += start.units;
            const most = burst + limit / per_seconds * (start.at - from);
            assert.ok(units <= most + 1e-3, `${units} units in ${start.at - from} s are more than ${most}`);
          }
        }
        assert.deepEqual(await violations(db.sql), []);
      },
    ),
    { numRuns: 25 },
  );
});
