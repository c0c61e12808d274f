import assert from "node:assert/strict";
import fc from "fast-check";
import type postgres from "postgres";
import { createTenant, createWorker, succeeded, type TestTenant, type TestWorker, tick } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

// Explain and the matcher are held against each other over random fleets and random jobs: what it says of each worker
// against that worker's own claim, what it says of the job against the assignment, and a dry run against the job.

const fleetSize = 4;
const rounds = 16;
const jobsARound = 14;

const anyWorker = fc.record({
  capabilities: fc.subarray(["python", "gpu"]),
  allowed: fc.option(fc.subarray(["python", "gpu"]), { freq: 2 }),
  measured: fc.subarray(["python"]),
  labels: fc.record({
    site: fc.constantFrom("lab", "home"),
    cuda: fc.constantFrom("12.2.0", "11.8.0", "old"),
    ram: fc.constantFrom("16", "64"),
  }, { requiredKeys: [] }),
  slots: fc.integer({ min: 1, max: 3 }),
  resources: fc.record({ gpu: fc.constantFrom(0.5, 1, 1, 2) }),
  state: fc.constantFrom(...Array(8).fill("online"), "offline", "draining", "cordoned", "revoked"),
  // The rest is served by polling.
  hearing: fc.constantFrom("listening", "listening", "polling", "deaf"),
  holds: fc.subarray(["model", "session"]),
});
type AnyWorker = typeof anyWorker extends fc.Arbitrary<infer Worker> ? Worker : never;

