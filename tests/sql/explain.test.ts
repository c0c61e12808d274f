import assert from "node:assert/strict";
import {
  createTenant,
  createWorker,
  failed,
  refused,
  refusedAsInvalid,
  submit,
  succeeded,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

function explain(db: TestDatabase, tenant: TestTenant, job: Answer): Promise<Answer> {
  return db.call(service, "explain_job", { caller: tenant.caller, job_id: job.id });
}

function foresee(db: TestDatabase, tenant: TestTenant, job: Args): Promise<Answer> {
  return db.call(service, "explain_submission", { caller: tenant.caller, job: { type: "test", ...job } });
}

const gateOf = (told: Answer, name: string) => told.gates.find((gate: Answer) => gate.gate === name);

Deno.test("explain_job() names the first thing that each worker lacks, with both values, and what would win which worker", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const plain = { capabilities: ["python"], labels: { site: "lab" } };
  const old = await createWorker(db, tenant, plain);
  const home = await createWorker(db, tenant, { capabilities: ["python", "gpu"], labels: { site: "home", ram: "16" } });
  const away = await createWorker(db, tenant, {
    capabilities: ["python", "gpu"],
    labels: { site: "lab" },
    online: false,
  });
  const cordoned = await createWorker(db, tenant, { capabilities: ["python", "gpu"], labels: { site: "lab" } });
  await db.call(service, "cordon_worker", { caller: tenant.caller, worker_id: cordoned.id });
  const [job] = await submit(db, tenant, { requires: ["python", "gpu"], labels: { site: "lab" } });
  const told = await explain(db, tenant, job);
  const failures = new Map<string, Answer>(
    told.workers.map(({ id, failed, verdict }: Answer) => [id, { verdict, ...failed }]),
  );
  const unfit = { verdict: "unfit" };
  assert.deepEqual(failures.get(old.id), { ...unfit, predicate: "capability", name: "gpu", wanted: "gpu", has: null });
  assert.deepEqual(failures.get(home.id), { ...unfit, predicate: "label", name: "site", wanted: "lab", has: "home" });
  assert.deepEqual(failures.get(away.id), {
    ...unfit,
    predicate: "status",
    name: "status",
    wanted: "online",
    has: "offline",
  });
  assert.deepEqual(failures.get(cordoned.id).predicate, "cordon");
  assert.deepEqual(
    told.relaxations.map(({ cost, changes, example }: Answer) => [
      ...[cost, changes.map((c: Answer) => c.change).join(), example.worker_id],
    ]),
    [
      [2, "uncordon_worker", cordoned.id],
      [5, "start_worker", away.id],
      [20, "drop_label", home.id],
      [50, "drop_capability", old.id],
    ],
  );
  assert.deepEqual(told.counts, {
    total: 4,
    examined: 4,
    fitting: told.counts.fitting,
    free: 0,
    free_pushed: 0,
    busy: 0,
  });
  assert.match(told.summary, /^The job waits for a worker: none of 4 can take it now/);
});

Deno.test("explain_job() says who has what a busy worker lacks, and how far a resource would have to be lowered", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 4 });
  await worker.hello({ capabilities: ["compute/basic"], slots: 4, resources: { gpu: 2 } });
  await submit(db, tenant, { resources: { gpu: 1.5 } });
  const [held] = await worker.claim();
  const [small, large] = [{ resources: { gpu: 1 } }, { resources: { gpu: 3 } }];
  const [job] = await submit(db, tenant, small);
  const [verdict] = (await explain(db, tenant, job)).workers;
  assert.deepEqual([verdict.verdict, verdict.held_by], ["busy", [held!.job_id]]);
  assert.deepEqual(verdict.failed, { predicate: "free_resource", name: "gpu", wanted: 1, has: 0.5 });
  const told = await foresee(db, tenant, large);
  assert.deepEqual(told.workers[0].failed, { predicate: "resource", name: "gpu", wanted: 3, has: 2 });
  assert.deepEqual(told.relaxations[0].changes, [{ change: "lower_resource", name: "gpu", wanted: "3", to: 2 }]);
});

Deno.test("explain_job() says at which gate a job waits, what is ahead of it, and who has its concurrency key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  const key = { concurrency_key: "printer" };
  const [first, second, third] = await submit(db, tenant, key, key, key);
  await worker.claim(3);
  const told = await explain(db, tenant, third);
  const gate = gateOf(told, "concurrency");
  assert.deepEqual([gate.state, gate.limit, gate.paused, gate.ahead], ["waits", 1, false, 1]);
  assert.deepEqual(gate.held_by.map((h: Answer) => [h.job_id, h.status, h.worker_id]), [[
    first.id,
    "running",
    worker.id,
  ]]);
  assert.match(told.summary, new RegExp(`limit of 1 is taken by job ${first.id} on worker .*; 1 job before it`));
  await db.call(service, "set_concurrency_key", { caller: tenant.caller, key: "printer", max_running: 0 });
  const paused = await explain(db, tenant, second);
  assert.deepEqual([gateOf(paused, "concurrency").paused, paused.estimate.reason], [true, "paused"]);
  assert.match(paused.summary, /paused/);

  const [after] = await submit(db, tenant, { ...key, after: [third.id], run_at: "2026-01-01T00:01:00Z" });
  const later = await explain(db, tenant, after);
  assert.deepEqual(later.gates.map((g: Answer) => [g.gate, g.state, g.would_wait]), [
    ["time", "waits", undefined],
    ["dependencies", "ahead", true],
    ["concurrency", "ahead", true],
  ]);
  assert.deepEqual(gateOf(later, "dependencies").jobs, [{ job_id: third.id, type: "test", status: "blocked" }]);

  const rate = { rate_limit: { key: "api", limit: 1, per_seconds: 60 } };
  const [, waiting] = await submit(db, tenant, rate, rate);
  const limited = gateOf(await explain(db, tenant, waiting), "rate");
  assert.deepEqual([limited.state, limited.until], ["waits", "2026-01-01T00:01:00.000000Z"]);

  const [missing] = await submit(db, tenant, { resource_ref: { name: "model" } });
  const held = await explain(db, tenant, missing);
  assert.deepEqual([gateOf(held, "affinity").state, held.workers[0].failed.predicate], ["waits", "affinity"]);
  assert.match(held.summary, /that holds model/);
});

