import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Assignment,
  createExecutor,
  createTenant,
  createWorker,
  submit,
  succeeded,
  type TestWorker,
} from "../support/actors.ts";
import { type Args, TestDatabase } from "../support/database.ts";

Deno.test("a flow alone is served first in, first out, whatever its batches and whoever else hands in", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant, { slots: 20 });
  const step = fc.record({ batch: fc.integer({ min: 1, max: 12 }), others: fc.nat(3), take: fc.nat(15) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      let [handedIn, next] = [0, 0];
      const take = async (want: number) => {
        const jobs = await claim(worker, want);
        for (const job of jobs) assert.equal(job.payload, next++);
      };
      for (const { batch, others, take: want } of steps) {
        if (others > 0) await submit(db, other, ...Array.from({ length: others }, () => ({})));
        await submit(db, tenant, ...Array.from({ length: batch }, () => ({ payload: handedIn++ })));
        if (want > 0) await take(want);
      }
      while (next < handedIn) await take(20);
    }),
    { numRuns: 12, seed: 1 },
  );
});

Deno.test("flows that have jobs waiting are served by their weights, within a turn of each", async () => {
  await using db = await TestDatabase.create();
  const step = fc.record({
    flow: fc.nat(4),
    count: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 100, max: 300 })),
    take: fc.integer({ min: 0, max: 40 }),
  });
  const property = fc.asyncProperty(
    fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 5 }),
    fc.array(step, { minLength: 2, maxLength: 14 }),
    async (weights, steps) => {
      const tenant = await createTenant(db);
      const worker = await createWorker(db, tenant, { slots: 40 });
      const waiting = weights.map(() => 0);
      // By pairs of flows: what each was given since both have had jobs waiting.
      const given = new Map<string, [number, number]>();
      const pairs = weights.flatMap((_, a) => weights.slice(a + 1).map((_, b) => [a, a + 1 + b] as const));
      const look = () => {
        for (const [a, b] of pairs) {
          const counts = given.get(`${a} ${b}`);
          if (waiting[a] === 0 || waiting[b] === 0) given.delete(`${a} ${b}`);
          else if (counts === undefined) given.set(`${a} ${b}`, [0, 0]);
          else {
            const apart = Math.abs(counts[0] / weights[a]! - counts[1] / weights[b]!);
            // The one that came later started one turn behind whoever was next.
            const most = 1 / weights[a]! + 1 / weights[b]! + 1;
            assert.ok(apart <= most + 1e-3, `flows of weight ${weights[a]} and ${weights[b]} got ${counts}`);
          }
        }
      };
      for (const { flow: any, count, take } of steps) {
        const flow = any % weights.length;
        const job = { payload: flow, fairness_key: `flow ${flow}`, fairness_weight: weights[flow] };
        await submit(db, tenant, ...Array.from({ length: count }, () => job));
        waiting[flow]! += count;
        look();
        for (const { payload } of take > 0 ? await claim(worker, take) : []) {
          waiting[payload as number]! -= 1;
          for (const [a, b] of pairs) {
            const counts = given.get(`${a} ${b}`);
            if (counts === undefined) continue;
            if (payload === a) counts[0] += 1;
            if (payload === b) counts[1] += 1;
          }
        }
        look();
      }
    },
  );
  await fc.assert(property, { numRuns: 15, seed: 7 });
});

Deno.test("a flood delays others by a turn, whatever its size: by key, by app, and across classes and priorities", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 4 });
  const flood = async (job: Args = {}) => {
    for (let batch = 0; batch < 3; batch += 1) {
      await submit(db, tenant, ...Array.from({ length: 1000 }, () => ({ payload: "flood", ...job })));
    }
  };
  await flood({ fairness_key: "flood" });
  await submit(db, tenant, { payload: "key", fairness_key: "b" });
  const app = await createExecutor(db, tenant, "another app");
  await submit(db, app, { payload: "app" });
  await submit(db, app, { payload: "class", requires: ["compute/basic"], fairness_key: "c" });
  assert.deepEqual(payloadsOf(await claim(worker, 4), await claim(worker, 4)), ["app", "class", "key"]);
  // And those that come while the flood is being worked off.
  for (let round = 0; round < 3; round += 1) {
    await claim(worker, 4);
    await submit(db, app, { payload: `later ${round}` });
    assert.deepEqual(payloadsOf(await claim(worker, 3)), [`later ${round}`]);
  }
});

