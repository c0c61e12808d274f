import assert from "node:assert/strict";
import {
  auditEntries,
  createTenant,
  createWorker,
  eachRefused,
  failed,
  getJob,
  refused,
  sentMessages,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase, until } from "../support/database.ts";
import { Queue, setClockToRealTime } from "../support/pgmq.ts";

/** A tenant, and a queue of its own whose messages become jobs of type `mail.send`. */
async function createWorld(options: Args = {}) {
  const db = await TestDatabase.create();
  await setClockToRealTime(db);
  const tenant = await createTenant(db);
  const queue = await Queue.create(db.sql);
  await bridge(db, tenant, queue, options);
  return { db, tenant, queue, [Symbol.asyncDispose]: () => db[Symbol.asyncDispose]() };
}

function bridge(db: TestDatabase, tenant: TestTenant, queue: Queue, options: Args = {}): Promise<Answer> {
  return db.call(service, "bridge_queue", {
    queue: queue.name,
    type: "mail.send",
    options: { tenant_id: tenant.id, ...options },
  });
}

async function jobsOf(db: TestDatabase, tenant: TestTenant): Promise<Answer[]> {
  const rows = await db.sql`select id from muster.jobs where tenant_id = ${tenant.id} order by position`;
  return await Promise.all(rows.map(({ id }) => getJob(db, tenant, id)));
}

Deno.test("bridge_queue() makes a job of each message, with the options of the bridge and the headers' correlation", async () => {
  await using world = await createWorld({
    requires: ["mail/smtp"],
    priority: 7,
    concurrency_key: "smtp",
    max_attempts: 2,
  });
  const { db, tenant, queue } = world;
  await db.sql`select * from pgmq.send(${queue.name}, '{"to": "ada"}', '{"correlation_id": "order 7", "x": 1}'::jsonb)`;
  const ids = await queue.send([1, 2], "text", null);
  assert.deepEqual(ids, [2, 3, 4]);

  const jobs = await jobsOf(db, tenant);
  assert.deepEqual(jobs.map(({ payload }) => payload), [{ to: "ada" }, [1, 2], "text", null]);
  assert.deepEqual(jobs.map(({ message }) => message), [1, 2, 3, 4].map((id) => ({ queue: queue.name, id })));
  assert.deepEqual(jobs.map(({ status }) => status), ["queued", "blocked", "blocked", "blocked"]);
  const { type, requires, priority, max_attempts, correlation_id, executor_id } = jobs[0];
  assert.deepEqual(
    { type, requires, priority, max_attempts, correlation_id, executor_id },
    {
      type: "mail.send",
      requires: ["mail/smtp"],
      priority: 7,
      max_attempts: 2,
      correlation_id: "order 7",
      executor_id: null,
    },
  );
});

Deno.test("a message is pushed to an idle worker in the transaction that sent it, archived when its job succeeds, and seen by no reader meanwhile", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant, { listening: true });
  await queue.send({ to: "ada" });

  const [job] = await jobsOf(db, tenant);
  assert.equal(job.status, "assigned");
  assert.equal((await sentMessages(db)).at(-1)!.event, "task.assign");
  assert.deepEqual(await queue.read(), []);
  const [held] = await worker.claim();
  assert.deepEqual(held!.payload, { to: "ada" });
  await db.advance(3600);
  assert.deepEqual(await queue.read(), []);
  await worker.heartbeat({ running: [held] });
  const { outcomes } = await worker.complete([succeeded(held!)]);
  assert.equal(outcomes[0].outcome, "accepted");

  assert.deepEqual(await queue.waiting(), []);
  assert.deepEqual(await queue.archived(), [
    { id: 1, message: { to: "ada" }, headers: { muster: { jobId: job.id, status: "succeeded" } } },
  ]);
  assert.deepEqual([...await db.sql`select * from muster_private.queue_messages`], []);
});

Deno.test("a message whose job failed for good is archived with that outcome; while it is tried again it stays", async () => {
  await using world = await createWorld({ max_attempts: 2, retry_base_seconds: 0, retry_cap_seconds: 0 });
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant);
  await db.sql`select * from pgmq.send(${queue.name}, '{}', '{"tried": "once"}'::jsonb)`;
  const [first] = await worker.claim();
  await worker.complete([failed(first!)]);
  assert.equal((await queue.waiting()).length, 1);
  const [second] = await worker.claim();
  await worker.complete([failed(second!, { code: "no_such_address" })]);

  const [job] = await jobsOf(db, tenant);
  assert.equal(job.status, "failed");
  assert.deepEqual(await queue.archived(), [{
    id: 1,
    message: {},
    headers: { tried: "once", muster: { jobId: job.id, status: "failed", error: "no_such_address" } },
  }]);
});

