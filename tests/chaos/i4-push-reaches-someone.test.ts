import assert from "node:assert/strict";
import { createTenant, createWorker, getJob, submit, succeeded } from "../support/actors.ts";
import { Connections, overlap } from "../support/connections.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const tick = (db: TestDatabase): Promise<Answer> => db.call(service, "tick");

async function isDeaf(db: TestDatabase, id: string): Promise<boolean> {
  const [row] = await db.sql`select deaf from muster.worker_devices where id = ${id}`;
  return row!.deaf;
}

Deno.test("a job is pushed in the transaction that stores it, to the least loaded worker that listens", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const small = await createWorker(db, tenant, { listening: true, slots: 2 });
  const large = await createWorker(db, tenant, { listening: true, slots: 4 });
  const jobs = await submit(db, tenant, ...Array(7).fill({}));
  const load = (id: string) => jobs.filter((job) => job.worker_id === id).length;
  assert.deepEqual([load(small.id), load(large.id)], [2, 4]);
  assert.equal(jobs.filter((job) => job.status === "queued").length, 1);
  assert.deepEqual(await violations(db.sql), []);
});

for (
  const [kind, options] of Object.entries({
    "that does not listen": { listening: false },
    "that has not echoed its nonce yet": { online: false },
  })
) {
  Deno.test(`a worker ${kind} is pushed nothing, and gets the job the moment it asks`, async () => {
    await using db = await TestDatabase.create();
    const tenant = await createTenant(db);
    const worker = await createWorker(db, tenant, options);
    if ("online" in options) await worker.hello({ listening: true });
    const [job] = await submit(db, tenant, {});
    await tick(db);
    assert.equal((await getJob(db, tenant, job.id)).status, "queued");
    const [claimed] = await worker.claim();
    assert.equal(claimed!.job_id, job.id);
  });
}

Deno.test("a deaf worker is pushed nothing, is told so, and gets jobs by asking", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  // A new nonce is sent a minute after the last; a minute later its echo is missed.
  for (let beat = 0; beat < 6; beat++) {
    await db.advance(25);
    await tick(db);
    await worker.heartbeat({ listening: true });
  }
  assert.equal((await worker.heartbeat({ listening: true })).deaf, true);
  const [job] = await submit(db, tenant, {});
  assert.equal(job.status, "queued");
  assert.equal((await worker.heartbeat({ listening: true, want: 1 })).jobs[0].job_id, job.id);
});

Deno.test("a pushed job that is not taken up in 5 seconds goes to someone else, and its worker counts as deaf", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const silent = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  const other = await createWorker(db, tenant, { listening: true });
  await db.advance(4);
  assert.equal((await tick(db)).overdue_attempts, 0);
  await db.advance(2);
  assert.equal((await tick(db)).overdue_attempts, 1);
  const moved = await getJob(db, tenant, job.id);
  assert.deepEqual([moved.status, moved.worker_id, moved.attempts], ["assigned", other.id, 2]);
  assert.deepEqual([await isDeaf(db, silent.id), await isDeaf(db, other.id)], [true, false]);
  const [taken] = await other.claim();
  assert.equal((await other.complete([succeeded(taken!)])).outcomes[0].outcome, "accepted");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a worker that was found deaf is pushed jobs again after it echoed a new nonce", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  await submit(db, tenant, {});
  await db.advance(6);
  await tick(db);
  assert.equal(await isDeaf(db, worker.id), true);
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!)]);
  const greeting = await worker.hello({ listening: true });
  await worker.heartbeat({ listening: true, wake_nonce: greeting.wake_nonce });
  assert.equal(await isDeaf(db, worker.id), false);
  const [job] = await submit(db, tenant, {});
  assert.deepEqual([job.status, job.worker_id], ["assigned", worker.id]);
});

Deno.test("a worker that did not take up a push stays deaf while it only repeats an older nonce", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { online: false });
  const { wake_nonce } = await worker.hello({ listening: true });
  await worker.heartbeat({ listening: true, wake_nonce });
  await submit(db, tenant, {});
  await db.advance(6);
  await tick(db);
  assert.equal(await isDeaf(db, worker.id), true);
  await worker.heartbeat({ listening: true });
  assert.equal(await isDeaf(db, worker.id), true, "it echoed nothing");
  await worker.heartbeat({ listening: true, wake_nonce });
  assert.equal(await isDeaf(db, worker.id), true, "the nonce was sent before the push it missed");
});

Deno.test("a job submitted while a tick excuses the idle workers is pushed to one of them all the same", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const tenant = await createTenant(db);
  const idle = await createWorker(db, tenant, { listening: true });
  const beating = await createWorker(db, tenant, { capabilities: [] });
  // Within 10 s of the end of an idle worker's lease, after an outage.
  await db.advance(85, { asOutage: true });
  const [, answer] = await overlap(
    db,
    connections,
    (tx) => tx.call(beating.actor, "heartbeat", { running: [] }),
    (tx) => tx.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test" }] }),
  );
  const job = await getJob(db, tenant, answer.jobs[0].job.id);
  assert.deepEqual([job.status, job.worker_id], ["assigned", idle.id]);
});
