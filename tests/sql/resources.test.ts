import assert from "node:assert/strict";
import {
  auditEntries,
  createTenant,
  createWorker,
  eachRefused,
  getJob,
  refused,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

const hold = (db: TestDatabase, worker: TestWorker, ...resources: Args[]): Promise<Answer> =>
  db.call(worker.actor, "hold_resources", { resources });
const release = (db: TestDatabase, worker: TestWorker, names: string[], reason = "released"): Promise<Answer> =>
  db.call(worker.actor, "release_resources", { names, reason });
const list = async (db: TestDatabase, tenant: TestTenant, filters: Args = {}): Promise<Answer[]> =>
  (await db.call(service, "list_resources", { caller: tenant.caller, filters })).resources;
const needs = (name: string): Args => ({ resource_ref: { name } });
const wants = (name: string, more: Args = {}): Args => ({ resource_ref: { name, mode: "soft", ...more } });

async function assertPlaces(db: TestDatabase): Promise<void> {
  assert.deepEqual((await db.sql`select muster_private.check_places() as problem`).map(({ problem }) => problem), []);
}

async function createTrio(db: TestDatabase) {
  const tenant = await createTenant(db);
  const options = { slots: 2 };
  const workers = [];
  for (let i = 0; i < 3; i++) workers.push(await createWorker(db, tenant, options));
  const [a, b, c] = workers as [TestWorker, TestWorker, TestWorker];
  return { tenant, a, b, c };
}

Deno.test("a job that needs a resource goes to the least loaded of those that hold it", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b, c } = await createTrio(db);
  await hold(db, b, { name: "model" });
  await hold(db, c, { name: "model" });
  const jobs = await submit(db, tenant, needs("model"), needs("model"), needs("model"), needs("model"));
  assert.deepEqual(await a.claim(2), []);
  assert.equal((await b.claim(2)).length, 2);
  assert.equal((await c.claim(2)).length, 2);
  assert.ok(jobs.every(({ status }) => status === "queued"));
  await assertPlaces(db);
});

Deno.test("a job whose resource nobody holds waits until somebody does, who is pushed it when it is idle", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, needs("model"));
  assert.deepEqual([job.status, job.waiting_for], ["blocked", "affinity"]);
  await hold(db, worker, { name: "other" });
  await tick(db);
  assert.equal((await getJob(db, tenant, job.id)).status, "blocked");
  await hold(db, worker, { name: "model" });
  const after = await getJob(db, tenant, job.id);
  assert.deepEqual([after.status, after.worker_id], ["assigned", worker.id]);
  await assertPlaces(db);
});

Deno.test("a job that only wants a resource goes elsewhere when no holder is free", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createTrio(db);
  const [nobody] = await submit(db, tenant, wants("model"));
  assert.equal((await a.claim(1))[0]!.job_id, nobody.id);
  await hold(db, b, { name: "model" });
  const [first, second, third] = await submit(db, tenant, wants("model"), wants("model"), wants("model"));
  assert.deepEqual((await a.claim(1)).map(({ job_id }) => job_id), [third.id]);
  assert.deepEqual((await b.claim(2)).map(({ job_id }) => job_id), [first.id, second.id]);
  const [patient] = await submit(db, tenant, wants("model", { wait_seconds: 30 }));
  const [row] = await db.sql`select worker_id from muster_private.ready_jobs where job_id = ${patient.id}`;
  assert.equal(row!.worker_id, b.id);
});

Deno.test("holding a resource gives no right to jobs that the worker does not match", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await hold(db, worker, { name: "model" });
  const [job] = await submit(db, tenant, { ...needs("model"), requires: ["gpu"] });
  assert.deepEqual([job.status, job.waiting_for], ["blocked", "affinity"]);
  await hold(db, worker, { name: "model" });
  await tick(db);
  assert.deepEqual(await worker.claim(), []);
  const gpu = await createWorker(db, tenant, { capabilities: ["gpu"] });
  await hold(db, gpu, { name: "model" });
  assert.equal((await gpu.claim())[0]!.job_id, job.id);
});

