import assert from "node:assert/strict";
import {
  type Assignment,
  createTenant,
  createWorker,
  getJob,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import { Connections, overlap, type Step } from "../support/connections.ts";
import { service, TestDatabase } from "../support/database.ts";

/** A worker that listens and whose only slot is about to become free. */
type Freeing = {
  readonly name: string;
  readonly isTick?: boolean;
  /** Arranges the worker; the step frees its slot, and `after` is what it would do next anyway. */
  readonly arrange: (world: World) => Promise<{ worker: TestWorker; step: Step; before?: Act; after?: Act }>;
};

/** A job that only this worker can serve is about to be put into the queue. */
type Queueing = {
  readonly name: string;
  readonly isTick?: boolean;
  readonly arrange: (world: World) => Promise<{ step: Step; find: () => Promise<string>; before?: Act }>;
};

type Act = () => Promise<unknown>;
type World = { db: TestDatabase; tenant: TestTenant };

const capability = "gpu/one";
const requires = [capability];

async function busyWorker({ db, tenant }: World, job: Record<string, unknown> = {}): Promise<[TestWorker, Assignment]> {
  const worker = await createWorker(db, tenant, { capabilities: [capability], listening: true });
  await submit(db, tenant, { requires, priority: 100, ...job });
  const [held] = await worker.claim();
  return [worker, held!];
}

/** Runs a job of a class that only it serves, so that what it does concerns the freeing worker by the queue alone. */
async function otherWorker(
  { db, tenant }: World,
  ...jobs: Record<string, unknown>[]
): Promise<[TestWorker, Assignment[]]> {
  const worker = await createWorker(db, tenant, {
    capabilities: ["other", capability],
    slots: Math.max(jobs.length, 1),
  });
  await submit(db, tenant, ...jobs.map((job) => ({ requires: ["other"], ...job })));
  return [worker, jobs.length === 0 ? [] : await worker.claim(jobs.length)];
}

const freeings: Freeing[] = [
  {
    name: "complete_jobs() that wants the next",
    arrange: async (world) => {
      const [worker, held] = await busyWorker(world);
      return { worker, step: (tx) => tx.call(worker.actor, "complete_jobs", { results: [succeeded(held)], want: 1 }) };
    },
  },
  {
    name: "claim_jobs() of a worker that polls",
    arrange: async ({ db, tenant }) => {
      const worker = await createWorker(db, tenant, { capabilities: [capability] });
      const claim: Step = (tx) => tx.call(worker.actor, "claim_jobs", { want: 1 });
      return { worker, step: claim, after: () => worker.claim() };
    },
  },
  {
    name: "the heartbeat that echoes the nonce",
    arrange: async ({ db, tenant }) => {
      const worker = await createWorker(db, tenant, { capabilities: [capability], online: false });
      const { wake_nonce } = await worker.hello({ capabilities: [capability], listening: true });
      return {
        worker,
        step: (tx) => tx.call(worker.actor, "heartbeat", { running: [], want: 1, wake_nonce, listening: true }),
      };
    },
  },
  {
    name: "the heartbeat that ends the worker's own drain",
    arrange: async ({ db, tenant }) => {
      const worker = await createWorker(db, tenant, { capabilities: [capability], listening: true });
      await worker.heartbeat({ draining: true });
      return { worker, step: (tx) => tx.call(worker.actor, "heartbeat", { running: [], want: 1 }) };
    },
  },
  {
    name: "cancel_jobs() of the job it runs",
    arrange: async (world) => {
      const [worker, held] = await busyWorker(world);
      const args = { caller: world.tenant.caller, job_ids: [held.job_id] };
      return { worker, step: (tx) => tx.call(service, "cancel_jobs", args) };
    },
  },
  {
    name: "resume_worker()",
    arrange: async ({ db, tenant }) => {
      const worker = await createWorker(db, tenant, { capabilities: [capability], listening: true });
      const args = { caller: tenant.caller, worker_id: worker.id };
      await db.call(service, "drain_worker", args);
      return { worker, step: (tx) => tx.call(service, "resume_worker", args) };
    },
  },
  {
    name: "a tick that ends its attempt",
    isTick: true,
    arrange: async (world) => {
      const [worker] = await busyWorker(world, { attempt_timeout_seconds: 1, max_attempts: 1 });
      return { worker, before: () => world.db.advance(2), step: (tx) => tx.call(service, "tick") };
    },
  },
];

const queueings: Queueing[] = [
  {
    name: "submit_jobs()",
    arrange: async ({ db, tenant }) => {
      await submit(db, tenant, { requires, run_at: "2027-01-01T00:00:00Z" });
      return submitting(tenant, { requires });
    },
  },
  {
    name: "submit_jobs() of a class never seen before",
    arrange: ({ tenant }) => Promise.resolve(submitting(tenant, { requires, labels: {} })),
  },
  {
    name: "retry_job()",
    arrange: async ({ db, tenant }) => {
      const [old] = await submit(db, tenant, { requires, run_at: "2027-01-01T00:00:00Z" });
      await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [old.id] });
      let id = "";
      return {
        step: async (tx) => ({ id } = await tx.call(service, "retry_job", { caller: tenant.caller, job_id: old.id })),
        find: () => Promise.resolve(id),
      };
    },
  },
  {
    name: "complete_jobs() that lets a blocked job in",
    arrange: async (world) => {
      const [other, [held]] = await otherWorker(world, { concurrency_key: "k" });
      const [blocked] = await submit(world.db, world.tenant, { requires, concurrency_key: "k" });
      await world.db.sql`delete from muster.worker_classes where worker_id = ${other.id}`;
      return {
        step: (tx) => tx.call(other.actor, "complete_jobs", { results: [succeeded(held!)] }),
        find: () => Promise.resolve(blocked.id),
      };
    },
  },
  {
    name: "cancel_jobs() that lets a blocked job in",
    arrange: async (world) => {
      const [first] = await submit(world.db, world.tenant, { requires: ["nobody"], concurrency_key: "k" });
      const [blocked] = await submit(world.db, world.tenant, { requires, concurrency_key: "k" });
      const args = { caller: world.tenant.caller, job_ids: [first.id] };
      return { step: (tx) => tx.call(service, "cancel_jobs", args), find: () => Promise.resolve(blocked.id) };
    },
  },
  {
    name: "goodbye() of another worker",
    arrange: async (world) => {
      const [other, , job] = await handingBack(world);
      return { step: (tx) => tx.call(other.actor, "goodbye", {}), find: () => Promise.resolve(job) };
    },
  },
  {
    name: "hello() of another worker without its job",
    arrange: async (world) => {
      const [other, , job] = await handingBack(world);
      const worker = { capabilities: ["other"] };
      return { step: (tx) => tx.call(other.actor, "hello", { worker, running: [] }), find: () => Promise.resolve(job) };
    },
  },
  {
    name: "revoke_worker() of another worker",
    arrange: async (world) => {
      const [other, , job] = await handingBack(world);
      const caller = { kind: "service", tenant_id: world.tenant.id };
      return {
        step: (tx) => tx.call(service, "revoke_worker", { caller, worker_id: other.id }),
        find: () => Promise.resolve(job),
      };
    },
  },
  {
    name: "a tick that finds a job due",
    isTick: true,
    arrange: async ({ db, tenant }) => {
      const at = new Date((await db.now()).getTime() + 1000).toISOString();
      const [job] = await submit(db, tenant, { requires, run_at: at });
      return {
        before: () => db.advance(2),
        step: (tx) => tx.call(service, "tick"),
        find: () => Promise.resolve(job.id),
      };
    },
  },
];

