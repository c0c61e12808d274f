import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import {
  auditEntries,
  clientOf,
  createMember,
  createTenant,
  createWorker,
  submit,
  type TestTenant,
  tick,
  userOf,
} from "../support/actors.ts";
import { type Actor, type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("a refused join is noted in the log of the worker's tenant, though Realtime rolls back", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const [worker, foreign] = [await createWorker(db, tenant), await createWorker(db, other)];
  for (let n = 0; n < 3; n++) assert.equal(await join(db, worker.actor, channels.workerTasks(foreign.id)), false);
  assert.deepEqual(await refusals(db, tenant), []);
  await tick(db);
  const told = [{ kind: "worker", id: worker.id }, shortened(channels.workerTasks(foreign.id)), { count: 3 }];
  assert.deepEqual(await refusals(db, tenant), [told]);
  assert.deepEqual(await refusals(db, other), []);

  await tick(db);
  assert.equal((await refusals(db, tenant)).length, 1);
  await join(db, worker.actor, channels.workerTasks(foreign.id), ["broadcast", "presence"]);
  await tick(db);
  assert.deepEqual((await refusals(db, tenant))[1], [told[0], told[1], { count: 1 }]);
});

Deno.test("a client, a member and a revoked worker that are refused are noted by what their tokens say", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const [job] = await submit(db, other, {});
  const client = clientOf(tenant.id, tenant.executorId);
  const { actor: member, userId } = await createMember(db, tenant, "viewer");
  const worker = await createWorker(db, tenant);
  const caller = { kind: "service", tenant_id: tenant.id };
  await db.call(service, "revoke_worker", { caller, worker_id: worker.id });
  const joins: [Actor, string][] = [
    [client, channels.job(job.id)],
    [member, channels.fleetPresence(other.id)],
    [worker.actor, channels.workerTasks(worker.id)],
    [worker.actor, "anything at all"],
  ];
  for (const [actor, topic] of joins) {
    await join(db, actor, topic);
    // Two that are refused at one time may share a slot.
    await tick(db);
  }
  assert.deepEqual(await refusals(db, tenant), [
    [{ kind: "executor", id: tenant.executorId }, shortened(channels.job(job.id)), { count: 1 }],
    [{ kind: "member", id: userId }, shortened(channels.fleetPresence(other.id)), { count: 1 }],
    [{ kind: "worker", id: worker.id }, shortened(channels.workerTasks(worker.id)), { count: 1 }],
    [{ kind: "worker", id: worker.id }, "unknown", { count: 1 }],
  ]);
  assert.deepEqual(await refusals(db, other), []);
});

Deno.test("what is allowed, what is none of ours and what nobody can be named for is not noted", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const { actor: member } = await createMember(db, tenant, "admin");
  assert.equal(await join(db, worker.actor, channels.workerTasks(worker.id)), true);
  // A worker shows its presence here and may not read the others', nor broadcast.
  assert.equal(await join(db, worker.actor, channels.fleetPresence(tenant.id), ["broadcast", "presence"]), true);
  await write(db, worker.actor, channels.fleetPresence(tenant.id));
  await write(db, worker.actor, channels.workerTasks(worker.id));
  // Channels of the app in whose project this lives, which policies of its own may allow.
  for (const topic of ["room:1", "job:next", "worker:", `orders:${tenant.id}`]) await join(db, member, topic);
  await join(db, userOf(), channels.fleetPresence(tenant.id));
  await tick(db);
  assert.deepEqual(await refusals(db, tenant), []);
});

Deno.test("a broadcast to a channel that a worker may not even listen to is noted once", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant);
  const topic = channels.fleetPresence(other.id);
  await write(db, worker.actor, topic);
  await tick(db);
  assert.deepEqual(await refusals(db, tenant), [[{ kind: "worker", id: worker.id }, shortened(topic), { count: 1 }]]);
});

Deno.test("a flood of refusals by one worker makes one entry a tick and hides no other worker's", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [loud, quiet] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const slot = (id: string) => Number((BigInt(`0x${id.replaceAll("-", "").slice(0, 11)}`) + 3n) % 32n);
  const topic = channels.job(crypto.randomUUID());
  // Past the end of the tally, which goes on from 1: the count is at least so many, never more.
  await db.sql.begin(async (tx) => {
    await impersonate(tx, loud.actor, topic);
    await tx`select count(muster_private.authorize_topic(${topic}, 'broadcast', false)) from generate_series(1, 17000)`;
  });
  await join(db, quiet.actor, topic);
  await tick(db);
  const entries = await refusals(db, tenant);
  assert.deepEqual(entries.find(([actor]) => actor.id === quiet.id)?.[2], { count: 1 });
  if (slot(loud.id) !== slot(quiet.id)) {
    const { count } = entries.find(([actor]) => actor.id === loud.id)![2];
    assert.ok(count >= 1 && count <= 17_000, `counted ${count}`);
    assert.equal(entries.length, 2);
  }
});

/** Asks as Realtime asks when a private channel is joined: rows are planted, looked for as the caller, and rolled back. */
async function join(db: TestDatabase, actor: Actor, topic: string, extensions = ["broadcast"]): Promise<boolean> {
  const undo = new Error("Undo");
  let seen = 0;
  await db.sql.begin(async (tx) => {
    const ids: string[] = [];
    for (const extension of extensions) {
      const [row] =
        await tx`insert into realtime.messages (topic, extension) values (${topic}, ${extension}) returning id`;
      ids.push(row!.id);
    }
    await impersonate(tx, actor, topic);
    seen = (await tx`select id from realtime.messages where id in ${tx(ids)}`).length;
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return seen > 0;
}

/** Asks as Realtime asks before the first broadcast or track. */
async function write(db: TestDatabase, actor: Actor, topic: string): Promise<void> {
  const undo = new Error("Undo");
  await db.sql.begin(async (tx) => {
    await impersonate(tx, actor, topic);
    for (const extension of ["broadcast", "presence"]) {
      await tx.savepoint((inner) =>
        inner`insert into realtime.messages (topic, extension) values (${topic}, ${extension})`
      ).catch((error) => assert.equal(error.code, "42501"));
    }
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
}

// deno-lint-ignore no-explicit-any -- a transaction of postgres.js
async function impersonate(tx: any, actor: Actor, topic: string): Promise<void> {
  await tx`select set_config('role', ${actor.role}, true), set_config('realtime.topic', ${topic}, true),
    set_config('request.jwt.claims', ${JSON.stringify(actor.claims)}, true)`;
}

async function refusals(db: TestDatabase, tenant: TestTenant): Promise<Answer[]> {
  const entries = await auditEntries(db, tenant, "channel.refused");
  return entries.map(({ actor, subject, data }) => [actor, subject, data]);
}

function shortened(topic: string): string {
  const [kind, id] = topic.split(":");
  return `${kind}:${id!.slice(0, 17)}…`;
}