Deno.test("a resource that was evicted or released sends the jobs that waited for it there elsewhere", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createTrio(db);
  await hold(db, a, { name: "model" }, { name: "other" });
  const [evicted, kept] = await submit(db, tenant, needs("model"), needs("other"));
  assert.deepEqual(await release(db, a, ["model", "unknown"], "evicted"), { released: ["model"] });
  assert.equal((await getJob(db, tenant, evicted.id)).waiting_for, "affinity");
  await hold(db, b, { name: "model" });
  assert.equal((await b.claim(1))[0]!.job_id, evicted.id);
  assert.equal((await a.claim(1))[0]!.job_id, kept.id);
  const [entry] = await auditEntries(db, tenant, "resources.evicted");
  assert.deepEqual([entry.subject, entry.data], [a.id, { names: ["model"] }]);
  await assertPlaces(db);
});

Deno.test("a lease ends when it is not renewed, and jobs that waited for its holder wait for the next", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createTrio(db);
  await hold(db, a, { name: "model", lease_seconds: 10 });
  await db.advance(6);
  await hold(db, a, { name: "model", lease_seconds: 10 });
  const [job] = await submit(db, tenant, needs("model"));
  await db.advance(9);
  await tick(db);
  assert.equal((await list(db, tenant)).length, 1);
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  await db.advance(2);
  assert.deepEqual(await list(db, tenant), []);
  await tick(db);
  assert.equal((await getJob(db, tenant, job.id)).waiting_for, "affinity");
  assert.deepEqual([...await db.sql`select from muster.resource_holders`], []);
  await hold(db, b, { name: "model" });
  assert.equal((await b.claim(1))[0]!.job_id, job.id);
});

Deno.test("a holder that keeps touching keeps the jobs that wait for it", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a } = await createTrio(db);
  await hold(db, a, { name: "model", lease_seconds: 10 });
  const [job] = await submit(db, tenant, needs("model"));
  for (let i = 0; i < 4; i++) {
    await db.advance(8);
    await hold(db, a, { name: "model", lease_seconds: 10 });
    await a.heartbeat();
    await tick(db);
  }
  assert.equal((await a.claim(1))[0]!.job_id, job.id);
});

Deno.test("what a worker holds ends with its process: by its goodbye, its next session, its revocation", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b, c } = await createTrio(db);
  const session = crypto.randomUUID();
  await a.hello({ session_id: session });
  for (const worker of [a, b, c]) await hold(db, worker, { name: "model" });
  await a.hello({ session_id: session });
  assert.equal((await list(db, tenant)).length, 3, "a resync keeps it");
  await a.hello({ session_id: crypto.randomUUID() });
  await db.call(b.actor, "goodbye");
  assert.deepEqual((await list(db, tenant)).map(({ worker_id }) => worker_id), [c.id]);
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: c.id });
  assert.deepEqual(await list(db, tenant), []);
});

Deno.test("a holder that fell silent is passed over, and keeps what it has until its leases end", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createTrio(db);
  await hold(db, a, { name: "model" });
  const [job] = await submit(db, tenant, needs("model"));
  await db.advance(60);
  await b.heartbeat();
  await db.advance(60);
  await b.heartbeat();
  await tick(db);
  const [holder] = await list(db, tenant);
  assert.deepEqual([holder.worker_id, holder.worker_status], [a.id, "offline"]);
  assert.equal((await getJob(db, tenant, job.id)).waiting_for, "affinity");
  await hold(db, b, { name: "model" });
  assert.equal((await b.claim(1))[0]!.job_id, job.id);
  const [next] = await submit(db, tenant, needs("model"), needs("model"));
  await a.hello();
  assert.equal(next.status, "queued");
  assert.equal((await a.claim(2)).length + (await b.claim(2)).length >= 1, true);
  await assertPlaces(db);
});

