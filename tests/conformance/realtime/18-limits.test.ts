import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { jumpingClock } from "./support/jumping-clock.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { broadcastPush, type RawSocket } from "./support/raw-socket.ts";
import { answer, postBatch } from "./support/rest.ts";
import { connectDatabase, newTopic, serviceToken, signToken } from "./support/stack.ts";

const track = (payload: unknown) => ({ type: "presence", event: "track", payload });

async function reasonOf(socket: RawSocket, topic = newTopic()): Promise<string | undefined> {
  return (await socket.tryJoin(topic)).reply.payload.response.reason;
}

Deno.test(
  "payload: a broadcast above it is dropped, and answered only where an answer was asked for",
  { ignore },
  async () => {
    await using server = await startRealtime({ limits: { maxPayloadKilobytes: 1 } });
    using listener = await server.open();
    const subTopic = newTopic();
    const topic = `realtime:${subTopic}`;
    await listener.join(subTopic);
    for (const ack of [true, false]) {
      using socket = await server.open();
      const joinRef = await socket.join(subTopic, { broadcast: { ack, self: true } });
      const answers = async () =>
        (await socket.rest()).filter(({ event }) => event === "phx_reply").map((f) => f.payload);
      const exceeded = ack ? [{ status: "error", response: "payload_size_exceeded" }] : [];
      socket.send(topic, "broadcast", { event: "e", payload: "x".repeat(1600) }, joinRef);
      assert.deepEqual(await answers(), exceeded);
      // 1500 with what the service's own encoding adds: 25, and the event.
      const push = (bytes: number) =>
        socket.sendRaw(
          broadcastPush({ joinRef, ref: "r", topic, event: "event", body: new Uint8Array(bytes), encoding: 0 }),
        );
      push(1471);
      assert.deepEqual(await answers(), exceeded);
      assert.deepEqual(await listener.rest(), []);
      push(1470);
      assert.deepEqual(await answers(), ack ? [{ status: "ok", response: {} }] : []);
      assert.equal((await listener.rest()).length, 1);
    }
  },
);

Deno.test("payload: a track above it ends its channel, and no other", { ignore }, async () => {
  await using server = await startRealtime({ limits: { maxPayloadKilobytes: 1 } });
  using socket = await server.open();
  const [topic, other] = [newTopic(), newTopic()];
  const joinRef = await socket.join(other, { broadcast: { ack: true } });
  await socket.join(topic);
  socket.send(`realtime:${topic}`, "presence", track({ text: "x".repeat(2000) }));
  await socket.nextShutdown(topic, "Track message size exceeded");
  await socket.broadcast(other, joinRef);
});

Deno.test(
  "messages: above the rate every channel that is delivered to ends, others stay, until it falls",
  { ignore },
  async () => {
    const { now, jump } = jumpingClock();
    await using server = await startRealtime({ now, limits: { maxMessagesPerSecond: 2 } });
    const [topic, quietTopic] = [newTopic(), newTopic()];
    using quiet = await server.open();
    const quietRef = await quiet.join(quietTopic, { broadcast: { ack: true } });
    using sender = await server.open();
    using receiver = await server.open();
    const joinRef = await sender.join(topic, { broadcast: { ack: true } });
    await receiver.join(topic);
    // Each counts twice: as it comes in, and as it goes out.
    for (let n = 0; n < 5; n++) await sender.broadcast(topic, joinRef);
    assert.equal((await receiver.rest()).length, 5);
    jump(5000);
    await sender.broadcast(topic, joinRef);
    assert.equal((await receiver.next()).event, "broadcast");
    await receiver.nextShutdown(topic, "Too many messages per second");
    // Nobody was delivered to there.
    await quiet.broadcast(quietTopic, quietRef);
    await sender.broadcast(topic, joinRef);
    assert.deepEqual([...await quiet.rest(), ...await sender.rest()], []);

    jump(20_000);
    await receiver.join(topic);
    await sender.broadcast(topic, joinRef);
    assert.deepEqual((await receiver.rest()).map(({ event }) => event), ["broadcast"]);
  },
);

