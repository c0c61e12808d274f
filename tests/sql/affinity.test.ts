import assert from "node:assert/strict";
import {
  createTenant,
  createWorker,
  eachRefused,
  failed,
  getJob,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

type Affinity = { key: string; mode?: "soft" | "hard"; wait_seconds?: number; keep_seconds?: number };

/** Runs one job to its end on the worker; what it was wanted to be is asserted. */
async function run(worker: TestWorker, expected: string): Promise<void> {
  const [job] = await worker.claim();
  assert.equal(job?.job_id, expected);
  assert.equal((await worker.complete([succeeded(job!)])).outcomes[0].outcome, "accepted");
}

async function assertPlaces(db: TestDatabase): Promise<void> {
  assert.deepEqual((await db.sql`select muster_private.check_places() as problem`).map(({ problem }) => problem), []);
}

async function createPair(db: TestDatabase, options: Parameters<typeof createWorker>[2] = {}) {
  const tenant = await createTenant(db);
  const [a, b] = [await createWorker(db, tenant, options), await createWorker(db, tenant, options)];
  return { tenant, a, b };
}

/** So that jobs of the class need not wait for each other over making it. */
async function makeClass(db: TestDatabase, tenant: TestTenant): Promise<void> {
  const [job] = await submit(db, tenant, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
}

const soft = (key: string, more: Partial<Affinity> = {}) => ({ affinity: { key, ...more } });
const hard = (key: string, more: Partial<Affinity> = {}) => ({ affinity: { key, mode: "hard", ...more } });

function operate(db: TestDatabase, tenant: TestTenant, name: string, args: Args): Promise<Answer> {
  return db.call(service, name, { caller: tenant.caller, ...args });
}

Deno.test("a job with a soft affinity goes to the worker that had the last job of its key", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [first] = await submit(db, tenant, soft("session"));
  assert.equal(first.status, "queued");
  await run(b, first.id);
  const [second] = await submit(db, tenant, soft("session"));
  assert.deepEqual(await a.claim(), []);
  await run(b, second.id);
  // Another key is another matter.
  const [other] = await submit(db, tenant, soft("other"));
  await run(a, other.id);
  await assertPlaces(db);
});

Deno.test("a job with a soft affinity goes to anybody when its worker is busy, unless it says how long to wait", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  await run(b, (await submit(db, tenant, soft("session")))[0].id);
  const [blocker] = await submit(db, tenant, soft("session"));
  const [held] = await b.claim();
  assert.equal(held!.job_id, blocker.id);
  const [hasty] = await submit(db, tenant, soft("session"));
  const [taken] = await a.claim();
  assert.equal(taken!.job_id, hasty.id);
  await a.complete([succeeded(taken!)]);
  // The key is now a's, which had the latest job of it.
  const [next] = await submit(db, tenant, soft("session"));
  const [own] = await a.claim();
  assert.equal(own!.job_id, next.id);

  const [patient] = await submit(db, tenant, soft("session", { wait_seconds: 60 }));
  await b.complete([succeeded(held!)]);
  assert.deepEqual(await b.claim(), []);
  for (let seconds = 0; seconds <= 60; seconds += 10) {
    await db.advance(10);
    await a.heartbeat({ running: [{ job_id: own!.job_id, attempt: own!.attempt }] });
    await b.heartbeat();
  }
  await tick(db);
  await run(b, patient.id);
  await assertPlaces(db);
});

Deno.test("a wanted worker that does not take a job up within two seconds loses it to anybody", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  await run(b, (await submit(db, tenant, soft("session")))[0].id);
  const [job] = await submit(db, tenant, soft("session"));
  assert.deepEqual(await a.claim(), []);
  await db.advance(3);
  await tick(db);
  await run(a, job.id);
});

Deno.test("many jobs of one soft key fill their worker and leave the rest to others", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 2 });
  await run(b, (await submit(db, tenant, soft("session")))[0].id);
  const jobs = await submit(db, tenant, ...Array.from({ length: 5 }, () => soft("session")));
  assert.deepEqual((await a.claim(2)).map(({ job_id }) => job_id), [jobs[2].id, jobs[3].id]);
  assert.deepEqual((await b.claim(2)).map(({ job_id }) => job_id), [jobs[0].id, jobs[1].id]);
});

