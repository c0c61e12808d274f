import assert from "node:assert/strict";
import { connectClient, subscribe } from "./support/client.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { addPolicy, connectDatabase, grantTopic, newTopic, signToken } from "./support/stack.ts";

const both = ["broadcast", "presence"];
const track = { type: "presence", event: "track", payload: {} };

Deno.test(
  "a broadcast that may not be written reaches nobody and is not answered, acknowledged or not",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const topic = newTopic();
    await using _policies = await grantTopic(database.sql, topic, { read: both });
    using listener = await server.open({ role: "service_role" });
    await listener.join(topic, { private: true });
    using socket = await server.open();
    for (const ack of [true, false]) {
      const joinRef = await socket.join(topic, { private: true, broadcast: { ack } });
      await socket.rest();
      socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
      assert.deepEqual(await socket.rest(), []);
    }
    assert.deepEqual(await listener.rest(), []);
  },
);

Deno.test("a track that may not be written is answered with an error, and the channel stays", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policies = await grantTopic(database.sql, topic, { read: both });
  using listener = await server.open({ role: "service_role" });
  const listenerRef = await listener.join(topic, { private: true, broadcast: { ack: true } });
  using socket = await server.open();
  const joinRef = await socket.join(topic, { private: true, presence: { enabled: true } });
  await socket.nextEvent("presence_state");
  const { payload } = await socket.request(`realtime:${topic}`, "presence", track, joinRef);
  assert.deepEqual(payload, { status: "error", response: {} });
  assert.deepEqual(await listener.rest(), []);
  await listener.broadcast(topic, listenerRef);
  assert.equal((await socket.next()).event, "broadcast");
});

Deno.test("a write policy that raises drops the broadcast and refuses the track", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _read = await grantTopic(database.sql, topic, { read: both });
  await using _write = await addPolicy(
    database.sql,
    "insert",
    `topic <> '${topic}' or 1 / (length(topic) - length(topic)) = 1`,
  );
  using socket = await server.open();
  const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true, self: true } });
  socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  const { payload } = await socket.request(`realtime:${topic}`, "presence", track, joinRef);
  assert.deepEqual(payload, { status: "error", response: {} });
  assert.deepEqual(await socket.rest(), []);
});

Deno.test(
  "the official client waits in vain for the acknowledgement, and is told of a refused track",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const topic = newTopic();
    await using _policies = await grantTopic(database.sql, topic, { read: both });
    await using connection = connectClient({ url: server.url, key: await signToken(), realtime: { timeout: 300 } });
    const channel = connection.client.channel(topic, { config: { private: true, broadcast: { ack: true } } });
    assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
    assert.equal(await channel.send({ type: "broadcast", event: "e", payload: {} }), "timed out");
    assert.equal(await channel.track({}), "error");
    const { success, status } = await channel.httpSend("e", {}).then(
      ({ success }) => ({ success, status: 202 }),
      (error: Error) => ({ success: false, status: error.message }),
    );
    assert.deepEqual([success, status], [false, "Unauthorized"]);
  },
);