Deno.test("a message that is sent with a delay is a job scheduled for then", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  await db.sql`select * from pgmq.send(${queue.name}, '{}', 3600)`;
  const [job] = await jobsOf(db, tenant);
  assert.equal(job.status, "scheduled");
  assert.ok(Math.abs(Date.parse(job.run_at) - Date.now() - 3_600_000) < 300_000, job.run_at);
  assert.deepEqual(await queue.read(), []);
  await db.advance(3700);
  await tick(db);
  assert.equal((await jobsOf(db, tenant))[0].status, "queued");
});

Deno.test("messages that are in the queue already are taken over, once, and become visible again when the bridge ends before they are jobs", async () => {
  await using db = await TestDatabase.create();
  await setClockToRealTime(db);
  const tenant = await createTenant(db);
  const queue = await Queue.create(db.sql, "Orders");
  await queue.send("a", "b", "c");
  const answer = await bridge(db, tenant, queue);
  assert.equal(answer.taken_over, 3);
  assert.equal((await bridge(db, tenant, queue, { priority: 3 })).taken_over, 0);
  await queue.send("d");
  const jobs = await jobsOf(db, tenant);
  assert.deepEqual(jobs.map(({ payload, priority }) => [payload, priority]), [["a", 0], ["b", 0], ["c", 0], ["d", 3]]);
  const [entry] = await auditEntries(db, tenant, "queue.bridged");
  assert.deepEqual([entry.subject, entry.data], ["Orders", { type: "mail.send" }]);

  const ended = await db.call(service, "unbridge_queue", { queue: queue.name });
  assert.deepEqual(ended, { queue: "Orders", tenant_id: tenant.id, given_back: 0 });
  await queue.send("e");
  assert.equal((await jobsOf(db, tenant)).length, 4);
  assert.deepEqual((await queue.read()).map(({ message }) => message), ["e"]);
  // What has become a job ends as one.
  const worker = await createWorker(db, tenant, { slots: 4 });
  await worker.complete((await worker.claim(4)).map((held) => succeeded(held)));
  assert.equal((await queue.archived()).length, 4);
  await refused(db.call(service, "unbridge_queue", { queue: queue.name }), "MU003");
});

Deno.test("a message that somebody deletes, archives or purges cancels its job, also a running one", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant);
  const ids = await queue.send("running", "queued", "archived", "purged");
  const [held] = await worker.claim();
  await db.sql`select * from pgmq.delete(${queue.name}, array[${ids[0]!}, ${ids[1]!}]::bigint[])`;
  await db.sql`select pgmq.archive(${queue.name}, ${ids[2]!}::bigint)`;
  await db.sql`select pgmq.purge_queue(${queue.name})`;

  const jobs = await jobsOf(db, tenant);
  assert.deepEqual(jobs.map(({ status }) => status), ["cancelled", "cancelled", "cancelled", "cancelled"]);
  assert.equal(jobs[1].error.message, `Message 2 left queue ${queue.name}`);
  assert.deepEqual((await worker.heartbeat({ running: [held] })).stop.map((stop: Answer) => stop.reason), [
    "cancelled",
  ]);
  assert.deepEqual([...await db.sql`select * from muster_private.queue_messages`], []);
  // What the worker says of it now changes nothing.
  await worker.complete([succeeded(held!)]);
  assert.deepEqual((await queue.archived()).map(({ message }) => message), ["archived"]);
});

Deno.test("a cancelled job archives its message", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  await queue.send("a");
  const [job] = await jobsOf(db, tenant);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  const [message] = await queue.archived();
  assert.deepEqual(message!.headers, { muster: { jobId: job.id, status: "cancelled", error: "cancelled" } });
});

