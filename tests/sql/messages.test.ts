import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import { Message } from "../../shared/contracts/messages.ts";
import {
  createTenant,
  createWorker,
  failed,
  sentMessages,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("a batch sends one task.assign to each worker it gives jobs to, however many", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const workers = [
    await createWorker(db, tenant, { slots: 20, listening: true }),
    await createWorker(db, tenant, { slots: 20, listening: true }),
  ];
  await forget(db);

  const jobs = await submit(db, tenant, ...Array.from({ length: 50 }, () => ({})));

  const messages = await sentMessages(db);
  assert.deepEqual(messages.map((m) => m.event), ["task.assign", "task.assign"]);
  assert.deepEqual(
    messages.map((m) => m.topic).sort(),
    workers.map((worker) => channels.workerTasks(worker.id)).sort(),
  );
  const named = messages.flatMap((m) => m.data.jobs.map((job: Answer) => job.jobId));
  assert.equal(named.length, 40);
  assert.equal(new Set(named).size, 40);
  const assigned = jobs.filter((job) => job.status === "assigned").map((job) => job.id);
  assert.deepEqual(named.sort(), assigned.sort());
});

Deno.test("nothing is sent to a worker that does not listen, is deaf or drains", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { slots: 5 });
  const deaf = await createWorker(db, tenant, { slots: 5 });
  await deaf.hello({ slots: 5, capabilities: ["compute/basic"], listening: true });
  const draining = await createWorker(db, tenant, { slots: 5, listening: true });
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: draining.id });
  await forget(db);

  await submit(db, tenant, {}, {}, {});

  assert.deepEqual(await sentMessages(db), []);
});

Deno.test("nothing is sent for jobs that a busy worker takes with its own calls", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  await submit(db, tenant, {});
  let [held] = await worker.claim();
  await submit(db, tenant, {}, {}, {});
  await forget(db);

  for (let n = 0; n < 3; n++) [held] = (await worker.complete([succeeded(held!)], 1)).jobs;
  await worker.complete([succeeded(held!)], 1);

  assert.deepEqual(await sentMessages(db), []);
});

Deno.test("a transaction that is rolled back sends nothing", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { listening: true });
  await forget(db);
  await using tx = await db.transaction();
  await tx.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test", notify: true }] });
  await tx.rollback();
  assert.deepEqual(await sentMessages(db), []);
});

Deno.test("the end of a job is told on its channel and its executor's, if its submitter asked", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { notify: true, correlation_id: "order-7" });
  const [held] = await worker.claim();
  await forget(db);

  await worker.complete([succeeded(held!, { sum: 5 })]);

  const messages = await sentMessages(db);
  assert.deepEqual(
    messages.map((m) => m.topic).sort(),
    [channels.executorTasks(tenant.executorId), channels.job(job.id)].sort(),
  );
  for (const message of messages) {
    assert.equal(message.event, "task.result");
    assert.equal(message.payload.correlationId, "order-7");
    assert.equal(message.payload.attempt, 1);
    const { jobId, status, attempt, result } = message.data;
    assert.deepEqual({ jobId, status, attempt, result }, {
      jobId: job.id,
      status: "succeeded",
      attempt: 1,
      result: { sum: 5 },
    });
  }
});

Deno.test("the end of a job is told to nobody if its submitter did not ask", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await forget(db);
  for (const end of ends) await end(db, tenant, await createWorker(db, tenant), false);
  const told = (await sentMessages(db)).filter((m) => ["task.result", "task.error"].includes(m.event));
  assert.deepEqual(told, []);
});

Deno.test("each way in which a job ends is told, with the error when it did not succeed", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (const end of ends) {
    const worker = await createWorker(db, tenant);
    await forget(db);
    const job = await end(db, tenant, worker, true);
    const message = (await sentMessages(db, channels.job(job.id)))[0];
    assert.ok(message, `${end.name} is told`);
    assert.equal(message.event, end === complete ? "task.result" : "task.error", end.name);
    assert.equal(message.data.status, { complete: "succeeded", cancel: "cancelled" }[end.name] ?? "failed");
    if (end !== complete) assert.equal(typeof message.data.error.message, "string", end.name);
    await worker.complete([], 0);
    await db.call(worker.actor, "goodbye");
  }
});

Deno.test("an attempt that will be retried is not told as an end", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { notify: true });
  const [held] = await worker.claim();
  await forget(db);
  await worker.complete([failed(held!)]);
  assert.deepEqual(await sentMessages(db), []);
});

Deno.test("a result over 64 KiB is left out of its message and stays in the database", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { notify: true });
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!, "x".repeat(70_000))]);
  const [message] = await sentMessages(db, channels.job(job.id));
  assert.equal(message!.event, "task.result");
  assert.ok(!("result" in message!.data));
});

Deno.test("cancelling running jobs sends each of their workers one task.cancel", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const workers = [await createWorker(db, tenant, { slots: 3 }), await createWorker(db, tenant, { slots: 3 })];
  const jobs = await submit(db, tenant, ...Array.from({ length: 7 }, () => ({})));
  const held = await Promise.all(workers.map((worker) => worker.claim(3)));
  await forget(db);

  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: jobs.map((job) => job.id) });

  assert.equal((await sentMessages(db)).length, 2);
  for (const [index, worker] of workers.entries()) {
    const [message] = await sentMessages(db, channels.workerTasks(worker.id));
    assert.equal(message!.event, "task.cancel");
    assert.deepEqual(
      message!.data.jobs.map((job: Answer) => [job.jobId, job.attempt]).sort(),
      held[index]!.map((job) => [job.job_id, 1]).sort(),
    );
  }
});