Deno.test(
  "messages: the sender's own channel ends after its answer; rows and unknown events count, and rows are skipped",
  { ignore },
  async () => {
    const { now, jump } = jumpingClock();
    const skipped = Promise.withResolvers<void>();
    await using server = await startRealtime({
      now,
      limits: { maxMessagesPerSecond: 1 },
      log: (line) => "event" in line && line.event === "realtime.row_skipped" && skipped.resolve(),
    });
    await using database = connectDatabase();
    using socket = await server.open({ role: "service_role" });
    const topic = newTopic();
    const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true, self: true } });
    await database.sql`select realtime.send('{}'::jsonb, 'row', ${topic})`;
    await socket.next();
    for (let n = 0; n < 3; n++) socket.send(`realtime:${topic}`, "whatever", {}, joinRef);
    assert.deepEqual(await socket.rest(), []);
    jump(5000);
    await database.sql`select realtime.send('{}'::jsonb, 'skipped', ${topic})`;
    await skipped.promise;
    socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
    assert.equal((await socket.next()).payload.event, "e");
    assert.equal((await socket.next()).event, "phx_reply");
    await socket.nextShutdown(topic, "Too many messages per second");
  },
);

Deno.test(
  "joins: above the rate a join is refused and its socket closed with 1001, until it falls",
  { ignore },
  async () => {
    const { now, jump } = jumpingClock();
    await using server = await startRealtime({ now, limits: { maxJoinsPerSecond: 0.2 } });
    using socket = await server.open();
    using other = await server.open();
    const topic = newTopic();
    await other.join(topic);
    jump(5000);
    assert.equal(await reasonOf(socket), "ClientJoinRateLimitReached: Too many joins per second");
    assert.equal(await socket.closed, 1001);
    await assert.rejects(server.open());
    assert.equal((await other.request(`realtime:${topic}`, "presence", {})).payload.status, "ok");
    jump(10_000);
    using later = await server.open();
    await later.join(newTopic());
  },
);

Deno.test("channels: a socket holds so many, and may join again when it has left one", { ignore }, async () => {
  await using server = await startRealtime({ limits: { maxChannelsPerSocket: 2 } });
  using socket = await server.open();
  const topic = newTopic();
  const joinRef = await socket.join(topic);
  await socket.join(newTopic());
  assert.equal(await reasonOf(socket), "ChannelRateLimitReached: Too many channels");
  using other = await server.open();
  await other.join(newTopic());
  await socket.request(`realtime:${topic}`, "phx_leave", {}, joinRef);
  await socket.join(newTopic());
});

Deno.test("sockets: only so many may have joined; one that has may join more", { ignore }, async () => {
  await using server = await startRealtime({ limits: { maxConnectedUsers: 1 } });
  using second = await server.open();
  {
    using first = await server.open();
    await first.join(newTopic());
    await first.join(newTopic());
    assert.equal(await reasonOf(second), "ConnectionRateLimitReached: Too many connected users");
    await assert.rejects(server.open());
    first[Symbol.dispose]();
    await first.closed;
  }
  await second.join(newTopic());
});

Deno.test("a project may be for private channels only", { ignore }, async () => {
  await using server = await startRealtime({ limits: { privateOnly: true } });
  using socket = await server.open({ role: "service_role" });
  assert.equal(await reasonOf(socket), "PrivateOnly: This project only allows private channels");
  await socket.join(newTopic(), { private: true });
});

Deno.test(
  "presence: the sixth call of a channel within 30 s ends it; the next window begins anew",
  { ignore },
  async () => {
    const { now, jump } = jumpingClock();
    await using server = await startRealtime({ now });
    using socket = await server.open();
    const [topic, other] = [newTopic(), newTopic()];
    await socket.join(other);
    await socket.join(topic);
    const call = (subTopic: string, payload: unknown) => socket.request(`realtime:${subTopic}`, "presence", payload);
    const five = async () => {
      for (let n = 1; n <= 5; n++) await call(topic, n % 2 ? track({ n }) : { event: "untrack" });
      // What names no event does not count.
      await call(topic, {});
      await socket.rest();
    };
    await five();
    jump(30_001);
    await five();
    socket.send(`realtime:${topic}`, "presence", track({}));
    await socket.nextShutdown(topic, "Client presence rate limit exceeded");
    assert.equal((await call(other, track({}))).payload.status, "ok");
  },
);

