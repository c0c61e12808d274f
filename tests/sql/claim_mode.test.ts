import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import { JobEnqueued } from "../../shared/contracts/messages.ts";
import {
  createTenant,
  createWorker,
  refusedAsInvalid,
  sentMessages,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

async function createClaimer(db: TestDatabase, tenant: TestTenant, slots = 1): Promise<TestWorker> {
  const worker = await createWorker(db, tenant, { slots, online: false });
  await worker.hello({ mode: "claim", capabilities: ["compute/basic"], slots, listening: true });
  return worker;
}

async function createWorld(workers = 1) {
  const db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const claimers = await Promise.all(Array.from({ length: workers }, () => createClaimer(db, tenant)));
  const calls = async () => (await sentMessages(db, channels.workerWakeup(tenant.id)));
  return { db, tenant, claimers, calls, [Symbol.asyncDispose]: () => db[Symbol.asyncDispose]() };
}

Deno.test("a worker in claim mode is pushed nothing and called once for many jobs, and so are all of the tenant", async () => {
  await using world = await createWorld(3);
  const { db, tenant, claimers, calls } = world;
  const jobs = await submit(db, tenant, ...Array.from({ length: 10 }, () => ({})));
  assert.ok(jobs.every(({ status }) => status === "queued"));
  const messages = await sentMessages(db);
  assert.deepEqual(messages.map(({ topic, event }) => [topic, event]), [[
    channels.workerWakeup(tenant.id),
    "job_enqueued",
  ]]);
  assert.equal(messages[0]!.data.queue, null);
  assert.ok(jobs.some(({ id }) => id === messages[0]!.data.job_id));
  JobEnqueued.parse(messages[0]!.payload);

  for (const claimer of claimers) assert.equal((await claimer.claim(1)).length, 1);
  await submit(db, tenant, {});
  assert.equal((await calls()).length, 1, "all are busy");
});

Deno.test("they are called once a second at most, and by the tick for what came in between", async () => {
  await using world = await createWorld(2);
  const { db, tenant, calls } = world;
  await submit(db, tenant, {});
  await db.advance(0.9);
  await submit(db, tenant, {});
  assert.equal((await calls()).length, 1);
  await db.advance(0.1);
  await submit(db, tenant, {});
  assert.equal((await calls()).length, 2);
  await db.advance(0.5);
  await tick(db);
  assert.equal((await calls()).length, 2);
  await db.advance(0.5);
  await tick(db);
  assert.equal((await calls()).length, 3);
});

Deno.test("they are not called for what only a cordoned one of them could take, until it is free again", async () => {
  await using world = await createWorld(1);
  const { db, tenant, claimers, calls } = world;
  const operate = (name: string) => db.call(service, name, { caller: tenant.caller, worker_id: claimers[0]!.id });
  await operate("cordon_worker");
  await submit(db, tenant, {});
  assert.deepEqual(await calls(), []);
  await operate("uncordon_worker");
  await tick(db);
  assert.equal((await calls()).length, 1);
});

Deno.test("they are not called for what they cannot do, what a listening worker was given, or while none is there", async () => {
  await using world = await createWorld(1);
  const { db, tenant, claimers, calls } = world;
  await submit(db, tenant, { requires: ["gpu/cuda"] });
  const listener = await createWorker(db, tenant, { listening: true });
  const [given] = await submit(db, tenant, {});
  assert.equal(given.status, "assigned");
  assert.deepEqual(await calls(), []);
  await db.call(claimers[0]!.actor, "goodbye");
  await submit(db, tenant, {});
  assert.deepEqual(await calls(), []);
  // With a slot free again the listening one takes it, without a call.
  const [held] = await listener.claim();
  await listener.complete([succeeded(held!)], 1);
  assert.deepEqual(await calls(), []);
});

Deno.test("another tenant's workers are not called", async () => {
  await using world = await createWorld(1);
  const { db } = world;
  const other = await createTenant(db);
  await submit(db, other, {});
  await tick(db);
  assert.deepEqual(await sentMessages(db, channels.workerWakeup(other.id)), []);
  assert.deepEqual(await world.calls(), []);
});

Deno.test("a job that is tried again calls them, and so does one whose time has come", async () => {
  await using world = await createWorld(1);
  const { db, tenant, calls } = world;
  await submit(db, tenant, { run_at: new Date((await db.now()).getTime() + 10_000).toISOString() });
  await tick(db);
  assert.deepEqual(await calls(), []);
  await db.advance(10);
  await tick(db);
  assert.equal((await calls()).length, 1);
});

Deno.test("who is about to call is not waited for", async () => {
  await using world = await createWorld(1);
  const { db, tenant, claimers: [worker], calls } = world;
  // What makes a class is waited for.
  await submit(db, tenant, {});
  const [held] = await worker!.claim();
  await worker!.complete([succeeded(held!)]);
  await db.sql`delete from realtime.messages`;
  await db.advance(1);
  const first = await db.transaction();
  await first.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test" }] });
  await submit(db, tenant, {});
  assert.deepEqual(await calls(), []);
  await first.commit();
  assert.equal((await calls()).length, 1);
});

Deno.test("a worker changes its mode with a hello, and says which it is in", async () => {
  await using world = await createWorld(1);
  const { db, tenant, claimers: [worker], calls } = world;
  const modeOf = async () =>
    (await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker!.id })).mode;
  assert.equal(await modeOf(), "claim");
  const { wake_nonce } = await worker!.hello({ capabilities: ["compute/basic"], listening: true });
  await worker!.heartbeat({ listening: true, wake_nonce });
  assert.equal(await modeOf(), "push");
  const [job] = await submit(db, tenant, {});
  assert.equal(job.status, "assigned");
  assert.deepEqual(await calls(), []);
  await refusedAsInvalid(worker!.hello({ mode: "pull" }));
});

Deno.test("jobs and workers in claim mode find each other with every call lost, by polling alone", async () => {
  await using world = await createWorld(3);
  const { db, tenant, claimers } = world;
  const jobs = await submit(db, tenant, ...Array.from({ length: 9 }, () => ({})));
  const done = new Set<string>();
  for (let round = 0; round < 3; round += 1) {
    const held = (await Promise.all(claimers.map((worker) => worker.claim(1)))).flat();
    await Promise.all(claimers.map((worker, n) => worker.complete([succeeded(held[n]!)])));
    for (const { job_id } of held) done.add(job_id);
  }
  assert.equal(done.size, jobs.length);
});