Deno.test("flows of different classes that the same workers serve take turns, and one flow's classes stay in order", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 1 });
  const of = (payload: string, count: number, job: Args = {}) =>
    Array.from({ length: count }, () => ({ payload, ...job }));
  await submit(db, tenant, ...of("a1", 6, { fairness_key: "a" }));
  await submit(db, tenant, ...of("a2", 6, { fairness_key: "a", requires: ["compute/basic"] }));
  await submit(db, tenant, ...of("b", 12, { fairness_key: "b", labels: {}, requires: ["compute/basic"] }));
  const order: unknown[] = [];
  for (let n = 0; n < 24; n += 1) order.push((await claim(worker, 1))[0]!.payload);
  assert.deepEqual(order.filter((payload) => payload !== "b"), [...Array(6).fill("a1"), ...Array(6).fill("a2")]);
  for (let n = 1; n <= 24; n += 1) {
    const ofB = order.slice(0, n).filter((payload) => payload === "b").length;
    assert.ok(Math.abs(ofB - n / 2) <= 1.5, `after ${n}: ${order.slice(0, n)}`);
  }
});

Deno.test("a batch over many classes gives its flow no more turns than others", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const capabilities = Array.from({ length: 8 }, (_, n) => `kind/${n}`);
  const worker = await createWorker(db, tenant, { slots: 4, capabilities });
  const wide = capabilities.map((name) => ({ payload: "wide", fairness_key: "wide", requires: [name] }));
  await submit(db, tenant, ...Array.from({ length: 40 }, () => ({ payload: "plain", fairness_key: "plain" })));
  for (let n = 0; n < 3; n += 1) await submit(db, tenant, ...wide);
  const taken: Assignment[] = [];
  for (let n = 0; n < 40; n += 1) taken.push(...await claim(worker, 1));
  const plain = taken.filter(({ payload }) => payload === "plain").length;
  assert.ok(plain >= 14 && plain <= 26, `${plain} of 40`);
});

Deno.test("jobs that were scheduled or blocked take turns as a flow of their own: neither first nor behind the flood", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 10 });
  const later = new Date((await db.now()).getTime() + 5_000).toISOString();
  await submit(db, tenant, ...Array.from({ length: 50 }, () => ({ payload: "late", run_at: later })));
  await submit(db, tenant, ...Array.from({ length: 50 }, () => ({ payload: "flood" })));
  await submit(db, tenant, { payload: "held", concurrency_key: "k" }, { payload: "next", concurrency_key: "k" });
  await db.advance(6);
  await db.call({ role: "service_role" }, "tick");
  const taken = await claim(worker, 10);
  const late = taken.filter(({ payload }) => payload === "late").length;
  assert.ok(late >= 4 && late <= 6, `${late} of 10`);
});

Deno.test("a job that comes back from a worker goes on where it was, and gives nobody else an advantage", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 1 });
  await submit(db, tenant, { payload: "first" }, ...Array.from({ length: 30 }, () => ({ payload: "flood" })));
  const [first] = await worker.claim();
  assert.equal(first!.payload, "first");
  const second = await createWorker(db, tenant, { slots: 20 });
  await claim(second, 20);
  await db.call(worker.actor, "goodbye");
  // Its own rank is long past: who comes now is measured by those that wait, not by it.
  await submit(db, tenant, ...Array.from({ length: 10 }, () => ({ payload: "new", fairness_key: "new" })));
  const [again, ...others] = await claim(second, 9);
  assert.equal(again!.payload, "first");
  const ofNew = others.filter(({ payload }) => payload === "new").length;
  assert.ok(ofNew === 3 || ofNew === 4, `${ofNew} of 8`);
});

/** Claims and ends jobs. */
async function claim(worker: TestWorker, want: number): Promise<Assignment[]> {
  const jobs = await worker.claim(want);
  if (jobs.length > 0) await worker.complete(jobs.map((job) => succeeded(job)));
  return jobs;
}

function payloadsOf(...claims: Assignment[][]): unknown[] {
  return claims.flat().map(({ payload }) => payload).filter((payload) => payload !== "flood").sort();
}