Deno.test("a message that cannot be a job becomes a failed one, is archived, and its sender notices nothing", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const deep = JSON.parse("[".repeat(150) + "]".repeat(150));
  const ids = await queue.send("x".repeat(600_000), "good", [deep, "y".repeat(300)]);
  assert.equal(ids.length, 3);
  const jobs = await jobsOf(db, tenant);
  const byMessage = new Map(jobs.map((job) => [job.message.id, job]));
  assert.deepEqual([1, 2, 3].map((id) => byMessage.get(id).status), ["failed", "queued", "failed"]);
  assert.deepEqual(byMessage.get(1).error, {
    code: "message_refused",
    message: "Cannot submit job 0: its payload is over the limit of 256 KiB",
  });
  assert.match(byMessage.get(3).error.message, /nested deeper/);
  assert.deepEqual((await queue.archived()).map(({ id }) => id), [1, 3]);
});

Deno.test("a tenant whose quota is full keeps its messages in the queue until there is room", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  await db.call(service, "set_limits", {
    caller: { kind: "service", tenant_id: tenant.id },
    limits: { waiting_jobs: 3 },
  });
  for (let n = 0; n < 5; n += 1) await queue.send(n);
  assert.equal((await jobsOf(db, tenant)).length, 3);
  assert.equal((await queue.waiting()).length, 5);
  assert.deepEqual(await queue.read(), []);

  const worker = await createWorker(db, tenant, { slots: 5 });
  const held = await worker.claim(5);
  assert.equal(held.length, 3);
  await db.advance(5);
  await tick(db);
  assert.deepEqual((await jobsOf(db, tenant)).map(({ payload }) => payload), [0, 1, 2, 3, 4]);
  await worker.complete(held.map((each) => succeeded(each)), 5);
  assert.equal((await queue.archived()).length, 3);
});

Deno.test("a transaction that sends messages holds no lock of the scheduler before it commits", async () => {
  await using world = await createWorld({ concurrency_key: "one" });
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant, { listening: true });
  await db.sql.begin(async (tx) => {
    await tx`select * from pgmq.send(${queue.name}, '1'::jsonb)`;
    // The worker goes idle and a job of the same key comes in, while the sender takes its time.
    assert.deepEqual(await worker.claim(), []);
    await db.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test", concurrency_key: "one" }] });
  });
  assert.deepEqual((await jobsOf(db, tenant)).map(({ type, status }) => [type, status]), [
    ["test", "assigned"],
    ["mail.send", "blocked"],
  ]);
});

Deno.test("a transaction that is rolled back leaves neither message nor job", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  await db.sql.begin(async (tx) => {
    await tx`select * from pgmq.send(${queue.name}, '1'::jsonb)`;
    throw new Error("Changed my mind");
  }).catch(() => {});
  assert.deepEqual([await jobsOf(db, tenant), await queue.waiting()], [[], []]);
});

Deno.test("a job that ends while somebody deletes its message ends all the same, whether the deletion is kept or not", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant, { slots: 2 });
  const ids = await queue.send("kept", "deleted");
  const held = await worker.claim(2);
  const [undone, done] = [await db.transaction(), await db.transaction()];
  const remove = (tx: typeof undone, id: number) =>
    tx.query("select * from pgmq.delete($1, array[$2]::bigint[])", [queue.name, id]);
  await remove(undone, ids[0]!);
  await remove(done, ids[1]!);
  // Both messages are locked now, and nobody waits for that.
  await worker.complete(held.map((each) => succeeded(each)));
  assert.deepEqual((await jobsOf(db, tenant)).map(({ status }) => status), ["succeeded", "succeeded"]);
  assert.equal((await queue.waiting()).length, 2);
  await undone.rollback();
  await done.commit();
  await tick(db);

  assert.deepEqual((await queue.archived()).map(({ message }) => message), ["kept"]);
  assert.deepEqual(await queue.waiting(), []);
  assert.deepEqual([...await db.sql`select * from muster_private.queue_leftovers`], []);
});

Deno.test("a message that is deleted while its job is in other hands has it cancelled by the next tick, and keeps nobody waiting", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant);
  const [id] = await queue.send("a");
  const [held] = await worker.claim();
  const other = await db.transaction();
  await other.query("select from muster.worker_devices where id = $1 for update", [worker.id]);
  await db.sql`select pgmq.delete(${queue.name}, ${id!}::bigint)`;
  assert.equal((await jobsOf(db, tenant))[0].status, "running");
  await tick(db);
  assert.equal((await jobsOf(db, tenant))[0].status, "running");
  await other.rollback();
  await tick(db);
  assert.equal((await jobsOf(db, tenant))[0].status, "cancelled");
  assert.equal((await worker.heartbeat({ running: [held] })).stop.length, 1);
});