Deno.test("a job with a soft affinity is pushed to its worker, not to the least loaded", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 3, listening: true });
  const [first] = await submit(db, tenant, soft("session"));
  const owner = first.worker_id;
  assert.ok([a.id, b.id].includes(owner));
  // The other one is less loaded from now on.
  const [second] = await submit(db, tenant, soft("session"));
  const [third] = await submit(db, tenant, soft("session"));
  assert.deepEqual([second.worker_id, third.worker_id], [owner, owner]);
  const [plain] = await submit(db, tenant, {});
  assert.notEqual(plain.worker_id, owner);
  await assertPlaces(db);
});

Deno.test("a job with a soft affinity waits for nobody who is gone, draining or cordoned", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const waiting = async () => {
    await run(b, (await submit(db, tenant, soft("session", { wait_seconds: 3600 })))[0].id);
    return (await submit(db, tenant, soft("session", { wait_seconds: 3600 })))[0].id;
  };
  const cordoned = await waiting();
  await operate(db, tenant, "cordon_worker", { worker_id: b.id });
  await run(a, cordoned);
  await operate(db, tenant, "uncordon_worker", { worker_id: b.id });

  await db.sql`delete from muster.affinities`;
  const drained = await waiting();
  await operate(db, tenant, "drain_worker", { worker_id: b.id });
  await run(a, drained);
  await operate(db, tenant, "resume_worker", { worker_id: b.id });

  await db.sql`delete from muster.affinities`;
  const left = await waiting();
  await db.call(b.actor, "goodbye");
  await run(a, left);
  await assertPlaces(db);
});

Deno.test("the worker of a key is forgotten once it was not used for as long as the key is kept", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  await run(b, (await submit(db, tenant, soft("session", { keep_seconds: 30 })))[0].id);
  await db.advance(31);
  const [job] = await submit(db, tenant, soft("session"));
  await run(a, job.id);
  await db.advance(3601);
  await tick(db);
  assert.deepEqual([...await db.sql`select from muster.affinities`], []);
});

Deno.test("a job with a hard affinity waits for its worker while that is busy or away, and goes nowhere else", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [first] = await submit(db, tenant, hard("session"));
  const [holder] = [...await db.sql`select worker_id from muster_private.ready_jobs where job_id = ${first.id}`];
  const [owner, other] = holder!.worker_id === a.id ? [a, b] : [b, a];
  assert.deepEqual(await other.claim(), []);
  const [held] = await owner.claim();
  assert.equal(held!.job_id, first.id);
  const [second] = await submit(db, tenant, hard("session"));
  assert.deepEqual(await other.claim(), []);
  await owner.complete([succeeded(held!)]);
  await db.call(owner.actor, "goodbye");
  await db.advance(600);
  await other.heartbeat();
  await tick(db);
  assert.deepEqual(await other.claim(), []);
  assert.equal((await getJob(db, tenant, second.id)).status, "queued");
  await owner.hello();
  await run(owner, second.id);
  await assertPlaces(db);
});

Deno.test("the jobs of many hard keys spread over the workers", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 10 });
  await submit(db, tenant, ...["k1", "k2", "k3", "k4", "k1", "k2"].map((key) => hard(key)));
  const keys = async (worker: TestWorker) => {
    const ids = (await worker.claim(10)).map(({ job_id }) => job_id);
    const rows = await db.sql`select policy -> 'affinity' ->> 'key' as key from muster.jobs where id = any (${ids})`;
    return rows.map(({ key }) => key as string);
  };
  const [ofA, ofB] = [await keys(a), await keys(b)];
  assert.deepEqual([new Set(ofA).size, new Set(ofB).size, ofA.length + ofB.length], [2, 2, 6]);
  assert.ok(!ofA.some((key) => ofB.includes(key)));
});

Deno.test("a job with a hard affinity that no worker fits is blocked until one comes", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant);
  const [job, twin] = await submit(db, tenant, { ...hard("k"), requires: ["gpu"] }, {
    ...hard("k"),
    requires: ["gpu"],
  });
  assert.deepEqual([job.status, job.waiting_for], ["blocked", "affinity"]);
  await tick(db);
  assert.equal((await getJob(db, tenant, job.id)).status, "blocked");
  const gpu = await createWorker(db, tenant, { capabilities: ["gpu"] });
  assert.equal((await getJob(db, tenant, job.id)).status, "queued");
  await createWorker(db, tenant, { capabilities: ["gpu"] });
  await run(gpu, job.id);
  await run(gpu, twin.id);
  await assertPlaces(db);
});