const expression = fc.oneof(
  fc.record({
    label: fc.constant("site"),
    operator: fc.constantFrom("=", "!="),
    value: fc.constantFrom("lab", "home"),
  }),
  fc.record({ label: fc.constant("ram"), operator: fc.constantFrom("<", ">="), value: fc.constant(32) }),
  fc.record({ label: fc.constant("cuda"), operator: fc.constantFrom("exists", "absent") }),
  fc.record({ label: fc.constant("cuda"), operator: fc.constant("semver"), value: fc.constant("^12") }),
);
const seldom = <T>(value: fc.Arbitrary<T>, weight = 3) =>
  fc.oneof({ weight, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const anyJob = fc.record({
  type: fc.constantFrom("test", "other"),
  requires: fc.subarray(["python", "gpu", "gpu@granted", "python@measured"], { maxLength: 1 }),
  labels: fc.record({ site: fc.constantFrom("lab", "home") }, { requiredKeys: [] }).map((l) => ({ ...l })),
  where: fc.array(expression, { maxLength: 1 }),
  prefer: fc.array(fc.tuple(expression, fc.integer({ min: 1, max: 9 })).map(([e, weight]) => ({ ...e, weight })), {
    maxLength: 2,
  }),
  resources: fc.record({ gpu: fc.constantFrom(0.5, 1, 1, 4), slots: fc.constantFrom(1, 1, 1, 2) }, {
    requiredKeys: [],
  }),
  priority: fc.constantFrom(0, 0, 5),
  fairness_key: fc.constantFrom("a", "b"),
  later: fc.constantFrom(0, 0, 0, 0, 3),
  concurrency: seldom(
    fc.record({
      concurrency_key: fc.constantFrom("k1", "k1", "k2"),
      concurrency_limit: fc.constantFrom(1, 1, 2),
      concurrency_policy: fc.constantFrom("wait", "wait", "wait", "wait", "reject", "replace"),
    }),
    1,
  ),
  rate: seldom(
    fc.record({
      key: fc.constantFrom("r1", "r2"),
      limit: fc.constantFrom(2, 3),
      per_seconds: fc.constant(10),
      units: fc.constantFrom(1, 2),
    }),
    2,
  ),
  after: seldom(fc.record({ nth: fc.nat(), after_policy: fc.constantFrom("succeeded", "ended") })),
  affinity: seldom(fc.record({
    key: fc.constantFrom("s1", "s2"),
    mode: fc.constantFrom("soft", "hard"),
    wait_seconds: fc.constantFrom(0, 30),
  })),
  resource_ref: seldom(fc.record({
    name: fc.constantFrom("model", "session", "none"),
    mode: fc.constantFrom("soft", "hard"),
  })),
  then: fc.constantFrom("keep", "keep", "forget"),
});
type AnyJob = typeof anyJob extends fc.Arbitrary<infer Job> ? Job : never;

Deno.test("explain, the claim of every worker, the assignment and the dry run never disagree", async () => {
  await using db = await TestDatabase.create();
  const plans = fc.sample(
    fc.record({
      fleet: fc.array(anyWorker, { minLength: fleetSize, maxLength: fleetSize }),
      jobs: fc.array(anyJob, { minLength: jobsARound, maxLength: jobsARound }),
    }),
    { numRuns: rounds, seed: 7 },
  );
  const met = new Map<string, number>();
  const count = (what: string) => met.set(what, (met.get(what) ?? 0) + 1);
  for (const { fleet, jobs } of plans) {
    const tenant = await createTenant(db);
    const workers: TestWorker[] = [];
    for (const worker of fleet) workers.push(await become(db, tenant, worker));
    const known: string[] = [];
    for (const [index, job] of jobs.entries()) {
      const item = await itemOf(db, job, known);
      await agree(db, tenant, workers, item, count);
      if (job.then === "keep") await keep(db, tenant, workers, item, known, index);
      await db.advance(index % 3);
      await tick(db);
    }
    assert.deepEqual((await db.sql`select muster_private.check_places() as problem`).map((row) => row.problem), []);
  }
  // Each of these has happened, or the test says less than it seems to.
  for (
    const what of [
      ...["queued", "scheduled", "blocked", "refused", "taken", "not taken", "pushed", "not pushed"],
      ...["gate dependencies", "gate concurrency", "gate rate", "gate affinity", "failed status", "failed cordon"],
      ...["failed capability", "failed label", "failed expression", "failed resource", "failed affinity"],
      ...["failed free_slots", "failed free_resource"],
    ]
  ) assert.ok((met.get(what) ?? 0) >= 3, `${what}: ${met.get(what) ?? 0}, of ${JSON.stringify([...met])}`);
});

/** Asks all of them about one job in a transaction that is undone. */
async function agree(
  db: TestDatabase,
  tenant: TestTenant,
  workers: readonly TestWorker[],
  item: Args,
  count: (what: string) => void,
): Promise<void> {
  const undo = new Error("Undo");
  const what = JSON.stringify(item);
  await db.sql.begin(async (transaction) => {
    const tx = transaction as unknown as postgres.Sql;
    const ask = (name: string, args: Args) => db.callIn(tx, service, name, { caller: tenant.caller, ...args });
    const attempt = (work: () => Promise<Answer>) =>
      transaction.savepoint(() => work()).then((answer: Answer) => ({ answer, code: null }), (error) => ({
        answer: undefined,
        code: error.code as string,
      }));
    const dry = await attempt(() => ask("explain_submission", { job: item }));
    const stored = await attempt(async () => {
      const [row] = await tx`
        select (s.job_ids)[1] as id from muster_private.store_jobs(
          ${tenant.id}, ${tenant.executorId}, ${[item] as never}::jsonb, null, muster_private.now()) s`;
      return row!.id;
    });
    assert.equal(dry.code, stored.code, what);
    if (dry.code !== null) {
      count("refused");
      throw undo;
    }
    const id: string = stored.answer;
    const told = await ask("explain_job", { job_id: id });
    if (told.status === "failed") {
      assert.ok(dry.answer.gates.some((gate: Answer) => gate.will_fail), what);
      throw undo;
    }
    // A job that replaces others frees what they had.
    if (item.concurrency_policy === "replace") assert.equal(dry.answer.status, told.status, what);
    else assert.deepEqual(comparable(dry.answer), comparable(told), what);

    count(told.status);
    for (const gate of told.gates) if (gate.state === "waits") count(`gate ${gate.gate}`);
    for (const { failed } of told.workers) if (failed !== null) count(`failed ${failed.predicate}`);
    assert.equal(told.workers.length, workers.length);

    const verdicts = new Map<string, string>(told.workers.map((worker: Answer) => [worker.id, worker.verdict]));
    // With nobody before it: whose turn it is, is another question than who can take it.
    const alone = () => tx`delete from muster_private.ready_jobs where tenant_id = ${tenant.id} and job_id <> ${id}`;
    for (const worker of workers) {
      let taken = false;
      await transaction.savepoint(async () => {
        await alone();
        const { jobs } = await db.callIn(tx, worker.actor, "claim_jobs", { want: 256 }).catch((error) => {
          assert.equal(error.code, "MU014");
          return { jobs: [] };
        });
        taken = jobs.some((job: Answer) => job.job_id === id);
        throw undo;
      }).catch((error) => {
        if (error !== undo && error.code !== "25P02") throw error;
      });
      const expected = told.status === "queued" && verdicts.get(worker.id) === "free";
      assert.equal(taken, expected, `${what}: ${JSON.stringify(told.workers.find((w: Answer) => w.id === worker.id))}`);
      count(taken ? "taken" : "not taken");
    }

    await alone();
    await tx`select muster_private.assign_jobs(${tenant.id}, muster_private.now())`;
    const [assigned] = await tx`select status, worker_id from muster.jobs where id = ${id}`;
    const next = told.status !== "queued" ? undefined : told.workers.find(
      (worker: Answer) => worker.verdict === "free" && worker.pushed,
    );
    assert.equal(assigned!.worker_id, next?.id ?? null, `${what}: ${JSON.stringify(told.workers)}`);
    count(next === undefined ? "not pushed" : "pushed");
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
}

/**
 * An explanation without what differs between a job and the same job before it was stored. Who names a concurrency key
 * may raise its limit, and then others come to the queue with it.
 */
function comparable({ job_id: _id, gates, queue, estimate, summary, ...rest }: Answer): Answer {
  const isAlone = !gates.some(({ gate }: Answer) => gate === "concurrency");
  const { queued_at: _at, ...place } = queue;
  return {
    ...rest,
    ...(isAlone ? { queue: place, estimate, summary } : {}),
    gates: gates.map(({ admitted: _admitted, tokens: _tokens, held_by: _holders, ahead, ...gate }: Answer) => ({
      ...gate,
      ...(isAlone ? { ahead } : {}),
    })),
  };
}

/** Submits the job for good, and lets workers take and end some of what there is, so that rounds go on from there. */
async function keep(
  db: TestDatabase,
  tenant: TestTenant,
  workers: readonly TestWorker[],
  item: Args,
  known: string[],
  index: number,
): Promise<void> {
  await db.call(service, "submit_jobs", { caller: tenant.caller, jobs: [item] })
    .then(({ jobs: [submitted] }) => known.push(submitted.job.id), (error) => {
      // A key that has no room, or a policy that does not go with a later start.
      assert.match(error.code, /^MU0(30|04)$/);
    });
  const worker = workers[index % workers.length]!;
  const jobs = await worker.claim(2).catch((error) => {
    assert.equal(error.code, "MU014");
    return [];
  });
  if (index % 4 === 0 && jobs[0] !== undefined) await worker.complete([succeeded(jobs[0])]);
}

async function itemOf(db: TestDatabase, job: AnyJob, known: readonly string[]): Promise<Args> {
  const { later, concurrency, rate, after, then: _, ...plain } = job;
  const former = after === undefined ? undefined : known[after.nth % Math.max(known.length, 1)];
  const item = {
    ...plain,
    ...(concurrency ?? {}),
    ...(rate === undefined ? {} : { rate_limit: rate }),
    ...(former === undefined ? {} : { after: [former], after_policy: after!.after_policy }),
    ...(later === 0 ? {} : { run_at: new Date((await db.now()).getTime() + later * 1000).toISOString() }),
  };
  return JSON.parse(JSON.stringify(item));
}

async function become(db: TestDatabase, tenant: TestTenant, plan: AnyWorker): Promise<TestWorker> {
  const { capabilities, labels, slots, resources, allowed, measured, state, hearing, holds } = plan;
  const worker = await createWorker(db, tenant, { online: false });
  await db.sql`
    update muster.worker_devices set allowed_capabilities = ${allowed}, measured_capabilities = ${measured}
    where id = ${worker.id}`;
  const listening = hearing !== "polling";
  const greeting = await worker.hello({ capabilities, labels, slots, resources, listening });
  await worker.heartbeat({ listening, ...(listening ? { wake_nonce: greeting.wake_nonce } : {}) });
  if (hearing === "deaf") await db.sql`update muster.worker_devices set deaf = true where id = ${worker.id}`;
  if (holds.length > 0) {
    await db.call(worker.actor, "hold_resources", { resources: holds.map((name) => ({ name, lease_seconds: 3600 })) });
  }
  const caller = { kind: "service", tenant_id: tenant.id };
  if (state === "offline") await db.call(worker.actor, "goodbye");
  else if (state === "draining") {
    // It has something to finish, or it would have gone at once.
    await db.sql`update muster.worker_devices set status = 'draining', drain_requested_at = muster_private.now()
      where id = ${worker.id}`;
  } else if (state === "cordoned") await db.call(service, "cordon_worker", { caller, worker_id: worker.id });
  else if (state === "revoked") await db.call(service, "revoke_worker", { caller, worker_id: worker.id });
  return worker;
}
