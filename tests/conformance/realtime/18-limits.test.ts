import assert from "node:assert/strict";
import { ignore, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic, signToken } from "./support/stack.ts";

const noDelay = { joinErrorDelayMs: 0, connectErrorDelayMs: 0 };
const track = (payload: unknown) => ({ type: "presence", event: "track", payload });

/** A clock that runs, and jumps when told. */
function jumpingClock() {
  let ahead = 0;
  return { now: () => Date.now() + ahead, jump: (ms: number) => ahead += ms };
}

async function reasonOf(socket: RawSocket, topic = newTopic()): Promise<string> {
  return (await socket.tryJoin(topic)).reply.payload.response.reason;
}

Deno.test("a socket holds so many channels, and may join again when it has left one", { ignore }, async () => {
  await using server = await startRealtime({ limits: { ...noDelay, maxChannelsPerSocket: 2 } });
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  const topic = newTopic();
  const joinRef = await socket.join(topic);
  await socket.join(newTopic());
  assert.equal(await reasonOf(socket), "ChannelRateLimitReached: Too many channels");
  await socket.request(`realtime:${topic}`, "phx_leave", {}, joinRef);
  await socket.join(newTopic());
});

Deno.test("only so many sockets may be in channels", { ignore }, async () => {
  await using server = await startRealtime({ limits: { ...noDelay, maxConnectedUsers: 1 } });
  const options = { url: server.url, key: await signToken(), vsn: "2.0.0" };
  using first = await RawSocket.open(options);
  using second = await RawSocket.open(options);
  await first.join(newTopic());
  assert.equal(await reasonOf(second), "ConnectionRateLimitReached: Too many connected users");
  await assert.rejects(RawSocket.open(options));
});

Deno.test("too many joins refuse the next and close its socket", { ignore }, async () => {
  const { now, jump } = jumpingClock();
  await using server = await startRealtime({ now, limits: { ...noDelay, maxJoinsPerSecond: 0.2 } });
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  await socket.join(newTopic());
  jump(5000);
  assert.equal(await reasonOf(socket), "ClientJoinRateLimitReached: Too many joins per second");
  assert.equal(await socket.closed, 1001);
});

Deno.test("too many messages close the channels they are delivered to, until the mean falls", { ignore }, async () => {
  const { now, jump } = jumpingClock();
  await using server = await startRealtime({ now, limits: { ...noDelay, maxMessagesPerSecond: 1 } });
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  using quiet = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  await quiet.join(newTopic());
  const topic = newTopic();
  await socket.join(topic, { broadcast: { self: true } });
  const send = () => socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} });
  for (let n = 0; n < 5; n++) send();
  assert.equal((await socket.rest()).length, 5);
  jump(5000);
  send();
  assert.equal((await socket.nextEvent("system")).payload.message, "Too many messages per second");
  await socket.nextEvent("phx_close");
  assert.deepEqual(await quiet.rest(), []);

  jump(20_000);
  await socket.join(topic, { broadcast: { self: true } });
  send();
  await socket.nextEvent("broadcast");
});

Deno.test("an oversized track ends its channel", { ignore }, async () => {
  await using server = await startRealtime({ limits: { ...noDelay, maxPayloadKilobytes: 1 } });
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  const topic = newTopic();
  await socket.join(topic);
  socket.send(`realtime:${topic}`, "presence", track({ text: "x".repeat(2000) }));
  assert.equal((await socket.nextEvent("system")).payload.message, "Track message size exceeded");
});

Deno.test("a project may be for private channels only", { ignore }, async () => {
  await using server = await startRealtime({ limits: { ...noDelay, privateOnly: true } });
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  assert.equal(await reasonOf(socket), "PrivateOnly: This project only allows private channels");
});

Deno.test("an idle socket is closed with 1000", { ignore }, async () => {
  await using server = await startRealtime({ limits: { ...noDelay, idleTimeoutMs: 50 } });
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  assert.equal(await socket.closed, 1000);
});
