import assert from "node:assert/strict";
import { connectClient, Inbox } from "./support/client.ts";
import { ignore, type OwnServer, startRealtime } from "./support/own-server.ts";
import type { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, newTopic, signToken } from "./support/stack.ts";

// The misbehaviour that tests/chaos builds on: here each switch is shown to do what it says, and no more.

interface Room extends AsyncDisposable {
  server: OwnServer;
  topic: string;
  socket: RawSocket;
  joinRef: string;
  /** Sends numbered messages, acknowledged by the server, whose numbers the receivers are asked for. */
  send(count: number): Promise<void>;
}

async function openRoom(): Promise<Room> {
  await using parts = new AsyncDisposableStack();
  const server = parts.use(await startRealtime());
  const topic = newTopic();
  const socket = parts.use(await server.open());
  const joinRef = await socket.join(topic, { broadcast: { ack: true }, presence: { enabled: true, key: "k" } });
  await socket.next();
  let sent = 0;
  const owned = parts.move();
  return {
    server,
    topic,
    socket,
    joinRef,
    async send(count) {
      for (let n = 0; n < count; n++) await socket.broadcast(topic, joinRef, "e", { n: sent++ });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function receive(receiver: RawSocket, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) numbers.push((await receiver.nextEvent("broadcast")).payload.payload.n);
  return numbers;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

Deno.test("dropped: broadcasts reach nobody, their senders are answered, presence goes on", { ignore }, async () => {
  await using room = await openRoom();
  using receiver = await room.server.open();
  await receiver.join(room.topic);
  await room.server.realtime.setFaults({ dropChance: 1 });
  await room.send(3);
  const track = { event: "track", payload: {} };
  await room.socket.request(`realtime:${room.topic}`, "presence", track, room.joinRef);
  assert.deepEqual((await receiver.rest()).map(({ event }) => event), ["presence_diff"]);
  await room.server.realtime.setFaults({ dropChance: 0 });
  await room.send(1);
  assert.deepEqual(await receive(receiver, 1), [3]);
});

Deno.test(
  "dropped by chance: each receiver misses others, and one seed loses the same ones again",
  { ignore },
  async () => {
    const lost = async (): Promise<[number[], number[]]> => {
      await using room = await openRoom();
      using one = await room.server.open();
      using two = await room.server.open();
      await one.join(room.topic);
      await two.join(room.topic);
      await room.server.realtime.setFaults({ dropChance: 0.5, seed: 42 });
      await room.send(40);
      const heard = async (socket: RawSocket) =>
        (await socket.rest()).map(({ payload }) => payload.payload.n as number);
      return [await heard(one), await heard(two)];
    };
    const [first, second] = await lost();
    assert.notDeepEqual(first, second);
    for (const heard of [first, second]) assert.ok(heard.length > 5 && heard.length < 35, String(heard.length));
    assert.deepEqual(await lost(), [first, second]);
  },
);

Deno.test("duplicated: every broadcast comes twice, replies once", { ignore }, async () => {
  await using room = await openRoom();
  await using database = connectDatabase();
  using receiver = await room.server.open({ role: "service_role" });
  await receiver.join(room.topic);
  await room.server.realtime.setFaults({ duplicateChance: 1 });
  await room.send(2);
  assert.deepEqual(await receive(receiver, 4), [0, 0, 1, 1]);
  await database.sql`select realtime.send('{"n": 2}'::jsonb, 'e', ${room.topic}, false)`;
  assert.deepEqual(await receive(receiver, 2), [2, 2]);
  assert.deepEqual((await room.socket.rest()).map(({ event }) => event), ["broadcast", "broadcast"]);
});

Deno.test("reordered: all come, some are overtaken", { ignore }, async () => {
  await using room = await openRoom();
  using receiver = await room.server.open();
  await receiver.join(room.topic);
  await room.server.realtime.setFaults({ reorderChance: 0.5, seed: 1 });
  await room.send(40);
  const numbers = await receive(receiver, 40);
  assert.notDeepEqual(numbers, range(0, 40));
  assert.deepEqual(numbers.toSorted((a, b) => a - b), range(0, 40));
});

Deno.test("delayed: all come late and in order", { ignore }, async () => {
  await using room = await openRoom();
  using receiver = await room.server.open();
  await receiver.join(room.topic);
  const delayMs = 300;
  await room.server.realtime.setFaults({ delayMs });
  const started = performance.now();
  await room.send(5);
  assert.deepEqual(await receive(receiver, 5), range(0, 5));
  assert.ok(performance.now() - started >= delayMs - 1);
});

Deno.test("what is held back for a channel that has left does not come", { ignore }, async () => {
  await using room = await openRoom();
  using receiver = await room.server.open();
  const joinRef = await receiver.join(room.topic);
  using marker = await room.server.open();
  await marker.join(room.topic);
  await room.server.realtime.setFaults({ delayMs: 1000 });
  await room.send(1);
  await receiver.request(`realtime:${room.topic}`, "phx_leave", {}, joinRef);
  await receive(marker, 1);
  assert.deepEqual((await receiver.rest()).map(({ event }) => event), ["phx_close"]);
});

Deno.test("rate exceeded: whoever is delivered to is shut down, and may join again", { ignore }, async () => {
  await using room = await openRoom();
  await using database = connectDatabase();
  using receiver = await room.server.open({ role: "service_role" });
  await receiver.join(room.topic, { private: true });
  const other = newTopic();
  await receiver.join(other);
  await room.server.realtime.setFaults({ rateExceeded: true });
  await database.sql`select realtime.send('{}'::jsonb, 'e', ${room.topic})`;
  assert.equal((await receiver.next()).event, "broadcast");
  await receiver.nextShutdown(room.topic, "Too many messages per second");
  await room.server.realtime.setFaults({ rateExceeded: false });
  await receiver.join(room.topic, { private: true });
  await database.sql`select realtime.send('{}'::jsonb, 'again', ${room.topic})`;
  assert.deepEqual((await receiver.next()).payload.event, "again");
  assert.deepEqual(await receiver.rest(), []);
});

Deno.test("switched off: sockets are closed and none opened; on again, the official client is back by itself", {
  ignore,
}, async () => {
  await using server = await startRealtime();
  const key = await signToken();
  using socket = await server.open({ key });
  await using connection = connectClient({ url: server.url, key, realtime: { reconnectAfterMs: () => 20 } });
  const statuses = new Inbox<string>();
  connection.client.channel(newTopic()).subscribe(statuses.put);
  assert.equal(await statuses.next(), "SUBSCRIBED");
  server.realtime.setEnabled(false);
  assert.equal(await socket.closed, 1012);
  await assert.rejects(server.open({ key }));
  assert.equal(await statuses.next(), "CHANNEL_ERROR");
  server.realtime.setEnabled(true);
  let status: string;
  do status = await statuses.next(); while (status !== "SUBSCRIBED");
});
