import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import { createTenant, createWorker, eachRefused, getJob, refused, sentMessages, submit } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("hello() brings a worker online and tells it its channels, intervals and the time", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { online: false });
  const answer = await worker.hello({ slots: 3, capabilities: ["compute/basic", "gpu/a100"], version: "1.2.3" });
  assert.equal(answer.worker_id, worker.id);
  assert.equal(answer.tenant_id, tenant.id);
  assert.deepEqual([answer.status, answer.slots], ["online", 3]);
  assert.deepEqual(answer.capabilities, ["compute/basic", "gpu/a100"]);
  assert.deepEqual(answer.channels, {
    tasks: channels.workerTasks(worker.id),
    events: channels.workerEvents(worker.id),
    presence: channels.fleetPresence(tenant.id),
  });
  assert.deepEqual([answer.heartbeat_seconds, answer.idle_heartbeat_seconds], [5, 30]);
  assert.equal(answer.server_time, "2026-01-01T00:00:00.000000Z");
  assert.deepEqual([answer.stop, answer.jobs], [[], []]);
});

Deno.test("hello() sends a wake whose nonce it answers, and pushes nothing until the nonce is echoed", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { online: false });
  const { wake_nonce } = await worker.hello({ slots: 3, listening: true });
  const messages = await sentMessages(db, channels.workerTasks(worker.id));
  assert.deepEqual(messages.map((m) => [m.event, m.data]), [["wake", { nonce: wake_nonce }]]);
  assert.equal((await submit(db, tenant, {}))[0].status, "queued");
  await worker.heartbeat({ listening: true, wake_nonce: "not the nonce" });
  assert.equal((await submit(db, tenant, {}))[0].status, "queued");
  await worker.heartbeat({ listening: true, wake_nonce });
  assert.equal((await submit(db, tenant, {}))[0].status, "assigned");
});

Deno.test("hello() takes from a worker that came back without its jobs, and lets another have them at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [kept, forgotten] = await submit(db, tenant, {}, {});
  const held = await worker.claim(2);
  const answer = await worker.hello({ slots: 2 }, held.filter((job) => job.job_id === kept.id));
  assert.deepEqual(answer.stop, []);
  assert.equal((await getJob(db, tenant, kept.id)).status, "running");
  assert.equal((await getJob(db, tenant, forgotten.id)).status, "queued");
  const [again] = await (await createWorker(db, tenant)).claim();
  assert.deepEqual([again!.job_id, again!.attempt], [forgotten.id, 2]);
});

Deno.test("hello() tells a worker to stop what is not its own any more", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant, { slots: 3 });
  const [gone, moved] = await submit(db, tenant, {}, {});
  const [foreign] = await submit(db, other, {});
  const held = await worker.claim(2);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [gone.id] });
  await db.call(worker.actor, "goodbye");
  const [taken] = await (await createWorker(db, tenant)).claim();
  assert.equal(taken!.job_id, moved.id);
  const unknown = { job_id: crypto.randomUUID(), attempt: 1 };
  const { stop } = await worker.hello({}, [...held, unknown, { job_id: foreign.id, attempt: 1 }]);
  const reasons = Object.fromEntries(stop.map((each: Answer) => [each.job_id, each.reason]));
  assert.deepEqual(reasons, {
    [gone.id]: "cancelled",
    [moved.id]: "replaced",
    [unknown.job_id]: "unknown",
    [foreign.id]: "unknown",
  });
});

Deno.test("hello() hands over what was pushed to the worker while it was away", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const [job] = await submit(db, tenant, { payload: { n: 1 } });
  assert.equal(job.status, "assigned");
  const { jobs } = await worker.hello({ listening: true });
  assert.deepEqual(jobs.map((each: Answer) => [each.job_id, each.attempt, each.payload]), [[job.id, 1, { n: 1 }]]);
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
});

Deno.test("hello() cuts capabilities to what the enrollment token allows and keeps the labels it granted", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { online: false });
  await db
    .sql`update muster.worker_devices set allowed_capabilities = '{compute/basic}', granted_labels = '{"site": "lab"}'`;
  const answer = await worker.hello({
    capabilities: ["gpu/a100", "compute/basic"],
    labels: { site: "home", os: "linux" },
  });
  assert.deepEqual(answer.capabilities, ["compute/basic"]);
  assert.deepEqual(answer.labels, { site: "lab", os: "linux" });
});

