import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import { JobEnqueued } from "../../shared/contracts/messages.ts";
import { createTenant, refused, sentMessages } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";
import { Queue } from "../support/pgmq.ts";

const watch = (db: TestDatabase, args: Args) => db.call(service, "create_realtime_trigger", args);

Deno.test("each statement that sends to a watched queue sends one message, whatever the number of its messages", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const queue = await Queue.create(db.sql, "Mails");
  const channel = channels.workerWakeup(tenant.id);
  assert.deepEqual(await watch(db, { queue: queue.name, channel }), { queue: "Mails", channel, event: "job_enqueued" });
  await queue.send("a", "b", "c");
  await queue.send();
  await queue.send("d");
  await queue.read();

  const messages = await sentMessages(db);
  assert.deepEqual(messages.map(({ topic, event, is_private, data }) => [topic, event, is_private, data]), [
    [channel, "job_enqueued", true, { queue: "Mails", job_id: 3 }],
    [channel, "job_enqueued", true, { queue: "Mails", job_id: 4 }],
  ]);
  for (const { payload } of messages) JobEnqueued.parse(payload);
});

Deno.test("create_realtime_trigger() again changes channel and event", async () => {
  await using db = await TestDatabase.create();
  const queue = await Queue.create(db.sql);
  await watch(db, { queue: queue.name, channel: "one" });
  await watch(db, { queue: queue.name, channel: "it's another", event: "mail" });
  await queue.send(1);
  assert.deepEqual((await sentMessages(db)).map(({ topic, event }) => [topic, event]), [["it's another", "mail"]]);
});

Deno.test("a bridged queue calls the workers of its tenant, unless a channel is named", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const queue = await Queue.create(db.sql);
  await refused(watch(db, { queue: queue.name }), "MU004");
  await db.call(service, "bridge_queue", { queue: queue.name, type: "mail", options: { tenant_id: tenant.id } });
  assert.equal((await watch(db, { queue: queue.name })).channel, channels.workerWakeup(tenant.id));
});

Deno.test("create_realtime_trigger() refuses a queue that is not there, and names that are too long", async () => {
  await using db = await TestDatabase.create();
  await refused(watch(db, { queue: "none", channel: "c" }), "MU003");
  const queue = await Queue.create(db.sql);
  await refused(watch(db, { queue: `${queue.name}; drop schema pgmq`, channel: "c" }), "MU003");
  await refused(watch(db, { queue: queue.name, channel: "c".repeat(256) }), "MU004");
  await refused(watch(db, { queue: queue.name, channel: "c", event: "" }), "MU004");
});