Deno.test(
  "presence: above the project's rate tracking ends its channel, and joining with presence does",
  { ignore },
  async () => {
    const { now, jump } = jumpingClock();
    await using server = await startRealtime({ now, limits: { maxPresenceMessagesPerSecond: 0.1 } });
    using socket = await server.open();
    const [topic, other] = [newTopic(), newTopic()];
    await socket.join(topic);
    await socket.request(`realtime:${topic}`, "presence", track({ n: 1 }));
    await socket.rest();
    jump(5000);
    // The same again is no message, and may go on.
    assert.equal((await socket.request(`realtime:${topic}`, "presence", track({ n: 1 }))).payload.status, "ok");
    socket.send(`realtime:${topic}`, "presence", track({ n: 2 }));
    await socket.nextShutdown(topic, "Too many presence messages per second");
    await socket.join(other, { presence: { enabled: true } });
    await socket.nextShutdown(other, "Too many presence messages per second");
    await socket.join(other);
  },
);

Deno.test("replay: so many rows", { ignore }, async () => {
  await using server = await startRealtime({ limits: { maxReplayRows: 2 } });
  await using database = connectDatabase();
  const topic = newTopic();
  for (const event of ["1", "2", "3"]) await database.sql`select realtime.send('{}'::jsonb, ${event}, ${topic})`;
  using socket = await server.open({ role: "service_role" });
  await socket.join(topic, { private: true, broadcast: { replay: { since: 0, limit: 25 } } });
  assert.deepEqual((await socket.rest()).map(({ payload }) => payload.event), ["2", "3"]);
});

Deno.test("a refused join is answered late, and the other frames of its socket wait for it", { ignore }, async () => {
  const joinErrorDelayMs = 150;
  await using server = await startRealtime({ limits: { joinErrorDelayMs } });
  using socket = await server.open();
  const started = performance.now();
  const ref = socket.send("realtime:", "phx_join", {}, "1", "1");
  socket.send("phoenix", "heartbeat", {}, null, "h");
  const order = [await socket.next(), await socket.next()].map((frame) => frame.ref);
  assert.deepEqual(order, [ref, "h"]);
  assert.ok(performance.now() - started >= joinErrorDelayMs - 1);
});

Deno.test("the official client: too large is an error, too fast is the end of the channel", { ignore }, async () => {
  const { now, jump } = jumpingClock();
  await using server = await startRealtime({ now, limits: { maxPayloadKilobytes: 1, maxMessagesPerSecond: 5 } });
  await using connection = connectClient({ url: server.url, key: await signToken() });
  const topic = newTopic();
  const channel = connection.client.channel(topic, { config: { broadcast: { ack: true, self: true } } });
  assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
  const payload = { text: "x".repeat(2000) };
  assert.equal(await channel.send({ type: "broadcast", event: "e", payload }), "error");

  const system = new Inbox<{ message: string; status: string }>();
  const ended = connection.client.channel(newTopic()).on("system", {}, system.put);
  const statuses = new Inbox<string>();
  ended.subscribe(statuses.put);
  assert.equal(await statuses.next(), "SUBSCRIBED");
  const options = { url: server.url, token: await serviceToken() };
  const batch = Array.from({ length: 5 }, () => ({ topic: ended.subTopic, event: "e", payload: {} }));
  for (let n = 0; n < 3; n++) assert.deepEqual(await answer(await postBatch(batch, options)), [202, ""]);
  jump(5000);
  // HTTP is refused by now, a socket's message is not.
  await ended.send({ type: "broadcast", event: "e", payload: {} });
  using other = await server.open();
  const joinRef = await other.join(ended.subTopic, { broadcast: { ack: true } });
  await other.broadcast(ended.subTopic, joinRef);
  assert.equal((await system.next()).message, "Too many messages per second");
  assert.equal(await statuses.next(), "CLOSED");
});
