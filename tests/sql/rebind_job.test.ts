import assert from "node:assert/strict";
import {
  auditEntries,
  createTenant,
  createWorker,
  failed,
  getJob,
  refused,
  sentMessages,
  submit,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

function rebind(db: TestDatabase, tenant: TestTenant, job: Answer, worker: { id: string } | null): Promise<Answer> {
  return db.call(service, "rebind_job", { caller: tenant.caller, job_id: job.id, worker_id: worker?.id ?? null });
}

async function createPair(db: TestDatabase, options: Parameters<typeof createWorker>[2] = {}) {
  const tenant = await createTenant(db);
  return { tenant, a: await createWorker(db, tenant, options), b: await createWorker(db, tenant, options) };
}

async function assertPlaces(db: TestDatabase): Promise<void> {
  assert.deepEqual((await db.sql`select muster_private.check_places() as problem`).map(({ problem }) => problem), []);
}

Deno.test("rebind_job() keeps a queued job for one worker, retries included, until it is taken back", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job] = await submit(db, tenant, { retry_base_seconds: 1 });
  const bound = await rebind(db, tenant, job, b);
  assert.deepEqual([bound.status, bound.bound_to], ["queued", b.id]);
  assert.deepEqual(await a.claim(), []);
  const [held] = await b.claim();
  assert.equal(held!.job_id, job.id);
  await b.complete([failed(held!)]);
  await db.advance(2);
  await tick(db);
  assert.deepEqual(await a.claim(), []);
  const free = await rebind(db, tenant, job, null);
  assert.deepEqual([free.status, free.bound_to], ["queued", undefined]);
  assert.equal((await a.claim())[0]!.attempt, 2);
  const entries = await auditEntries(db, tenant, "job.rebound");
  assert.deepEqual(entries.map(({ subject, data }) => [subject, data.worker_id]), [[job.id, b.id], [job.id, null]]);
  await assertPlaces(db);
});

Deno.test("rebind_job() takes a job that runs from its worker, which spends no attempt, and gives it to the other", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { listening: true });
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  const [from, to] = job.worker_id === a.id ? [a, b] : [b, a];
  const [held] = await from.claim();
  const moved = await rebind(db, tenant, job, to);
  assert.deepEqual([moved.status, moved.worker_id], ["assigned", to.id]);
  const cancels = (await sentMessages(db, `worker:${from.id}:tasks`)).filter(({ event }) => event === "task.cancel");
  assert.deepEqual(cancels.map(({ data }) => data.jobs), [[{ jobId: job.id, attempt: 1, reason: "rebound" }]]);
  assert.equal((await from.complete([succeeded(held!)])).outcomes[0].outcome, "stale");
  const [taken] = await to.claim();
  assert.equal((await to.complete([succeeded(taken!, { by: 2 })])).outcomes[0].outcome, "accepted");
  assert.deepEqual((await getJob(db, tenant, job.id)).result, { by: 2 });
  await assertPlaces(db);
});

Deno.test("rebind_job() leaves a job with the worker that has it", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a } = await createPair(db);
  const [job] = await submit(db, tenant, {});
  const [held] = await a.claim();
  for (const worker of [a, null]) {
    const after = await rebind(db, tenant, job, worker);
    assert.deepEqual([after.status, after.worker_id, after.attempts], ["running", a.id, 1]);
  }
  assert.equal((await a.complete([succeeded(held!)])).outcomes[0].outcome, "accepted");
});

Deno.test("rebind_job() goes before affinity and resources, and moves the worker of the key", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [waiting, sticky] = await submit(
    db,
    tenant,
    { resource_ref: { name: "model" } },
    { affinity: { key: "k", mode: "hard" } },
  );
  assert.equal(waiting.waiting_for, "affinity");
  assert.equal((await rebind(db, tenant, waiting, b)).status, "queued");
  const [held] = await b.claim();
  assert.equal(held!.job_id, waiting.id);
  await b.complete([succeeded(held!)]);
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [from, to] = row!.worker_id === a.id ? [a, b] : [b, a];
  await rebind(db, tenant, sticky, to);
  assert.deepEqual(await from.claim(), []);
  assert.equal((await to.claim()).length, 1);
  const [now] = await db.sql`select worker_id from muster.affinities`;
  assert.equal(now!.worker_id, to.id);
  await assertPlaces(db);
});

