import assert from "node:assert/strict";
import fc from "fast-check";
import { createTenant, createWorker, failed, submit, succeeded, type TestWorker, tick } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

/** What jobs take. Tenths, as they do not come out even in binary: a sum that drifts would show. */
const vectors: Args[] = [
  {},
  { gpu: 0.1 },
  { gpu: 0.3, ram_gb: 0.7 },
  { gpu: 1 },
  { slots: 2 },
  { ram_gb: 2.1, slots: 3, gpu: 0.2 },
];
/** What workers have; the first has nothing to give but slots. */
const machines = [
  { slots: 3, resources: {} },
  { slots: 5, resources: { gpu: 1, ram_gb: 4 } },
  { slots: 4, resources: { gpu: 0.5, ram_gb: 2.1 } },
];

const worker = fc.nat(machines.length - 1);
const action = fc.oneof(
  fc.record({
    does: fc.constant("submit" as const),
    jobs: fc.array(fc.constantFrom(...vectors), { minLength: 1, maxLength: 6 }),
  }),
  fc.record({ does: fc.constant("claim" as const), worker, want: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ does: fc.constant("complete" as const), worker, count: fc.integer({ min: 1, max: 3 }), want: fc.nat(3) }),
  fc.record({ does: fc.constant("fail" as const), worker, count: fc.integer({ min: 1, max: 2 }) }),
  fc.record({ does: fc.constant("cancel" as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ does: fc.constant("lose" as const), seconds: fc.constantFrom(3, 20, 100) }),
  fc.record({ does: fc.constant("restart" as const), worker, machine: worker }),
  fc.record({ does: fc.constant("leave" as const), worker }),
  fc.record({ does: fc.constant("beat" as const), worker }),
);
type Action = typeof action extends fc.Arbitrary<infer Made> ? Made : never;
/** What is done at the same time, step by step. */
const plays = fc.array(fc.array(action, { minLength: 1, maxLength: 3 }), { minLength: 10, maxLength: 25 });

Deno.test("no order of claims, ends and losses makes a worker hold more than it has, and all of it is given back", async () => {
  const seed = Number(Deno.env.get("MUSTER_TEST_SEED") ?? 1);
  await using db = await TestDatabase.create();
  const met = { full: 0, refused: 0, most: 0 };
  await fc.assert(fc.asyncProperty(plays, (steps) => play(db, steps, met)), { numRuns: 20, seed, endOnFailure: true });
  // Workers were as full as they can be, and some could not be made smaller.
  assert.ok(met.full > 20 && met.refused > 0 && met.most >= 0.9, JSON.stringify(met));
});

async function play(db: TestDatabase, steps: Action[][], met: { full: number; refused: number; most: number }) {
  const tenant = await createTenant(db);
  const workers: TestWorker[] = [];
  for (const { slots, resources } of machines) {
    const each = await createWorker(db, tenant, { slots, online: false });
    const { wake_nonce } = await each.hello({ slots, resources, listening: true });
    await each.heartbeat({ listening: true, wake_nonce });
    workers.push(each);
  }

  const asked = new Map<string, Record<string, number>>();
  for (const [index, step] of steps.entries()) {
    await Promise.all(step.map(act));
    await check();
    // They look at all jobs of all plays, so not after each step.
    if (index % 5 === 4) assert.deepEqual(await violations(db.sql), []);
  }
  const open = await db.sql`select id from muster.jobs where tenant_id = ${tenant.id}`;
  for (let n = 0; n < open.length; n += 1000) {
    const job_ids = open.slice(n, n + 1000).map(({ id }) => id);
    await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids });
  }
  for (const shown of await check()) assert.deepEqual([shown.held_count, shown.held_resources], [0, {}]);
  assert.deepEqual(await violations(db.sql), []);

  async function act(action: Action): Promise<void> {
    switch (action.does) {
      case "submit":
        await submit(db, tenant, ...action.jobs.map((resources) => ({ resources, retry_base_seconds: 1 })));
        return;
      case "claim":
        await workers[action.worker]!.claim(action.want);
        return;
      case "complete":
        await workers[action.worker]!.complete(
          (await running(action.worker, action.count)).map((job) => succeeded(job)),
          action.want,
        );
        return;
      case "fail":
        await workers[action.worker]!.complete((await running(action.worker, action.count)).map((job) => failed(job)));
        return;
      case "cancel": {
        const rows = await db.sql`
          select id from muster.jobs where tenant_id = ${tenant.id} and status not in ('succeeded', 'failed', 'cancelled')
          order by id limit ${action.count}`;
        if (rows.length === 0) return;
        await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: rows.map(({ id }) => id) });
        return;
      }
      case "lose":
        await db.advance(action.seconds);
        await tick(db);
        return;
      case "restart": {
        const answer = await workers[action.worker]!.hello(
          { ...machines[action.machine], listening: true },
          await running(action.worker, 2),
        )
          .catch((error) => {
            assert.equal(error.code, "MU007", error.message);
            met.refused += 1;
          });
        if (answer) {
          await workers[action.worker]!.heartbeat({
            running: await running(action.worker, 256),
            listening: true,
            wake_nonce: answer.wake_nonce,
          });
        }
        return;
      }
      case "leave":
        await db.call(workers[action.worker]!.actor, "goodbye");
        return;
      case "beat":
        await workers[action.worker]!.heartbeat({
          running: await running(action.worker, 256),
          want: 2,
          listening: true,
        });
    }
  }

  async function running(index: number, count: number) {
    const rows = await db.sql`
      select id as job_id, attempts as attempt from muster.jobs
      where worker_id = ${workers[index]!.id} and status = 'running' order by id limit ${count}`;
    return [...rows] as unknown as { job_id: string; attempt: number }[];
  }

  /** What a job asks for does not change. */
  async function resourcesOf(id: string): Promise<Record<string, number>> {
    const known = asked.get(id) ?? (await db.call(service, "get_job", { caller: tenant.caller, job_id: id })).resources;
    asked.set(id, known);
    return known;
  }

  /** Sums up what the jobs that a worker shows ask for, and holds it against what the worker says and has. */
  async function check(): Promise<Answer[]> {
    const shown = (await db.call(service, "list_workers", { caller: tenant.caller })).workers;
    for (const each of shown) {
      const held: Record<string, number> = {};
      let slots = 0;
      for (const id of each.current_jobs) {
        for (const [name, amount] of Object.entries(await resourcesOf(id))) {
          if (name === "slots") slots += amount;
          else held[name] = Math.round(((held[name] ?? 0) + amount) * 10) / 10;
        }
      }
      assert.deepEqual([each.held_count, each.held_resources], [slots, held], each.name);
      assert.ok(slots <= each.slots, `${slots} of ${each.slots} slots`);
      for (const [name, amount] of Object.entries(held)) {
        assert.ok(amount <= each.resources[name], `${amount} of ${each.resources[name]} ${name}`);
        met.most = Math.max(met.most, amount / each.resources[name]);
        if (amount === each.resources[name]) met.full += 1;
      }
    }
    return shown;
  }
}
