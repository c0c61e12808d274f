import assert from "node:assert/strict";
import {
  createInput,
  createTenant,
  createWorker,
  eachRefused,
  getJob,
  refused,
  submit,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("submit_jobs() stores a job with its defaults and answers it whole", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const answer = await db.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: [{ type: "calc.add" }],
    correlation_id: "request-1",
  });
  const { job, created } = answer.jobs[0];
  assert.equal(created, true);
  const { id, ...rest } = job;
  assert.match(id, /^[0-9a-f-]{36}$/);
  const now = "2026-01-01T00:00:00.000000Z";
  assert.deepEqual(rest, {
    tenant_id: tenant.id,
    type: "calc.add",
    status: "queued",
    executor_id: tenant.executorId,
    worker_id: null,
    worker_name: null,
    payload: {},
    result: null,
    error: null,
    progress: null,
    progress_note: null,
    idempotency_key: null,
    correlation_id: "request-1",
    concurrency_key: null,
    priority: 0,
    attempts: 0,
    max_attempts: 3,
    requires: [],
    labels: {},
    where: [],
    prefer: [],
    resources: { slots: 1 },
    inputs: [],
    secrets: [],
    notify: false,
    retry_of: null,
    fairness_key: null,
    fairness_weight: 1,
    parent_id: null,
    waiting_for: null,
    attempt_timeout_seconds: 3600,
    run_at: now,
    start_by: null,
    expires_at: null,
    created_at: now,
    updated_at: now,
    queued_at: now,
    assigned_at: null,
    started_at: null,
    finished_at: null,
  });
  assert.deepEqual(await getJob(db, tenant, id), job);
});

Deno.test("submit_jobs() keeps everything a job asks for", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [first, second] = [await createInput(db, tenant, "1"), await createInput(db, tenant, "2")];
  const asked = {
    type: "a/b:c-d_e.f",
    payload: [1, { deep: null }],
    requires: ["z", "a", "z"],
    labels: { os: "linux" },
    priority: -7,
    idempotency_key: "key",
    max_attempts: 20,
    attempt_timeout_seconds: 604800,
    timeout_seconds: 60,
    concurrency_key: "k",
    correlation_id: "mine",
    notify: true,
    inputs: [second.id, first.id],
  };
  const [job] = await submit(db, tenant, asked);
  const { timeout_seconds: _, ...kept } = asked;
  const expected: Record<string, unknown> = {
    ...kept,
    requires: ["a", "z"],
    expires_at: "2026-01-01T00:01:00.000000Z",
  };
  for (const [field, value] of Object.entries(expected)) assert.deepEqual(job[field], value, field);
});

Deno.test("submit_jobs() answers in the order given, also when it stores in another", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = await submit(
    db,
    tenant,
    ...["d", "a", null, "c", "b", null].map((idempotency_key, payload) => ({ idempotency_key, payload })),
  );
  assert.deepEqual(jobs.map((job) => job.payload), [0, 1, 2, 3, 4, 5]);
});

Deno.test("submit_jobs() answers each job as get_job() does, whatever it shares with others", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { slots: 2, listening: true });
  const input = await createInput(db, tenant);
  const [known] = await submit(db, tenant, { idempotency_key: "known", payload: 0 });
  const later = new Date((await db.now()).getTime() + 60_000).toISOString();
  const items: Args[] = [
    ...[1, null, '\u00e9"\\\n', [{}], { a: { b: 1e300 } }].map((payload) => ({ payload })),
    { idempotency_key: 'a "quoted" key', correlation_id: "one\ntwo" },
    { idempotency_key: "known" },
    { idempotency_key: null, correlation_id: null, payload: { id: 1 } },
    ...[1, 2, 3].map((payload) => ({ payload, concurrency_key: "k", concurrency_limit: 2 })),
    ...[1, 2].map((payload) => ({ payload, run_at: later })),
    ...[1, 2].map((payload) => ({ payload, inputs: [input.id], idempotency_key: `with input ${payload}` })),
    ...[1, 2].map((payload) => ({
      payload,
      requires: ["gpu/cuda", "a"],
      priority: 5,
      where: [{ label: "a", operator: "exists" }],
    })),
    { after: ["#0"] },
    ...[1, 2].map((payload) => ({ payload, fairness_key: "f", retry_backoff: "fixed", timeout_seconds: 60 })),
  ];
  const { jobs } = await db.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: items.map((item) => ({ type: "test", ...item })),
    correlation_id: "all",
  });
  assert.equal(jobs.length, items.length);
  for (const [place, { job, created }] of jobs.entries()) {
    assert.deepEqual(job, await getJob(db, tenant, job.id), `item ${place}`);
    assert.equal(created, job.id !== known.id, `item ${place}`);
    const { payload = {}, idempotency_key = null, correlation_id } = items[place]!;
    if (created) {
      assert.deepEqual([job.payload, job.idempotency_key, job.correlation_id], [
        payload,
        idempotency_key,
        correlation_id ?? "all",
      ]);
    }
  }
  assert.ok(new Set(jobs.map((item: Answer) => item.job.status)).size > 3);
  const ids = jobs.filter((item: Answer) => item.created).map((item: Answer) => item.job.id);
  assert.deepEqual(ids, ids.toSorted(), "ids go up in the order given");
});