Deno.test("rebind_job() holds for a job that is still to come, and for a worker that is away", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job, keyed, second] = await submit(
    db,
    tenant,
    { run_at: "2026-01-01T00:00:30Z" },
    { concurrency_key: "k" },
    { concurrency_key: "k" },
  );
  assert.equal((await rebind(db, tenant, job, b)).status, "scheduled");
  assert.equal((await rebind(db, tenant, second, b)).waiting_for, "concurrency");
  const [held] = await a.claim();
  assert.equal(held!.job_id, keyed.id);
  await a.complete([succeeded(held!)]);
  await db.call(b.actor, "goodbye");
  await db.advance(31);
  await a.heartbeat();
  await tick(db);
  assert.deepEqual(await a.claim(), []);
  await b.hello({ slots: 2 });
  assert.deepEqual((await b.claim(2)).map(({ job_id }) => job_id).sort(), [job.id, second.id].sort());
  await assertPlaces(db);
});

Deno.test("rebind_job() refuses workers that cannot do the job, and jobs that have ended", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job, ended] = await submit(db, tenant, { requires: ["gpu"] }, {});
  await refused(rebind(db, tenant, job, a), "MU032");
  const [held] = await a.claim();
  await a.complete([succeeded(held!)]);
  await refused(rebind(db, tenant, ended, b), "MU008");
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: b.id });
  const [plain] = await submit(db, tenant, {});
  await refused(rebind(db, tenant, plain, b), "MU032");
  await refused(rebind(db, tenant, plain, { id: crypto.randomUUID() }), "MU003");
  const other = await createPair(db);
  await refused(rebind(db, tenant, plain, other.a), "MU003");
  await refused(rebind(db, other.tenant, plain, null), "MU003");
});

Deno.test("a job bound to a worker that is revoked goes to anybody", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job] = await submit(db, tenant, {});
  await rebind(db, tenant, job, b);
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: b.id });
  assert.equal((await a.claim())[0]!.job_id, job.id);
});

Deno.test("a rebind that races with the claim of the other worker takes the job from it", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job] = await submit(db, tenant, {});
  await using claim = await db.transaction();
  const { jobs: [held] } = await claim.call(a.actor, "claim_jobs", { want: 1 });
  await using operator = await db.transaction();
  const waiting = operator.call(service, "rebind_job", { caller: tenant.caller, job_id: job.id, worker_id: b.id });
  await db.untilBlocked(operator.pid);
  await claim.commit();
  assert.equal((await waiting).status, "queued");
  await operator.commit();
  assert.equal((await a.complete([succeeded(held)])).outcomes[0].outcome, "stale");
  assert.equal((await b.claim())[0]!.attempt, 2);
  await assertPlaces(db);
});

Deno.test("a rebind that races with the completion of the job finds it ended", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job] = await submit(db, tenant, {});
  const [held] = await a.claim();
  await using completion = await db.transaction();
  await completion.call(a.actor, "complete_jobs", { results: [succeeded(held!)], want: 0 });
  await using operator = await db.transaction();
  const waiting = operator.call(service, "rebind_job", { caller: tenant.caller, job_id: job.id, worker_id: b.id });
  waiting.catch(() => {});
  await db.untilBlocked(operator.pid);
  await completion.commit();
  await refused(waiting, "MU008");
  assert.equal((await getJob(db, tenant, job.id)).status, "succeeded");
});

Deno.test("a claim that races with a rebind passes over the job", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [first, second] = await submit(db, tenant, {}, {});
  await using operator = await db.transaction();
  await operator.call(service, "rebind_job", { caller: tenant.caller, job_id: first.id, worker_id: b.id });
  assert.equal((await a.claim(1))[0]!.job_id, second.id);
  await operator.commit();
  assert.equal((await b.claim(1))[0]!.job_id, first.id);
});

Deno.test("two rebinds that move jobs between the same workers do not wait for each other in a circle", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 2 });
  const [one, two] = await submit(db, tenant, {}, {});
  assert.equal((await a.claim(1))[0]!.job_id, one.id);
  assert.equal((await b.claim(1))[0]!.job_id, two.id);
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "rebind_job", { caller: tenant.caller, job_id: one.id, worker_id: b.id });
  const waiting = second.call(service, "rebind_job", { caller: tenant.caller, job_id: two.id, worker_id: a.id });
  await db.untilBlocked(second.pid);
  await first.commit();
  await waiting;
  await second.commit();
  assert.equal((await a.claim(1))[0]!.job_id, two.id);
  assert.equal((await b.claim(1))[0]!.job_id, one.id);
  await assertPlaces(db);
});
