import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import {
  clientOf,
  createMember,
  createTenant,
  createWorker,
  submit,
  type TestTenant,
  type TestWorker,
  userOf,
  workerOf,
} from "../support/actors.ts";
import { type Actor, type Answer, service, TestDatabase } from "../support/database.ts";
import { type Rights, topicRights } from "../support/topic-rights.ts";

const nothing: Rights = { broadcast: "", presence: "" };
const mayHear: Rights = { broadcast: "read", presence: "read" };
const mayShowItself: Rights = { broadcast: "read", presence: "write" };

Deno.test("a worker hears its own task channel and nobody else's", async () => {
  await using db = await TestDatabase.create();
  const { worker, peer, outsider } = await createWorld(db);

  assert.equal((await topicRights(db, worker.actor, channels.workerTasks(worker.id))).broadcast, "read");
  for (const other of [peer, outsider]) {
    assert.deepEqual(await topicRights(db, worker.actor, channels.workerTasks(other.id)), nothing);
  }
});

Deno.test("a worker shows its presence in its own fleet only, sees nobody else's, and cannot broadcast there", async () => {
  await using db = await TestDatabase.create();
  const { tenant, other, worker } = await createWorld(db);
  assert.deepEqual(await topicRights(db, worker.actor, channels.fleetPresence(tenant.id)), mayShowItself);
  assert.deepEqual(await topicRights(db, worker.actor, channels.fleetPresence(other.id)), nothing);
});

Deno.test("a worker hears the wake-up channel of its own tenant only, and cannot write there", async () => {
  await using db = await TestDatabase.create();
  const { tenant, other, worker } = await createWorld(db);
  assert.equal((await topicRights(db, worker.actor, channels.workerWakeup(tenant.id))).broadcast, "read");
  assert.deepEqual(await topicRights(db, worker.actor, channels.workerWakeup(other.id)), nothing);
});

Deno.test("a worker is kept from the channels of jobs, executors and other listeners", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, job } = await createWorld(db);
  for (
    const topic of [channels.job(job.id), channels.executorTasks(tenant.executorId), channels.workerEvents(worker.id)]
  ) {
    assert.deepEqual(await topicRights(db, worker.actor, topic), nothing, topic);
  }
});

Deno.test("a revoked worker loses all its channels", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker } = await createWorld(db);
  await db.call(service, "revoke_worker", {
    caller: { kind: "service", tenant_id: tenant.id },
    worker_id: worker.id,
  });
  for (
    const topic of [
      channels.workerTasks(worker.id),
      channels.fleetPresence(tenant.id),
      channels.workerWakeup(tenant.id),
    ]
  ) {
    assert.deepEqual(await topicRights(db, worker.actor, topic), nothing, topic);
  }
});

Deno.test("a worker token with another device key or another tenant opens no channel", async () => {
  await using db = await TestDatabase.create();
  const { tenant, other, worker } = await createWorld(db);
  const fingerprint = (worker.actor.claims as Answer).cnf.jkt;
  for (
    const forged of [
      workerOf(db, worker.id, tenant.id, "0".repeat(64)),
      workerOf(db, worker.id, other.id, fingerprint),
      workerOf(db, crypto.randomUUID(), tenant.id, fingerprint),
    ]
  ) {
    for (
      const topic of [
        channels.workerTasks(worker.id),
        channels.fleetPresence(tenant.id),
        channels.fleetPresence(other.id),
      ]
    ) {
      assert.deepEqual(await topicRights(db, forged.actor, topic), nothing, topic);
    }
  }
});

Deno.test("an executor hears its own channel and its own jobs, and writes nowhere", async () => {
  await using db = await TestDatabase.create();
  const { tenant, other, worker, job, foreignJob } = await createWorld(db);
  const client = clientOf(tenant.id, tenant.executorId);
  assert.equal((await topicRights(db, client, channels.executorTasks(tenant.executorId))).broadcast, "read");
  assert.equal((await topicRights(db, client, channels.job(job.id))).broadcast, "read");
  for (
    const topic of [
      channels.executorTasks(other.executorId),
      channels.job(foreignJob.id),
      channels.workerTasks(worker.id),
      channels.fleetPresence(other.id),
      channels.workerWakeup(tenant.id),
    ]
  ) {
    assert.deepEqual(await topicRights(db, client, topic), nothing, topic);
  }
});

Deno.test("an executor does not hear jobs of another executor of its tenant", async () => {
  await using db = await TestDatabase.create();
  const { tenant, job } = await createWorld(db);
  const key = await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: "another app",
    key_prefix: "msk_test",
    key_hash: "f".repeat(64),
  });
  assert.deepEqual(await topicRights(db, clientOf(tenant.id, key.executor_id), channels.job(job.id)), nothing);
});

Deno.test("an executor token that names another tenant hears no job", async () => {
  await using db = await TestDatabase.create();
  const { tenant, other, job } = await createWorld(db);
  assert.deepEqual(await topicRights(db, clientOf(other.id, tenant.executorId), channels.job(job.id)), nothing);
});

