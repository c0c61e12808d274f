import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Assignment,
  createTenant,
  createWorker,
  eachRefused,
  failed,
  getJob,
  refused,
  submit,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("the pause before a retry grows as the policy says, up to its cap, with jitter of it left to chance", async () => {
  await using db = await TestDatabase.create();
  const delay = async (failures: number, base: number, cap: number, retry: Args | null): Promise<number> => {
    const [row] = await db
      .sql`select extract(epoch from muster_private.retry_delay(${failures}, make_interval(secs => ${base}),
      make_interval(secs => ${cap}), ${retry === null ? null : db.sql.json(retry as never)}))::float8 as seconds`;
    return row!.seconds;
  };
  const policy = fc.record({
    backoff: fc.option(fc.constantFrom("exponential", "linear", "fixed"), { nil: undefined }),
    jitter: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 25 }),
      fc.integer({ min: 0, max: 100 }),
      fc.integer({ min: 0, max: 3600 }),
      policy,
      async (failures, base, cap, { backoff, jitter }) => {
        const retry = { ...(backoff && { backoff }), ...(jitter !== undefined && { jitter }) };
        const seconds = await delay(failures, base, cap, retry);
        const factor = backoff === "fixed" ? 1 : backoff === "linear" ? failures : 2 ** (failures - 1);
        const most = failures < 1 ? 0 : Math.min(cap, base * factor);
        assert.ok(seconds <= most + 1e-6, `${seconds} of at most ${most}`);
        assert.ok(seconds >= most * (1 - (jitter ?? 0.5)) - 2e-3, `${seconds} of ${most} with jitter ${jitter}`);
      },
    ),
    { numRuns: 300, seed: 1 },
  );
  assert.deepEqual([await delay(3, 2, 100, { jitter: 0 }), await delay(3, 2, 5, { jitter: 0 })], [8, 5]);
  assert.equal(await delay(3, 2, 100, { jitter: 0, backoff: "linear" }), 6);
  assert.equal(await delay(3, 2, 100, { jitter: 0, backoff: "fixed" }), 2);
  assert.equal(await delay(18, 0, 0, { jitter: 2e-323 }), 0, "a number that is almost nothing");
  const spread = await Promise.all(Array.from({ length: 20 }, () => delay(1, 100, 100, { jitter: 1 })));
  assert.ok(new Set(spread).size > 10 && Math.min(...spread) < 60, String(spread));
});

Deno.test("a failed job is tried again after the pause of its own policy, and answers that policy", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const policy = { retry_backoff: "linear", retry_jitter: 0, final_errors: ["bad_input", "http.*"] };
  const [job] = await submit(db, tenant, { ...policy, retry_base_seconds: 7, max_attempts: 4 });
  for (const [name, value] of Object.entries(policy)) assert.deepEqual(job[name], value, name);
  for (const seconds of [7, 14, 21]) {
    await fail(worker, { code: "http2.refused", details: { try: seconds } });
    const { status, run_at, error } = await getJob(db, tenant, job.id);
    assert.deepEqual([status, Date.parse(run_at) - (await db.now()).getTime()], ["scheduled", seconds * 1000]);
    assert.deepEqual(error.details, { try: seconds });
    await worker.heartbeat();
    await db.advance(seconds);
    await tick(db);
    await worker.heartbeat();
  }
  await fail(worker, { code: "other", details: { last: true } });
  const ended = await getJob(db, tenant, job.id);
  assert.deepEqual([ended.status, ended.attempts, ended.error.code, ended.error.details], ["failed", 4, "other", {
    last: true,
  }]);
  // What each attempt failed of is told still.
  const { events } = await db.call(service, "list_job_events", { caller: tenant.caller, job_id: job.id });
  const errors = events.map(({ data }: { data: Args }) => data.error).filter((error?: Args) => error !== undefined);
  const tries = new Set(errors.map(({ details }: Args) => JSON.stringify(details)));
  assert.deepEqual([...tries], ['{"try":7}', '{"try":14}', '{"try":21}', '{"last":true}']);
});