Deno.test("a job that names a resource and a key goes to a holder, and among holders to that of its key", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b, c } = await createTrio(db);
  await hold(db, b, { name: "model" });
  await hold(db, c, { name: "model" });
  const both = { ...needs("model"), affinity: { key: "k" } };
  const [first] = await submit(db, tenant, both);
  const [row] = await db.sql`select worker_id from muster_private.ready_jobs where job_id = ${first.id}`;
  const [holder, other] = row!.worker_id === b.id ? [b, c] : [c, b];
  const [claimed] = await holder.claim(1);
  // The other holder is less loaded now, but the key is here.
  const [second] = await submit(db, tenant, both);
  assert.deepEqual(await other.claim(1), []);
  assert.equal((await holder.claim(1))[0]!.job_id, second.id);
  await release(db, holder, ["model"]);
  const [third] = await submit(db, tenant, both);
  assert.deepEqual(await a.claim(1), []);
  assert.equal((await other.claim(1))[0]!.job_id, third.id);
  await holder.complete([succeeded(claimed!)]);
});

Deno.test("list_resources() shows who holds what, by name and by worker, of the caller's tenant", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createTrio(db);
  const other = await createTenant(db);
  const stranger = await createWorker(db, other);
  await hold(db, a, { name: "model", lease_seconds: 60, size_bytes: 4e9, metadata: { quantized: "q4" } });
  await hold(db, b, { name: "model" }, { name: "session" });
  await hold(db, stranger, { name: "model" });
  const [mine] = await list(db, tenant, { worker_id: a.id });
  const { worker_name: _, ...shown } = mine;
  assert.deepEqual(shown, {
    name: "model",
    worker_id: a.id,
    worker_status: "online",
    lease_seconds: 60,
    size_bytes: 4e9,
    metadata: { quantized: "q4" },
    acquired_at: "2026-01-01T00:00:00.000000Z",
    touched_at: "2026-01-01T00:00:00.000000Z",
    expires_at: "2026-01-01T00:01:00.000000Z",
  });
  assert.equal((await list(db, tenant, { name: "model" })).length, 2);
  assert.equal((await list(db, tenant)).length, 3);
});

Deno.test("a worker holds at most 1,000 resources", async () => {
  await using db = await TestDatabase.create();
  const { a } = await createTrio(db);
  for (let i = 0; i < 10; i++) {
    await hold(db, a, ...Array.from({ length: 100 }, (_, k) => ({ name: `r${i}-${k}` })));
  }
  await refused(hold(db, a, { name: "more" }), "MU015");
  // Those it has it may touch.
  await hold(db, a, { name: "r0-0" });
  await release(db, a, ["r0-0"]);
  await hold(db, a, { name: "more" });
});

Deno.test("resources are refused that are not what they should be", async () => {
  await using db = await TestDatabase.create();
  const { a } = await createTrio(db);
  await eachRefused<unknown>({
    "no array": { name: "model" },
    "too many": Array.from({ length: 101 }, (_, i) => ({ name: `r${i}` })),
    "a text": ["model"],
    "no name": [{}],
    "an empty name": [{ name: "" }],
    "a name that is too long": [{ name: "n".repeat(256) }],
    "a name that is no text": [{ name: 1 }],
    "a lease that is too short": [{ name: "m", lease_seconds: 9 }],
    "a lease that is too long": [{ name: "m", lease_seconds: 604801 }],
    "a negative size": [{ name: "m", size_bytes: -1 }],
    "metadata that is no object": [{ name: "m", metadata: [] }],
    "metadata that is too large": [{ name: "m", metadata: { text: "x".repeat(4096) } }],
    "a field of somebody else": [{ name: "m", tenant_id: crypto.randomUUID() }],
  }, (resources) => db.call(a.actor, "hold_resources", { resources }));
  await eachRefused<Args>({
    "names that are no array": { names: "model" },
    "a name that is no text": { names: [1] },
    "an unknown reason": { names: ["model"], reason: "lost" },
  }, (args) => db.call(a.actor, "release_resources", args));
});