Deno.test("a job that waits for a worker can be cancelled, expires, and keeps its place with its concurrency key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const held = { ...hard("k"), requires: ["gpu"], concurrency_key: "one" };
  const [first, second] = await submit(db, tenant, { ...held, timeout_seconds: 60 }, { concurrency_key: "one" });
  assert.deepEqual([first.waiting_for, second.waiting_for], ["affinity", "concurrency"]);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.id] });
  assert.equal((await getJob(db, tenant, second.id)).status, "queued");
  await run(worker, second.id);
  const [third] = await submit(db, tenant, { ...held, timeout_seconds: 60 });
  await db.advance(61);
  await tick(db);
  assert.deepEqual((await getJob(db, tenant, third.id)).error.code, "expired");
  await assertPlaces(db);
});

Deno.test("hard jobs of a worker that was revoked, or forgotten with its key, go to another, all to the same", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 2 });
  const jobs = await submit(db, tenant, hard("k"), hard("k"));
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [owner, heir] = row!.worker_id === a.id ? [a, b] : [b, a];
  await operate(db, { ...tenant, caller: { kind: "service", tenant_id: tenant.id } }, "revoke_worker", {
    worker_id: owner.id,
  });
  assert.deepEqual((await heir.claim(2)).map(({ job_id }) => job_id), jobs.map(({ id }) => id));
  await assertPlaces(db);
});

Deno.test("hard jobs leave a worker that stays away for longer than their key is kept", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [job] = await submit(db, tenant, hard("k", { keep_seconds: 300 }));
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [owner, other] = row!.worker_id === a.id ? [a, b] : [b, a];
  await db.call(owner.actor, "goodbye");
  await db.advance(200);
  await other.heartbeat();
  await tick(db);
  assert.deepEqual(await other.claim(), []);
  await db.advance(60);
  await other.heartbeat();
  await db.advance(60);
  await other.heartbeat();
  await tick(db);
  await run(other, job.id);
});

Deno.test("a hard job stays with a worker that is online, however long the queue there is", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [first, second] = await submit(db, tenant, hard("k", { keep_seconds: 20 }), hard("k", { keep_seconds: 20 }));
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [owner, other] = row!.worker_id === a.id ? [a, b] : [b, a];
  const [held] = await owner.claim();
  assert.equal(held!.job_id, first.id);
  for (let i = 0; i < 6; i++) {
    await db.advance(10);
    await owner.heartbeat({ running: [{ job_id: held!.job_id, attempt: held!.attempt }] });
    await other.heartbeat();
    await tick(db);
  }
  assert.deepEqual(await other.claim(), []);
  await owner.complete([succeeded(held!)]);
  await run(owner, second.id);
});

Deno.test("a retried job with an affinity is tried again where it belongs", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  await submit(db, tenant, { ...hard("k"), retry_base_seconds: 1 });
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [owner, other] = row!.worker_id === a.id ? [a, b] : [b, a];
  const [held] = await owner.claim();
  await owner.complete([failed(held!)]);
  await db.advance(2);
  await tick(db);
  assert.deepEqual(await other.claim(), []);
  const [again] = await owner.claim();
  assert.deepEqual([again!.job_id, again!.attempt], [held!.job_id, 2]);
});

Deno.test("a job of a worker that is lost goes to another at once where its affinity is soft, and waits where it is hard", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 2 });
  await submit(db, tenant, hard("k"));
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [owner, other] = row!.worker_id === a.id ? [a, b] : [b, a];
  const [sticky] = await owner.claim();
  const [loose] = await submit(db, tenant, soft("k", { wait_seconds: 3600 }));
  assert.equal((await owner.claim())[0]!.job_id, loose.id);
  await db.advance(14);
  await other.heartbeat();
  await db.advance(14);
  await other.heartbeat();
  await tick(db);
  assert.deepEqual((await other.claim(2)).map(({ job_id }) => job_id), [loose.id]);
  await owner.hello({ slots: 2 });
  assert.deepEqual((await owner.claim(2)).map(({ job_id, attempt }) => [job_id, attempt]), [[sticky!.job_id, 2]]);
  await assertPlaces(db);
});

Deno.test("a soft job that went elsewhere does not move the worker of a hard key", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db);
  const [first] = await submit(db, tenant, hard("k"));
  const [row] = await db.sql`select worker_id from muster.affinities`;
  const [owner, other] = row!.worker_id === a.id ? [a, b] : [b, a];
  const [held] = await owner.claim();
  assert.equal(held!.job_id, first.id);
  await submit(db, tenant, soft("k"));
  assert.equal((await other.claim()).length, 1);
  const [now] = await db.sql`select worker_id from muster.affinities`;
  assert.equal(now!.worker_id, owner.id);
});

