import assert from "node:assert/strict";
import {
  type Assignment,
  createTenant,
  createWorker,
  failed,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";
import { Random } from "../support/random.ts";

const names = ["model", "session"];
const keys = ["k1", "k2", "k3"];

/** A worker, and what its process remembers. */
interface Machine {
  readonly worker: TestWorker;
  held: Assignment[];
  isDown: boolean;
}

/** Does one thing at random that workers, apps or operators do. */
async function step(db: TestDatabase, tenant: TestTenant, machines: readonly Machine[], random: Random): Promise<void> {
  const machine = random.pick(machines);
  const { worker } = machine;
  const operate = (name: string, args: Args = {}) =>
    db.call(service, name, { caller: tenant.caller, worker_id: worker.id, ...args });
  const what = random.weighted({
    submit: 30,
    claim: 40,
    end: 40,
    hold: 12,
    release: 6,
    goodbye: 5,
    die: 4,
    comeBack: 16,
    cordon: 4,
    uncordon: 8,
    drain: 2,
    resume: 6,
    rebind: 4,
    pass: 15,
  });
  if (machine.isDown && ["claim", "end", "hold", "release", "goodbye"].includes(what)) return;
  switch (what) {
    case "submit": {
      const wish = random.weighted({ hard: 4, soft: 3, needs: 3, wants: 2, both: 1, plain: 2 });
      const affinity = { key: random.pick(keys), keep_seconds: 604800 };
      const resource_ref = { name: random.pick(names) };
      await submit(db, tenant, {
        max_attempts: 20,
        retry_base_seconds: random.between(0, 2),
        ...(wish === "hard" ? { affinity: { ...affinity, mode: "hard" } } : {}),
        ...(wish === "soft" ? { affinity: { key: "s", wait_seconds: random.between(0, 20) } } : {}),
        ...(wish === "needs" || wish === "both" ? { resource_ref } : {}),
        ...(wish === "wants" ? { resource_ref: { ...resource_ref, mode: "soft" } } : {}),
        ...(wish === "both" ? { affinity: { key: "s" } } : {}),
        ...(random.chance(0.2) ? { concurrency_key: "one" } : {}),
      });
      return;
    }
    case "claim":
      machine.held.push(...await worker.claim(random.between(1, 2)));
      return;
    case "end": {
      const done = random.some(machine.held, 0.7);
      if (done.length === 0) return;
      await worker.complete(done.map((job) => random.chance(0.1) ? failed(job) : succeeded(job)));
      machine.held = machine.held.filter((job) => !done.includes(job));
      return;
    }
    case "hold":
      await db.call(worker.actor, "hold_resources", {
        resources: random.some(names, 0.7).map((name) => ({ name, lease_seconds: random.between(10, 40) })),
      });
      return;
    case "release":
      await db.call(worker.actor, "release_resources", { names: random.some(names, 0.7), reason: "evicted" });
      return;
    case "goodbye":
      await db.call(worker.actor, "goodbye");
      machine.held = [];
      machine.isDown = true;
      return;
    case "die":
      machine.held = [];
      machine.isDown = true;
      return;
    case "comeBack":
      if (!machine.isDown) return;
      await worker.hello({ slots: 2 });
      machine.isDown = false;
      return;
    case "cordon":
      return void await operate("cordon_worker");
    case "uncordon":
      return void await operate("uncordon_worker");
    case "drain":
      return void await operate("drain_worker");
    case "resume":
      return void await operate("resume_worker");
    case "rebind": {
      // Not jobs of a hard key: those an operator may move, and then they do move.
      const [job] = await db.sql`
        select id from muster.jobs where status not in ('succeeded', 'failed', 'cancelled')
          and policy -> 'affinity' ->> 'mode' is distinct from 'hard' order by position offset ${
        random.between(0, 3)
      } limit 1`;
      if (job === undefined) return;
      const worker_id = random.chance(0.4) ? null : worker.id;
      await db.call(service, "rebind_job", { caller: tenant.caller, job_id: job.id, worker_id });
      return;
    }
    case "pass":
      await db.advance(random.between(1, 8));
      for (const { worker, held, isDown } of machines) {
        if (!isDown) await worker.heartbeat({ running: held.map(({ job_id, attempt }) => ({ job_id, attempt })) });
      }
      await tick(db);
  }
}

/** With all workers there, and all resources, every job comes to its end. */
async function finish(db: TestDatabase, tenant: TestTenant, machines: readonly Machine[]): Promise<void> {
  for (const { worker } of machines) {
    for (const name of ["uncordon_worker", "resume_worker"]) {
      await db.call(service, name, { caller: tenant.caller, worker_id: worker.id });
    }
    await worker.hello({ slots: 2 });
    await db.call(worker.actor, "hold_resources", { resources: names.map((name) => ({ name })) });
  }
  for (let round = 0; round < 60; round++) {
    for (const { worker } of machines) {
      const jobs = await worker.claim(2);
      if (jobs.length > 0) await worker.complete(jobs.map((job) => succeeded(job)));
    }
    const [row] = await db.sql`
      select count(*)::int from muster.jobs where status not in ('succeeded', 'failed', 'cancelled')`;
    if (row!.count === 0) return;
    await db.advance(3);
    for (const { worker } of machines) await worker.heartbeat();
    await tick(db);
  }
  const left = await db.sql`
    select id, status, waiting_for, policy from muster.jobs where status not in ('succeeded', 'failed', 'cancelled')`;
  assert.fail(`Jobs never ended: ${JSON.stringify(left)}`);
}

for (const seed of [1, 2, 3]) {
  Deno.test(`no job is lost, and no hard key has two workers, whatever workers and operators do (seed ${seed})`, async () => {
    await using db = await TestDatabase.create();
    const tenant = await createTenant(db);
    const random = new Random(seed);
    const machines: Machine[] = [];
    for (let i = 0; i < 3; i++) {
      machines.push({ worker: await createWorker(db, tenant, { slots: 2 }), held: [], isDown: false });
    }
    for (let i = 1; i <= 250; i++) {
      await step(db, tenant, machines, random);
      if (i % 25 === 0) assert.deepEqual(await violations(db.sql), [], `after step ${i}`);
    }
    await finish(db, tenant, machines);
    assert.deepEqual(await violations(db.sql), []);
    // Every attempt that was ever begun: the events have them all.
    const torn = await db.sql`
      select j.policy -> 'affinity' ->> 'key' as key, count(distinct e.data ->> 'worker_id')::int as workers
      from muster.jobs j join muster.job_events e on e.job_id = j.id and e.data ->> 'status' = 'running'
      where j.policy -> 'affinity' ->> 'mode' = 'hard'
      group by 1 having count(distinct e.data ->> 'worker_id') > 1`;
    assert.deepEqual([...torn], []);
    const [counts] = await db.sql`
      select count(*)::int as jobs, count(*) filter (where policy -> 'affinity' ->> 'mode' = 'hard')::int as hard from muster.jobs`;
    assert.ok(counts!.jobs > 20 && counts!.hard > 3, "there was something to lose");
  });
}
