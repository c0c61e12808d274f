import assert from "node:assert/strict";
import { connectClient, Inbox } from "./support/client.ts";
import { ignore, type OwnServer, startRealtime } from "./support/own-server.ts";
import type { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, grantTopic, newTopic, signToken } from "./support/stack.ts";

const both = ["broadcast", "presence"];

function refresh(socket: RawSocket, topic: string, token: string): void {
  socket.send(`realtime:${topic}`, "access_token", { access_token: token });
}

/** A member for whom broadcast and presence are asked. */
async function member(server: OwnServer, topic: string): Promise<{ socket: RawSocket; joinRef: string }> {
  const socket = await server.open();
  const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true }, presence: { enabled: true } });
  return { socket, joinRef };
}

Deno.test(
  "a policy taken away has no effect until a new token comes, which then ends the channel",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const topic = newTopic();
    const policies = await grantTopic(database.sql, topic, { read: both, write: both });
    const { socket, joinRef } = await member(server, topic);
    using _socket = socket;
    await socket.broadcast(topic, joinRef);
    await policies[Symbol.asyncDispose]();
    await socket.broadcast(topic, joinRef);
    await database.sql`select realtime.send('{}'::jsonb, 'still heard', ${topic})`;
    assert.equal((await socket.nextEvent("broadcast")).payload.event, "still heard");
    await socket.rest();

    refresh(socket, topic, await signToken());
    await socket.nextShutdown(topic, `You do not have permissions to read from this Channel topic: ${topic}`);
  },
);

Deno.test("losing one of two readings ends the channel with another text", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  for (const kept of both) {
    const topic = newTopic();
    const policies = await grantTopic(database.sql, topic, { read: both });
    const { socket } = await member(server, topic);
    using _socket = socket;
    await socket.nextEvent("presence_state");
    await policies[Symbol.asyncDispose]();
    await using _less = await grantTopic(database.sql, topic, { read: [kept] });
    refresh(socket, topic, await signToken());
    await socket.nextShutdown(topic, `You no longer have permission to read from this Channel topic: ${topic}`);
  }
});

Deno.test("a reading that becomes allowed starts the delivery, without an answer", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _presence = await grantTopic(database.sql, topic, { read: ["presence"] });
  const { socket } = await member(server, topic);
  using _socket = socket;
  await socket.nextEvent("presence_state");
  using service = await server.open({ role: "service_role" });
  const serviceRef = await service.join(topic, { private: true, broadcast: { ack: true } });
  await using _broadcast = await grantTopic(database.sql, topic, { read: ["broadcast"] });
  await service.broadcast(topic, serviceRef, "before");
  refresh(socket, topic, await signToken());
  assert.deepEqual(await socket.rest(), []);
  await service.broadcast(topic, serviceRef, "after");
  assert.deepEqual((await socket.rest()).map(({ payload }) => payload.event), ["after"]);
});

Deno.test("what may be written is asked anew after a new token, and only then", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _read = await grantTopic(database.sql, topic, { read: ["broadcast"] });
  using socket = await server.open();
  const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true } });
  const send = () => socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  send();
  assert.deepEqual(await socket.rest(), []);
  await using _write = await grantTopic(database.sql, topic, { write: ["broadcast"] });
  send();
  assert.deepEqual(await socket.rest(), []);
  refresh(socket, topic, await signToken());
  await socket.broadcast(topic, joinRef);
});

Deno.test("the switch for frozen permissions keeps those of the join past a new token", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  const policies = await grantTopic(database.sql, topic, { read: both, write: both });
  const { socket, joinRef } = await member(server, topic);
  using _socket = socket;
  await socket.broadcast(topic, joinRef);
  await socket.rest();
  await policies[Symbol.asyncDispose]();
  await server.realtime.setFaults({ frozenPermissions: true });
  refresh(socket, topic, await signToken());
  await socket.broadcast(topic, joinRef);

  await server.realtime.setFaults({ frozenPermissions: false });
  refresh(socket, topic, await signToken());
  await socket.nextShutdown(topic, /^You do not have permissions/);
});

Deno.test(
  "the official client's channel is closed for good by a token that may no longer read",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const topic = newTopic();
    const policies = await grantTopic(database.sql, topic, { read: both });
    await using connection = connectClient({ url: server.url, key: await signToken() });
    const { client } = connection;
    const channel = client.channel(topic, { config: { private: true } });
    const statuses = new Inbox<string>();
    channel.subscribe(statuses.put);
    assert.equal(await statuses.next(), "SUBSCRIBED");
    await policies[Symbol.asyncDispose]();
    await client.realtime.setAuth(await signToken());
    assert.equal(await statuses.next(), "CLOSED");
    assert.deepEqual(client.getChannels(), []);
  },
);