Deno.test("explain_job() tells of jobs that run, have ended, or wait to be tried again", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { retry_base_seconds: 30, retry_jitter: 0 });
  const [held] = await worker.claim();
  const running = await explain(db, tenant, job);
  assert.match(running.summary, /^The job runs on worker worker-/);
  assert.deepEqual([running.workers, running.gates, running.queue, running.estimate], [[], [], null, null]);
  await worker.complete([failed(held!)]);
  const retried = gateOf(await explain(db, tenant, job), "time");
  assert.deepEqual([retried.reason, retried.last_error.code], ["retry", "test"]);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  assert.equal((await explain(db, tenant, job)).summary, "The job was cancelled");
});

Deno.test("explain_job() reckons the start from the jobs before and how long such jobs took", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const unknown = await foresee(db, tenant, {});
  assert.deepEqual(
    [unknown.estimate.reason, unknown.estimate.basis.samples],
    [null, 0],
    "a free worker needs no samples",
  );
  for (const _ of [1, 2, 3]) {
    await submit(db, tenant, {});
    const [held] = await worker.claim();
    await db.advance(8);
    await worker.complete([succeeded(held!)]);
  }
  await submit(db, tenant, {}, {});
  await worker.claim(2);
  const queued = await submit(db, tenant, {}, {}, {});
  const { estimate, queue } = await explain(db, tenant, queued[2]!);
  assert.equal(queue.ahead, 2);
  // Two before it and none free: the third time that a slot is free, which two of them are every 8 s.
  assert.deepEqual([estimate.basis.mean_seconds, estimate.basis.turns, estimate.basis.samples], [8, 1.5, 3]);
  assert.equal(estimate.expected_at, "2026-01-01T00:00:36.750000Z");
  assert.deepEqual((await foresee(db, tenant, { requires: ["none"] })).estimate.reason, "no_worker");
});

Deno.test("explain_submission() stores nothing, and refuses what a submission refuses", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { listening: true });
  const [known] = await submit(db, tenant, { idempotency_key: "one", concurrency_key: "k" });
  const tables = [
    "muster.jobs",
    "muster.job_classes",
    "muster.stored_events",
    "muster.affinities",
    "muster.rate_limits",
  ];
  const count = async () =>
    await Promise.all(
      tables.map(async (table) => (await db.sql.unsafe(`select count(*)::integer as n from ${table}`))[0]!.n),
    );
  const before = await count();
  const told = await foresee(db, tenant, {
    labels: { site: "new" },
    affinity: { key: "a", mode: "hard" },
    rate_limit: { key: "r", limit: 1, per_seconds: 1 },
  });
  assert.deepEqual([told.job_id, told.status], [null, "blocked"]);
  assert.deepEqual(await count(), before);
  assert.equal((await foresee(db, tenant, { idempotency_key: "one" })).job_id, known.id);
  await refused(foresee(db, tenant, { concurrency_key: "k", concurrency_policy: "reject" }), "MU030");
  await refused(foresee(db, tenant, { after: [crypto.randomUUID()] }), "MU003");
  await refused(foresee(db, tenant, { secrets: ["NONE"] }), "MU021");
  await refused(foresee(db, tenant, { inputs: [crypto.randomUUID()] }), "MU003");
  const hostile: unknown[] = [null, 1, "x", [], { type: 1 }, { type: "muster.batch" }, { type: "x", where: [1] }, {
    type: "x",
    after: ["#0"],
  }];
  for (const job of hostile) {
    await refusedAsInvalid(
      db.call(service, "explain_submission", { caller: tenant.caller, job: job as Args }),
      JSON.stringify(job),
    );
  }
  const other = await createTenant(db);
  await refused(explain(db, other, known), "MU003");
});

Deno.test("explain_job() waits for nobody and locks no row", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { concurrency_key: "k", affinity: { key: "a" } });
  await using holder = await db.transaction();
  await holder.query("select from muster.jobs for update");
  await holder.query("select from muster.concurrency_keys for update");
  await holder.query("select from muster.worker_devices for update");
  assert.equal((await explain(db, tenant, job)).workers[0].id, worker.id);
  await foresee(db, tenant, { concurrency_key: "k" });
});

Deno.test("explain_job() looks at 1,000 workers, those that fit first, and counts the rest", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`
    insert into muster.worker_devices (tenant_id, name, device_fingerprint, public_jwk, capabilities, status)
    select ${tenant.id}, 'worker-' || i, 'print-' || i, '{"kty": "EC"}',
      case when i = 1100 then array['gpu'] else '{}' end, case when i = 1100 then 'offline' else 'online' end::muster.worker_status
    from generate_series(1, 1100) i`;
  const told = await foresee(db, tenant, { requires: ["gpu"] });
  assert.deepEqual([told.counts.total, told.counts.examined, told.workers.length], [1100, 1000, 1000]);
  assert.deepEqual([told.workers[0].name, told.workers[0].failed.has], ["worker-1100", "offline"]);
});