Deno.test("submit_jobs() names the first bad job of a batch of many kinds", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const bad = [{ type: "a b" }, { type: "deep", payload: nested(110) }, { type: "test", inputs: "x" }];
  for (let first = 0; first < bad.length; first++) {
    const jobs = Array.from({ length: 40 }, (_, n) => ({ type: "test", priority: n }) as Args);
    for (let n = first; n < bad.length; n++) jobs[7 + n * 10] = bad[n]!;
    await assert.rejects(
      db.call(service, "submit_jobs", { caller: tenant.caller, jobs }),
      new RegExp(`Cannot submit job ${7 + first * 10}:`),
    );
  }
  assert.equal(await countJobs(db), 0);
});

Deno.test("submit_jobs() answers the same job for the same idempotency key (I3)", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const once = (who: TestTenant, payload: number) =>
    db.call(service, "submit_jobs", { caller: who.caller, jobs: [{ type: "test", idempotency_key: "k", payload }] });
  const [first] = (await once(tenant, 1)).jobs;
  const [again] = (await once(tenant, 2)).jobs;
  assert.deepEqual([first.created, again.created], [true, false]);
  assert.equal(again.job.id, first.job.id);
  assert.equal(again.job.payload, 1);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.job.id] });
  assert.equal((await once(tenant, 3)).jobs[0].job.status, "cancelled");
  assert.notEqual((await once(other, 4)).jobs[0].job.id, first.job.id);
});

Deno.test("submit_jobs() makes one job of a key that stands twice in a batch", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { jobs } = await db.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: [1, 2, 3].map((payload) => ({ type: "test", idempotency_key: payload === 2 ? "other" : "k", payload })),
  });
  assert.deepEqual(jobs.map((item: Answer) => item.created), [true, true, false]);
  assert.deepEqual(jobs.map((item: Answer) => item.job.payload), [1, 2, 1]);
});

Deno.test("submit_jobs() waits for a submission of the same key and answers its job", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const args = { caller: tenant.caller, jobs: [{ type: "test", idempotency_key: "k" }] };
  await using first = await db.transaction();
  await using second = await db.transaction();
  const [one] = (await first.call(service, "submit_jobs", args)).jobs;
  const waiting = second.call(service, "submit_jobs", args);
  await db.untilBlocked(second.pid);
  await first.commit();
  const [two] = (await waiting).jobs;
  assert.deepEqual([two.created, two.job.id], [false, one.job.id]);
  await second.commit();
});

Deno.test("submit_jobs() gives jobs to idle workers that listen, in the same transaction", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [one, two] = [
    await createWorker(db, tenant, { slots: 2, listening: true }),
    await createWorker(db, tenant, { slots: 2, listening: true }),
  ];
  const jobs = await submit(db, tenant, {}, {}, {}, {}, {});
  const holders = jobs.map((job) => job.worker_id);
  assert.equal(holders.filter((id) => id === one.id).length, 2);
  assert.equal(holders.filter((id) => id === two.id).length, 2);
  assert.deepEqual(jobs.map((job) => job.status).sort(), ["assigned", "assigned", "assigned", "assigned", "queued"]);
});