Deno.test("hello() makes new capabilities and labels count for jobs that wait already", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { requires: ["gpu/a100"], labels: { os: "linux" } });
  assert.deepEqual(await worker.claim(), []);
  await worker.hello({ capabilities: ["gpu/a100"] });
  assert.deepEqual(await worker.claim(), []);
  await worker.hello({ labels: { os: "linux" } });
  assert.equal((await worker.claim()).length, 1);
  await worker.hello({ capabilities: [], labels: {} });
  await submit(db, tenant, { requires: ["gpu/a100"] });
  assert.deepEqual(await worker.claim(), []);
});

Deno.test("hello() keeps what it is not told anew", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 4, capabilities: ["a"], labels: { os: "linux" } });
  const answer = await worker.hello({});
  assert.deepEqual([answer.slots, answer.capabilities, answer.labels], [4, ["a"], { os: "linux" }]);
});

Deno.test("hello() of a worker that an operator drains brings it back draining", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  await db.call(worker.actor, "goodbye");
  assert.equal((await worker.hello()).status, "draining");
  await submit(db, tenant, {});
  assert.deepEqual(await worker.claim(), []);
});

Deno.test("hello() refuses fewer slots than the worker holds jobs with slots_exceeded", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, {}, {}, {});
  const held = await worker.claim(3);
  const error = await refused(worker.hello({ slots: 2 }, held), "MU007");
  assert.ok(error.hint);
  assert.equal((await worker.hello({ slots: 3 }, held)).slots, 3);
});

Deno.test("hello() refuses misuse and leaves the worker as it was", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2, labels: { os: "linux" } });
  const before = await db.sql`select * from muster.worker_devices`;
  const many = (length: number) => Array.from({ length }, (_, n) => `c${n}`);
  const bad: Record<string, unknown> = {
    "null": null,
    "an array": [],
    "a string": "x",
    "zero slots": { slots: 0 },
    "negative slots": { slots: -1 },
    "257 slots": { slots: 257 },
    "half a slot": { slots: 1.5 },
    "slots in words": { slots: "two" },
    "101 capabilities": { capabilities: many(101) },
    "10,000 capabilities": { capabilities: many(10_000) },
    "a capability that is empty": { capabilities: [""] },
    "a capability in capitals": { capabilities: ["GPU"] },
    "a capability with a space": { capabilities: ["a b"] },
    "a capability of 101 characters": { capabilities: ["a".repeat(101)] },
    "a capability with a line end": { capabilities: ["a\n"] },
    "a capability that is null": { capabilities: [null] },
    "capabilities as one string": { capabilities: "compute/basic" },
    "capabilities as an object": { capabilities: {} },
    "labels as an array": { labels: ["a"] },
    "labels as a string": { labels: "a" },
    "51 labels": { labels: Object.fromEntries(many(51).map((key) => [key, "x"])) },
    "a label key of 64 characters": { labels: { ["k".repeat(64)]: "x" } },
    "a label value of 256 characters": { labels: { k: "x".repeat(256) } },
    "a label value that is no text": { labels: { k: { deep: [1] } } },
    "a session id that is no UUID": { session_id: "x" },
    "listening that is no boolean": { listening: "loudly" },
    "a version with NUL": { version: "\u0000" },
  };
  await eachRefused(bad, (value) => db.call(worker.actor, "hello", { worker: value, running: [] }));
  const badRunning: Record<string, unknown> = {
    "running as an object": {},
    "running as a string": "x",
    "running an id that is no UUID": [{ job_id: "x", attempt: 1 }],
    "an attempt that is no number": [{ job_id: crypto.randomUUID(), attempt: "x" }],
    "strings": ["x"],
    "10,000 attempts": Array.from({ length: 10_000 }, () => ({ job_id: crypto.randomUUID(), attempt: 1 })),
  };
  await eachRefused(badRunning, (running) => db.call(worker.actor, "hello", { worker: {}, running }));
  assert.deepEqual(await db.sql`select * from muster.worker_devices`, before);
});