Deno.test("an error that the job names as final ends it at once: the worker's own, a time-out, or a lost worker", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const run = async (final_errors: string[], code: string) => {
    const [job] = await submit(db, tenant, { final_errors, retry_base_seconds: 100 });
    await fail(worker, { code });
    const { status } = await getJob(db, tenant, job.id);
    if (status === "scheduled") await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
    return status;
  };
  assert.equal(await run(["bad_input"], "bad_input"), "failed");
  assert.equal(await run(["bad_input"], "bad_input_2"), "scheduled");
  assert.equal(await run(["http.*"], "http.404"), "failed");
  assert.equal(await run(["http.*"], "http"), "scheduled");
  assert.equal(await run(["http.*"], "httpx404"), "scheduled");
  assert.equal(await run([], "bad_input"), "scheduled");

  const [timed] = await submit(db, tenant, { final_errors: ["attempt_timeout"], attempt_timeout_seconds: 5 });
  await worker.claim();
  await db.advance(6);
  await tick(db);
  assert.deepEqual(await codeOf(db, tenant, timed.id), ["failed", "attempt_timeout"]);
  const [lost] = await submit(db, tenant, { final_errors: ["worker_lost"] });
  await worker.heartbeat();
  await worker.claim();
  await db.advance(60);
  await tick(db);
  assert.deepEqual(await codeOf(db, tenant, lost.id), ["failed", "worker_lost"]);
});

Deno.test("a job that was handed back is not ended by what it names as final", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { final_errors: ["released", "released.*"] });
  await worker.claim();
  await db.call(worker.actor, "goodbye");
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
});

Deno.test("a job of which no attempt has begun by start_by fails as expired: queued, blocked, scheduled or pushed and not taken up", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const start_by = await inSeconds(db, 4);
  const [held, queued, blocked, scheduled] = await submit(
    db,
    tenant,
    { requires: ["nobody/has"], concurrency_key: "k" },
    { requires: ["nobody/has"], start_by },
    { concurrency_key: "k", start_by },
    { run_at: await inSeconds(db, 3), start_by: await inSeconds(db, 3.5), requires: ["nobody/has"] },
  );
  const worker = await createWorker(db, tenant, { listening: true });
  const [pushed] = await submit(db, tenant, { start_by });
  assert.deepEqual([pushed.status, Date.parse(pushed.start_by)], ["assigned", Date.parse(start_by)]);
  await db.advance(4.5);
  const swept = await tick(db);
  assert.deepEqual([swept.expired_jobs, swept.overdue_attempts], [3, 1]);
  for (const { id } of [queued, blocked, scheduled, pushed]) {
    const { status, error } = await getJob(db, tenant, id);
    assert.deepEqual([status, error.code, error.message], [
      "failed",
      "expired",
      "No attempt had begun by the time it had to",
    ]);
  }
  assert.equal((await getJob(db, tenant, held.id)).status, "queued");
  // Who still believes to have it is told to stop.
  const { stop } = await worker.heartbeat({ running: [{ job_id: pushed.id, attempt: 1 }] });
  assert.deepEqual(stop, [{ job_id: pushed.id, attempt: 1, reason: "failed" }]);
});

Deno.test("start_by does not matter any more once an attempt has begun, though it failed or was handed back", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  const start_by = await inSeconds(db, 5);
  const [running, back, again] = await submit(
    db,
    tenant,
    { payload: "runs", start_by },
    { payload: "back", start_by, retry_base_seconds: 30, retry_jitter: 0 },
    { payload: "again", start_by, retry_base_seconds: 0 },
  );
  const jobs = await worker.claim(3);
  await worker.complete(jobs.filter(({ payload }) => payload !== "runs").map((job) => failed(job)));
  await db.advance(6);
  await worker.heartbeat({ running: jobs.filter(({ payload }) => payload === "runs") });
  const swept = await tick(db);
  assert.deepEqual([swept.expired_jobs, swept.overdue_attempts], [0, 0]);
  const statuses = await Promise.all([running, back, again].map(({ id }) => getJob(db, tenant, id)));
  assert.deepEqual(statuses.map(({ status }) => status), ["running", "scheduled", "queued"]);
  assert.deepEqual(await places(db), []);
});