Deno.test("submit_jobs() prefers the worker with the least load", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const busy = await createWorker(db, tenant, { slots: 4, listening: true });
  await submit(db, tenant, {}, {});
  const idle = await createWorker(db, tenant, { slots: 4, listening: true });
  const jobs = await submit(db, tenant, {}, {});
  assert.deepEqual(jobs.map((job) => job.worker_id), [idle.id, idle.id]);
  assert.notEqual(busy.id, idle.id);
});

Deno.test("submit_jobs() holds jobs back by their concurrency key, up to its limit (I5)", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = await submit(
    db,
    tenant,
    ...Array.from({ length: 5 }, () => ({ concurrency_key: "k", concurrency_limit: 2 })),
    { concurrency_key: "other" },
  );
  assert.deepEqual(jobs.map((job) => job.status), ["queued", "queued", "blocked", "blocked", "blocked", "queued"]);
  const [more] = await submit(db, tenant, { concurrency_key: "k", concurrency_limit: 2 });
  assert.equal(more.status, "blocked");
});

Deno.test("submit_jobs() keeps concurrency keys of tenants apart", async () => {
  await using db = await TestDatabase.create();
  await submit(db, await createTenant(db), { concurrency_key: "k" });
  const [job] = await submit(db, await createTenant(db), { concurrency_key: "k" });
  assert.equal(job.status, "queued");
});

Deno.test("submit_jobs() schedules what is to run later and queues what was to run before", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { slots: 9, listening: true });
  const [later, past] = await submit(
    db,
    tenant,
    { run_at: "2026-01-01T01:00:00+01:00", concurrency_key: "k" },
    { run_at: "2025-01-01T00:00:00Z" },
    { run_at: "2026-01-01T02:00:00Z" },
  );
  assert.equal(later.status, "assigned");
  assert.deepEqual([past.status, past.run_at], ["assigned", "2026-01-01T00:00:00.000000Z"]);
  const [scheduled] = await submit(db, tenant, { run_at: "2026-01-01T02:00:00Z" });
  assert.deepEqual([scheduled.status, scheduled.queued_at], ["scheduled", null]);
});

Deno.test("submit_jobs() stores 1000 jobs in one call", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = await submit(db, tenant, ...Array.from({ length: 1000 }, (_, payload) => ({ payload })));
  assert.deepEqual(jobs.map((job) => job.payload), Array.from({ length: 1000 }, (_, n) => n));
});

Deno.test("submit_jobs() refuses a batch of none and of more than 1000 with too_many", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (const length of [0, 1001]) {
    const jobs = Array.from({ length }, () => ({ type: "test" }));
    await refused(db.call(service, "submit_jobs", { caller: tenant.caller, jobs }), "MU015");
  }
  assert.equal(await countJobs(db), 0);
});

Deno.test("submit_jobs() refuses a payload over the limit with the advice to use an artifact", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const job = { type: "test", payload: "x".repeat(600_000) };
  const error = await refused(
    db.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "a" }, job] }),
    "MU005",
  );
  assert.match(error.hint, /artifact/);
  assert.equal(await countJobs(db), 0);
});

Deno.test("submit_jobs() refuses inputs that are not finished files of the tenant, all alike", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const foreign = await createInput(db, other);
  const pending = await db.call(service, "create_artifact", {
    caller: tenant.caller,
    artifact: { name: "a", size_bytes: 1, sha256: "0".repeat(64) },
  });
  for (const id of [foreign.id, pending.id, crypto.randomUUID()]) {
    await refused(
      db.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test", inputs: [id] }] }),
      "MU003",
    );
  }
  assert.equal(await countJobs(db), 0);
});