Deno.test("an executor hears what its jobs' workers report only by the jobs' channels", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, outsider } = await createWorld(db);
  const client = clientOf(tenant.id, tenant.executorId);
  assert.deepEqual(await topicRights(db, client, channels.workerEvents(outsider.id)), nothing);
  assert.deepEqual(await topicRights(db, client, channels.workerTasks(worker.id)), nothing);
});

Deno.test("a member hears the fleet, the workers' reports and the jobs of its tenant, and writes nowhere", async () => {
  await using db = await TestDatabase.create();
  const { tenant, other, worker, outsider, job, foreignJob } = await createWorld(db);
  for (const role of ["admin", "editor", "publisher", "viewer"] as const) {
    const { actor } = await createMember(db, tenant, role);
    assert.deepEqual(await topicRights(db, actor, channels.fleetPresence(tenant.id)), mayHear);
    assert.equal((await topicRights(db, actor, channels.workerEvents(worker.id))).broadcast, "read");
    assert.equal((await topicRights(db, actor, channels.job(job.id))).broadcast, "read");
    for (
      const topic of [
        channels.fleetPresence(other.id),
        channels.workerEvents(outsider.id),
        channels.job(foreignJob.id),
        channels.workerTasks(worker.id),
        channels.executorTasks(tenant.executorId),
        channels.workerWakeup(tenant.id),
      ]
    ) {
      assert.deepEqual(await topicRights(db, actor, topic), nothing, `${role}: ${topic}`);
    }
  }
});

Deno.test("an outsider, a visitor and a role unknown to Muster hear nothing at all", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, job } = await createWorld(db);
  const strangers: Actor[] = [
    userOf(),
    { role: "authenticated", claims: { role: "authenticated" } },
    { role: "anon", claims: { role: "anon" } },
    // A user's token whose claims merely say worker: the role that Postgres knows decides.
    { role: "anon", claims: worker.actor.claims! },
  ];
  for (const actor of strangers) {
    for (const topic of everyTopic(tenant, worker, job)) {
      assert.deepEqual(await topicRights(db, actor, topic), nothing, `${actor.role}: ${topic}`);
    }
  }
});

Deno.test("a channel name that is not exactly one of ours is refused, and breaks nothing", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, job } = await createWorld(db);
  const { actor: member } = await createMember(db, tenant, "admin");
  const client = clientOf(tenant.id, tenant.executorId);
  const topics = [
    "",
    ":",
    "worker",
    "worker:",
    "worker:tasks",
    `worker:${worker.id}`,
    `worker:${worker.id}:`,
    `worker:${worker.id}:tasks:more`,
    `worker:${worker.id.toUpperCase()}:tasks`,
    `worker:${worker.id}:TASKS`,
    `Worker:${worker.id}:tasks`,
    ` worker:${worker.id}:tasks`,
    `worker:${worker.id}\n:tasks`,
    `worker:{${worker.id}}:tasks`,
    `worker:not-a-uuid:tasks`,
    `fleet:${tenant.id}`,
    `fleet:${tenant.id}:other`,
    `job:${job.id}:events`,
    `job:${job.id}:`,
    `worker-wakeup:${tenant.id}:`,
    `job:${job.id}\n`,
    `executor:${tenant.executorId}`,
    `everything`,
    `${"x".repeat(10_000)}`,
  ];
  for (const actor of [worker.actor, client, member]) {
    for (const topic of topics) {
      assert.deepEqual(await topicRights(db, actor, topic), nothing, `${actor.role}: ${JSON.stringify(topic)}`);
    }
  }
});

Deno.test("a member that was removed can join nothing any more", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, job } = await createWorld(db);
  const { actor, userId } = await createMember(db, tenant, "admin");
  await db.sql`delete from muster.members where user_id = ${userId}`;
  for (const topic of everyTopic(tenant, worker, job)) {
    assert.deepEqual(await topicRights(db, actor, topic), nothing, topic);
  }
});

type World = {
  tenant: TestTenant;
  other: TestTenant;
  worker: TestWorker;
  peer: TestWorker;
  outsider: TestWorker;
  job: Answer;
  foreignJob: Answer;
};

async function createWorld(db: TestDatabase): Promise<World> {
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const [job] = await submit(db, tenant, {});
  const [foreignJob] = await submit(db, other, {});
  return {
    tenant,
    other,
    worker: await createWorker(db, tenant),
    peer: await createWorker(db, tenant),
    outsider: await createWorker(db, other),
    job,
    foreignJob,
  };
}

function everyTopic(tenant: TestTenant, worker: TestWorker, job: Answer): string[] {
  return [
    channels.workerTasks(worker.id),
    channels.workerEvents(worker.id),
    channels.executorTasks(tenant.executorId),
    channels.job(job.id),
    channels.fleetPresence(tenant.id),
    channels.workerWakeup(tenant.id),
  ];
}