Deno.test("start, attempt and total time are kept apart, and what ends the job says which it was", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const limits = {
    start_by: await inSeconds(db, 10),
    attempt_timeout_seconds: 20,
    timeout_seconds: 50,
    retry_base_seconds: 1,
    retry_jitter: 0,
    max_attempts: 20,
  };
  const [job] = await submit(db, tenant, limits);
  const beat = (running: Assignment[]) => worker.heartbeat({ running });
  const [first] = await worker.claim();
  for (const _ of [1, 2]) await db.advance(10), await beat([first!]);
  await db.advance(1);
  // The first attempt is over, past start_by; the job is not.
  assert.equal((await tick(db)).overdue_attempts, 1);
  assert.deepEqual(await codeOf(db, tenant, job.id), ["scheduled", "attempt_timeout"]);
  await db.advance(1);
  await tick(db);
  await worker.heartbeat();
  const [second] = await worker.claim();
  assert.equal(second!.attempt, 2);
  for (const _ of [1, 2]) await db.advance(10), await beat([second!]);
  await db.advance(1);
  await tick(db);
  assert.deepEqual(await codeOf(db, tenant, job.id), ["scheduled", "attempt_timeout"]);
  await db.advance(8);
  await tick(db);
  const ended = await getJob(db, tenant, job.id);
  assert.deepEqual([ended.status, ended.error.code, ended.error.message, ended.attempts], [
    "failed",
    "expired",
    "The time the job was given is over",
    2,
  ]);
  assert.equal(ended.error.details.last_error.code, "attempt_timeout");
  assert.deepEqual(await places(db), []);
});

Deno.test("start_by must lie ahead, after run_at, and is not held against a job that is there already", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const once = { start_by: await inSeconds(db, 60), idempotency_key: "once" };
  const [job] = await submit(db, tenant, once);
  await db.advance(120);
  await refused(submit(db, tenant, { start_by: once.start_by }), "MU004");
  await refused(submit(db, tenant, { start_by: (await db.now()).toISOString() }), "MU004");
  const early = { run_at: await inSeconds(db, 60), start_by: await inSeconds(db, 60) };
  assert.match((await refused(submit(db, tenant, early), "MU004")).message, /must lie after run_at$/);
  assert.equal((await submit(db, tenant, once))[0].id, job.id);
});

Deno.test("submit_jobs() refuses what it cannot read of a retry policy, of turns and of the start", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await eachRefused({
    "another backoff": { retry_backoff: "random" },
    "a backoff that is a number": { retry_backoff: 2 },
    "jitter below 0": { retry_jitter: -0.1 },
    "jitter above 1": { retry_jitter: 1.1 },
    "jitter as text": { retry_jitter: "0.5" },
    "final errors as text": { final_errors: "bad" },
    "21 final errors": { final_errors: Array(21).fill("bad") },
    "a final error that is a number": { final_errors: [1] },
    "an empty final error": { final_errors: [""] },
    "a final error that begins with a dot": { final_errors: [".*"] },
    "every error as final": { final_errors: ["*"] },
    "a final error of 101 characters": { final_errors: ["x".repeat(101)] },
    "weight 0": { fairness_weight: 0 },
    "weight 101": { fairness_weight: 101 },
    "half a weight": { fairness_weight: 1.5 },
    "an empty key": { fairness_key: "" },
    "a key of 256 characters": { fairness_key: "k".repeat(256) },
    "a start that is no instant": { start_by: "soon" },
    "a start that never comes": { start_by: "infinity" },
    "a start as a number": { start_by: 1 },
  }, (job: Args) => submit(db, tenant, {}, job));
  const [row] = await db.sql`select count(*)::integer as count from muster.jobs`;
  assert.equal(row!.count, 0);
});

async function fail(worker: TestWorker, error: Args): Promise<void> {
  const [job] = await worker.claim();
  assert.ok(job, "there is a job to fail");
  await worker.complete([failed(job, error)]);
}

async function codeOf(db: TestDatabase, tenant: TestTenant, id: string): Promise<unknown[]> {
  const { status, error } = await getJob(db, tenant, id);
  return [status, error?.code];
}

async function inSeconds(db: TestDatabase, seconds: number): Promise<string> {
  return new Date((await db.now()).getTime() + seconds * 1000).toISOString();
}

async function places(db: TestDatabase): Promise<string[]> {
  return (await db.sql`select muster_private.check_places() as line`).map(({ line }) => line);
}