Deno.test("submit_jobs() refuses misuse and stores nothing of the batch", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const names = (length: number) => Array.from({ length }, (_, n) => `c${n}`);
  const item = (fields: Args) => [{ type: "good" }, { type: "test", ...fields }];
  const bad: Record<string, unknown> = {
    "null": null,
    "an object": {},
    "a string": "x",
    "an item that is null": [{ type: "good" }, null],
    "an item that is a string": ["x"],
    "an item that is an array": [[]],
    "no type": item({ type: undefined }),
    "an empty type": item({ type: "" }),
    "a type of 201 characters": item({ type: "x".repeat(201) }),
    "a type with a space": item({ type: "a b" }),
    "a type with a line end": item({ type: "a\n" }),
    "a payload with NUL": item({ payload: "\u0000" }),
    "requires as a string": item({ requires: "gpu" }),
    "requires with null": item({ requires: [null] }),
    "a requirement that no worker can have": item({ requires: ["Not A Capability"] }),
    "21 requirements": item({ requires: names(21) }),
    "labels as an array": item({ labels: ["x"] }),
    "labels as a string": item({ labels: "x" }),
    "a label that is no text": item({ labels: { a: { b: 1 } } }),
    "51 labels": item({ labels: Object.fromEntries(names(51).map((name) => [name, "x"])) }),
    "a priority of 101": item({ priority: 101 }),
    "a priority of -101": item({ priority: -101 }),
    "a priority of a million": item({ priority: 1_000_000 }),
    "a priority in words": item({ priority: "high" }),
    "no attempts": item({ max_attempts: 0 }),
    "21 attempts": item({ max_attempts: 21 }),
    "an attempt timeout of 0": item({ attempt_timeout_seconds: 0 }),
    "a negative attempt timeout": item({ attempt_timeout_seconds: -1 }),
    "an attempt timeout beyond a week": item({ attempt_timeout_seconds: 604_801 }),
    "a negative timeout": item({ timeout_seconds: -1 }),
    "a timeout beyond all bounds": item({ timeout_seconds: 1e300 }),
    "a negative retry pause": item({ retry_base_seconds: -1 }),
    "a negative retry cap": item({ retry_cap_seconds: -1 }),
    "a concurrency limit of 0": item({ concurrency_key: "k", concurrency_limit: 0 }),
    "a concurrency limit of a million": item({ concurrency_key: "k", concurrency_limit: 1_000_000 }),
    "an empty concurrency key": item({ concurrency_key: "" }),
    "a concurrency key of 256 characters": item({ concurrency_key: "k".repeat(256) }),
    "an idempotency key of 256 characters": item({ idempotency_key: "k".repeat(256) }),
    "an idempotency key of 100,000 random characters": item({ idempotency_key: noise(100_000) }),
    "a correlation id of 256 characters": item({ correlation_id: "k".repeat(256) }),
    "inputs as a string": item({ inputs: "x" }),
    "an input that is no UUID": item({ inputs: ["x"] }),
    "101 inputs": item({ inputs: Array.from({ length: 101 }, () => crypto.randomUUID()) }),
    "a run_at that is no time": item({ run_at: "tomorrow-ish" }),
    "notify that is no boolean": item({ notify: "loudly" }),
  };
  await eachRefused(bad, (jobs) =>
    db.call(service, "submit_jobs", { caller: tenant.caller, jobs }).catch((error) => {
      if (error.code !== "MU003") throw error;
      // Unknown inputs are told before there are too many of them: refused all the same.
      throw Object.assign(error, { code: "MU015" });
    }));
  assert.equal(await countJobs(db), 0);
});

Deno.test("submit_jobs() lets nobody set what is the scheduler's own", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const own = {
    id: crypto.randomUUID(),
    tenant_id: other.id,
    executor_id: other.executorId,
    status: "succeeded",
    worker_id: crypto.randomUUID(),
    attempts: 5,
    result: "forged",
    position: -1,
    index: 7,
    digest: "x",
    class_id: 1,
  };
  const [job] = await submit(db, tenant, own);
  assert.notEqual(job.id, own.id);
  const { tenant_id, executor_id, status, worker_id, attempts, result } = job;
  assert.deepEqual({ tenant_id, executor_id, status, worker_id, attempts, result }, {
    tenant_id: tenant.id,
    executor_id: tenant.executorId,
    status: "queued",
    worker_id: null,
    attempts: 0,
    result: null,
  });
});

async function countJobs(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`select count(*)::integer as count from muster.jobs`;
  return row!.count;
}

/** Text that does not compress. */
function noise(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length / 2));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function nested(levels: number): unknown {
  return JSON.parse("[".repeat(levels) + "]".repeat(levels));
}