Deno.test("a queue that was dropped and made anew starts anew: jobs of the old messages are cancelled, the new ones become jobs", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  await queue.send("old");
  await db.sql`select pgmq.drop_queue(${queue.name})`;
  const again = await Queue.create(db.sql, queue.name);
  await again.send("new");
  await bridge(db, tenant, again);
  assert.deepEqual((await jobsOf(db, tenant)).map(({ payload, status }) => [payload, status]), [
    ["old", "cancelled"],
    ["new", "queued"],
  ]);
});

Deno.test("a job of a queue that was dropped ends as any other", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const worker = await createWorker(db, tenant);
  await queue.send("a");
  await db.sql`select pgmq.drop_queue(${queue.name})`;
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!)]);
  assert.equal((await jobsOf(db, tenant))[0].status, "succeeded");
  assert.deepEqual([...await db.sql`select * from muster_private.queue_leftovers`], []);
});

Deno.test("bridge_queue() waits for senders that have not committed, and takes over what they sent", async () => {
  await using db = await TestDatabase.create();
  await setClockToRealTime(db);
  const tenant = await createTenant(db);
  const queue = await Queue.create(db.sql);
  const sender = await db.transaction();
  await sender.query("select * from pgmq.send($1, '1'::jsonb)", [queue.name]);
  const bridger = await db.transaction();
  const bridged = bridger.call(service, "bridge_queue", {
    queue: queue.name,
    type: "mail.send",
    options: { tenant_id: tenant.id },
  });
  await db.untilBlocked(bridger.pid);
  await sender.commit();
  assert.equal((await bridged).taken_over, 1);
  await bridger.commit();
  await until(async () => (await jobsOf(db, tenant)).length === 1, "the message is a job");
});

Deno.test("bridge_queue() refuses what could never become a job", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  const call = (args: Args) => db.call(service, "bridge_queue", { queue: queue.name, type: "mail.send", ...args });
  await eachRefused<Args>({
    "a type of spaces": { type: " ", options: { tenant_id: tenant.id } },
    "options that are an array": { options: [] },
    "an option that does not exist": { options: { tenant_id: tenant.id, prioritty: 1 } },
    "an option of one message": { options: { tenant_id: tenant.id, idempotency_key: "k" } },
    "a priority of 1000": { options: { tenant_id: tenant.id, priority: 1000 } },
    "a tenant that is no uuid": { options: { tenant_id: "lab" } },
    "the queue of another tenant": { options: { tenant_id: (await createTenant(db)).id } },
  }, call);
  await refused(call({ options: {} }), "MU003");
  await refused(call({ queue: "no_such_queue", options: { tenant_id: tenant.id } }), "MU003");
  await refused(call({ queue: `x"; drop table muster.jobs; --`, options: { tenant_id: tenant.id } }), "MU003");
  await using bare = await TestDatabase.create();
  await refused(
    bare.call(service, "bridge_queue", {
      queue: "orders",
      type: "mail.send",
      options: { tenant_id: (await createTenant(bare)).id },
    }),
    "MU003",
  );
});

Deno.test("who sends needs no right to anything of Muster", async () => {
  await using world = await createWorld();
  const { db, tenant, queue } = world;
  await db.sql.unsafe(`create role stranger nologin; grant usage on schema pgmq to stranger;
    grant all on all tables in schema pgmq to stranger`).catch((error) => {
    if (error.code !== "42710") throw error;
  });
  await db.sql.unsafe("grant usage on schema pgmq to stranger; grant all on all tables in schema pgmq to stranger");
  await db.sql.begin(async (tx) => {
    await tx`set local role stranger`;
    await tx`select * from pgmq.send(${queue.name}, '"a"'::jsonb)`;
    const [id] = await tx`select * from pgmq.send(${queue.name}, '"b"'::jsonb) as id`;
    await tx`select pgmq.delete(${queue.name}, ${id!.id}::bigint)`;
  });
  const jobs = await jobsOf(db, tenant);
  assert.deepEqual(jobs.map(({ payload }) => payload), ["a"]);
  await db.sql`drop owned by stranger`;
});