function submitting(tenant: TestTenant, job: Record<string, unknown>) {
  let id = "";
  const args = { caller: tenant.caller, jobs: [{ type: "test", ...job }] };
  const step: Step = async (tx) => {
    const answer = await tx.call(service, "submit_jobs", args);
    id = answer.jobs[0].job.id;
  };
  return { step, find: () => Promise.resolve(id) };
}

/** Another worker that runs a job of the freeing worker's class. */
async function handingBack({ db, tenant }: World): Promise<[TestWorker, Assignment, string]> {
  const other = await createWorker(db, tenant, { capabilities: [capability] });
  const [job] = await submit(db, tenant, { requires, priority: 100 });
  const [held] = await other.claim();
  return [other, held!, job.id];
}

for (const freeing of freeings) {
  Deno.test(`${freeing.name} and a job being queued do not miss each other`, async (t) => {
    await using db = await TestDatabase.create();
    await using connections = new Connections(db, 3);
    for (const queueing of queueings.filter((queueing) => !(queueing.isTick && freeing.isTick))) {
      for (const order of ["first", "second"] as const) {
        const title = order === "first"
          ? `${queueing.name} has not yet committed`
          : `while ${queueing.name} comes second`;
        await t.step(title, async () => {
          const world = { db, tenant: await createTenant(db) };
          await db.call(service, "tick");
          const queued = await queueing.arrange(world);
          const freed = await freeing.arrange(world);
          await queued.before?.();
          await freed.before?.();
          const steps: [Step, Step] = order === "first" ? [queued.step, freed.step] : [freed.step, queued.step];
          await overlap(db, connections, ...steps);
          await freed.after?.();
          const [job] = await db.sql`select status, worker_id from muster.jobs where id = ${await queued.find()}`;
          assert.equal(job!.worker_id, freed.worker.id, `the job is ${job!.status} and the worker idle`);
        });
      }
    }
  });
}

Deno.test("a job that is let go by the end of another is pushed to an idle worker in the same call, through a batch as well", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const busy = await createWorker(db, tenant);
  const idle = await createWorker(db, tenant, { capabilities: ["idle"], listening: true });
  const [, next] = await submit(db, tenant, { requires: ["compute/basic"] }, {
    after: ["#0"],
    requires: ["idle"],
  });
  await busy.complete([succeeded((await busy.claim())[0]!)]);
  assert.equal((await getJob(db, tenant, next.id)).worker_id, idle.id);
  const [assigned] = (await idle.heartbeat()).jobs;
  await idle.complete([succeeded(assigned)]);
  const { batch } = await db.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: [{ type: "test", requires: ["compute/basic"] }],
    batch: {},
  });
  const [last] = await submit(db, tenant, { after: [batch.id], requires: ["idle"] });
  await busy.complete([succeeded((await busy.claim())[0]!)]);
  assert.equal((await getJob(db, tenant, last.id)).worker_id, idle.id);
});