Deno.test("no payload, no API key and no error of a stack reaches a channel", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const secret = "the-secret-of-the-payload";
  for (const end of ends) {
    const worker = await createWorker(db, tenant, { listening: true });
    await end(db, tenant, worker, true, { payload: { secret } });
    await db.call(worker.actor, "goodbye");
  }
  const messages = await sentMessages(db);
  assert.ok(messages.some((m) => m.event === "task.assign") && messages.some((m) => m.event === "task.result"));
  assert.ok(!JSON.stringify(messages).includes(secret));
  assert.ok(!JSON.stringify(messages).includes(tenant.caller.hash as string));
});

Deno.test("every message is private and has the common envelope", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (const end of ends) {
    const worker = await createWorker(db, tenant, { listening: true });
    await end(db, tenant, worker, true);
    await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
    await db.call(worker.actor, "goodbye");
  }
  const messages = await sentMessages(db);
  assert.deepEqual(
    [...new Set(messages.map((m) => m.event))].sort(),
    ["task.assign", "task.cancel", "task.error", "task.result", "wake", "worker.command"],
  );
  for (const { is_private, event, topic, payload } of messages) {
    assert.ok(is_private, topic);
    assert.equal(payload.type, event);
    Message.parse(payload);
  }
  const ids = messages.map((m) => m.payload.messageId);
  assert.equal(new Set(ids).size, ids.length);
});

Deno.test("drain_worker() and revoke_worker() command the worker, once a call", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await forget(db);
  const caller = { kind: "service", tenant_id: tenant.id };
  await db.call(service, "drain_worker", { caller, worker_id: worker.id });
  await db.call(service, "revoke_worker", { caller, worker_id: worker.id });
  const messages = await sentMessages(db);
  assert.deepEqual(messages.map((m) => m.topic), [channels.workerTasks(worker.id), channels.workerTasks(worker.id)]);
  assert.deepEqual(messages.map((m) => m.data.command).sort(), ["drain", "stop"]);
});

Deno.test("a repeated report of an event is not told again", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { notify: true });
  const [held] = await worker.claim();
  const event = { job_id: held!.job_id, attempt: 1, number: 1, kind: "progress", data: { fraction: 0.5 } };
  await db.call(worker.actor, "report_events", { events: [event] });
  await db.call(worker.actor, "report_events", { events: [event] });
  assert.equal((await sentMessages(db, channels.job(job.id))).length, 1);
});

Deno.test("events of a job are told in one message a call, and only if its submitter asked", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [loud, quiet] = await submit(db, tenant, { notify: true }, {});
  await worker.claim(2);
  await forget(db);
  const eventsOf = (job: Answer) =>
    Array.from({ length: 10 }, (_, n) => (
      { job_id: job.id, attempt: 1, number: n + 1, kind: "log", data: { level: "info", message: `line ${n}` } }
    ));
  await db.call(worker.actor, "report_events", { events: [...eventsOf(loud), ...eventsOf(quiet)] });
  const messages = await sentMessages(db);
  assert.deepEqual(messages.map((m) => m.topic), [channels.job(loud.id)]);
  assert.deepEqual(messages[0]!.data.events.map((event: Answer) => event.number), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

type End = (db: TestDatabase, tenant: TestTenant, worker: TestWorker, notify: boolean, job?: Answer) => Promise<Answer>;

const ends: End[] = [complete, fail, cancel, expire, timeOut, lose];

async function complete(...[db, tenant, worker, notify, job]: Parameters<End>): Promise<Answer> {
  const [submitted] = await submit(db, tenant, { notify, ...job });
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!)]);
  return submitted;
}

async function fail(...[db, tenant, worker, notify, job]: Parameters<End>): Promise<Answer> {
  const [submitted] = await submit(db, tenant, { notify, ...job });
  const [held] = await worker.claim();
  await worker.complete([failed(held!, { retryable: false })]);
  return submitted;
}

async function cancel(...[db, tenant, worker, notify, job]: Parameters<End>): Promise<Answer> {
  const [submitted] = await submit(db, tenant, { notify, ...job });
  await worker.claim();
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [submitted.id] });
  return submitted;
}

async function expire(...[db, tenant, _, notify, job]: Parameters<End>): Promise<Answer> {
  const [submitted] = await submit(db, tenant, { notify, timeout_seconds: 1, requires: ["nobody/has"], ...job });
  await db.advance(2);
  await tick(db);
  return submitted;
}

async function timeOut(...[db, tenant, worker, notify, job]: Parameters<End>): Promise<Answer> {
  const [submitted] = await submit(db, tenant, { notify, max_attempts: 1, attempt_timeout_seconds: 1, ...job });
  await worker.claim();
  await db.advance(2);
  await tick(db);
  return submitted;
}

async function lose(...[db, tenant, worker, notify, job]: Parameters<End>): Promise<Answer> {
  const [submitted] = await submit(db, tenant, { notify, max_attempts: 1, ...job });
  await worker.claim();
  await db.advance(16);
  await tick(db);
  return submitted;
}

async function forget(db: TestDatabase): Promise<void> {
  await db.sql`delete from realtime.messages`;
}