Deno.test("concurrent first jobs of one hard key end on one worker", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 2 });
  await makeClass(db, tenant);
  const args = { caller: tenant.caller, jobs: [{ type: "test", ...hard("k") }] };
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "submit_jobs", args);
  const waiting = second.call(service, "submit_jobs", args);
  await db.untilBlocked(second.pid);
  await first.commit();
  await waiting;
  await second.commit();
  const rows = await db.sql`select distinct worker_id from muster_private.ready_jobs`;
  assert.equal(rows.length, 1);
  const owner = rows[0]!.worker_id === a.id ? a : b;
  assert.equal((await owner.claim(2)).length, 2);
});

Deno.test("a transaction that has keys already waits for no more of them, and what it did not get goes on with the tick", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { slots: 4 });
  await makeClass(db, tenant);
  const job = (key: string) => ({ caller: tenant.caller, jobs: [{ type: "test", ...hard(key) }] });
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "submit_jobs", job("x"));
  await second.call(service, "submit_jobs", job("y"));
  // Each wants what the other one has: who asks a second time does not wait.
  const { jobs: [{ job: passed }] } = await first.call(service, "submit_jobs", job("y"));
  assert.deepEqual([passed.status, passed.waiting_for], ["blocked", "affinity"]);
  await second.call(service, "submit_jobs", job("x"));
  await first.commit();
  await second.commit();
  await tick(db);
  const claimed = [await a.claim(4), await b.claim(4)].map((jobs) => jobs.map(({ job_id }) => job_id));
  assert.equal(claimed.flat().length, 4);
  for (const ids of claimed) {
    const rows = await db.sql`
      select policy -> 'affinity' ->> 'key' as key, count(*)::int from muster.jobs where id = any (${ids}) group by 1`;
    assert.ok(rows.every(({ count }) => count === 2));
  }
  await assertPlaces(db);
});

Deno.test("a claim does not wait for a key that a submission has in hand", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [job] = await submit(db, tenant, hard("k"));
  await using other = await db.transaction();
  await other.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test", ...hard("k") }] });
  // The submission has the tenant lock, too, as it may have to push: a worker with something to do does not ask for it.
  const [claimed] = await worker.claim(1);
  assert.equal(claimed!.job_id, job.id);
  await other.commit();
  assert.equal((await worker.claim(1)).length, 1);
});

Deno.test("hard jobs of a worker whose labels changed wait for it, and others choose anew", async () => {
  await using db = await TestDatabase.create();
  const { tenant, a, b } = await createPair(db, { labels: { site: "lab" } });
  await submit(db, tenant, { ...soft("s", { wait_seconds: 600 }), labels: { site: "lab" } });
  const [held] = await b.claim();
  await b.complete([succeeded(held!)]);
  const [job] = await submit(db, tenant, { ...soft("s", { wait_seconds: 600 }), labels: { site: "lab" } });
  assert.deepEqual(await a.claim(), []);
  await b.hello({ labels: { site: "home" } });
  await run(a, job.id);
});

Deno.test("jobs are refused whose affinity or resource reference is not what it should be", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await eachRefused({
    "an affinity that is no object": { affinity: "k" },
    "an affinity without a key": { affinity: { mode: "hard" } },
    "an empty key": { affinity: { key: "" } },
    "a key that is too long": { affinity: { key: "k".repeat(256) } },
    "a number as a key": { affinity: { key: 1 } },
    "an unknown mode": { affinity: { key: "k", mode: "firm" } },
    "a mode that is no text": { affinity: { key: "k", mode: { hard: true } } },
    "a negative wait": { affinity: { key: "k", wait_seconds: -1 } },
    "a text as a wait": { affinity: { key: "k", wait_seconds: "1" } },
    "a key that is kept for no time": { affinity: { key: "k", keep_seconds: 0 } },
    "a key that is kept for too long": { affinity: { key: "k", keep_seconds: 604801 } },
    "an unknown field": { affinity: { key: "k", worker_id: crypto.randomUUID() } },
    "a reference that is no object": { resource_ref: ["m"] },
    "a reference without a name": { resource_ref: {} },
    "a reference with a field of affinities": { resource_ref: { name: "m", keep_seconds: 5 } },
  }, (job) => submit(db, tenant, job));
  // Null is as good as nothing; a worker cannot be named by who submits.
  const [job] = await submit(db, tenant, { affinity: null, resource_ref: null, bound_to: crypto.randomUUID() });
  assert.deepEqual([job.status, job.affinity, job.bound_to], ["queued", undefined, undefined]);
});
