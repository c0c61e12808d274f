import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, grantTopic, newTopic, signToken, stack } from "./support/stack.ts";

const both = ["broadcast", "presence"];

function refusal(topic: string): unknown {
  const reason = `Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`;
  return { status: "error", response: { reason } };
}

Deno.test("a private channel is refused without a policy, to unknown roles, and to no role", async () => {
  const topic = newTopic();
  const tokens = [
    await signToken(),
    await signToken({ role: "no_such_role" }),
    await signToken({ claims: { role: null } }),
    await signToken({ role: "authenticator" }),
  ];
  await Promise.all(tokens.map(async (token) => {
    using socket = await RawSocket.open({ vsn: "2.0.0" });
    const { reply } = await socket.tryJoin(topic, { private: true, token });
    assert.deepEqual(reply.payload, refusal(topic));
  }));
});

Deno.test("a policy opens a private channel to its role, and probing it leaves nothing behind", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policies = await grantTopic(database.sql, topic, { read: both, write: both });
  using listener = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  await listener.join(topic, { private: true });
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const joinRef = await socket.join(topic, { private: true, token: await signToken(), broadcast: { ack: true } });
  const reply = await socket.request(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  assert.equal(reply.payload.status, "ok");
  assert.deepEqual((await listener.rest()).map(({ payload }) => payload), [{ event: "e", payload: {} }]);
  const stored = await database.sql`select id from realtime.messages where topic = ${topic}`;
  assert.equal(stored.length, 0);
});

Deno.test("who may only read sends nothing, and is not told; track is answered with an error", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policies = await grantTopic(database.sql, topic, { read: both });
  using listener = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  await listener.join(topic, { private: true });
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const joinRef = await socket.join(topic, { private: true, token: await signToken(), broadcast: { ack: true } });

  socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  const track = { type: "presence", event: "track", payload: {} };
  const reply = await socket.request(`realtime:${topic}`, "presence", track, joinRef);
  assert.deepEqual(reply.payload, { status: "error", response: {} });
  assert.deepEqual(await socket.rest(), []);
  assert.deepEqual(await listener.rest(), []);
});

Deno.test("who may read only presence joins, and gets no broadcast", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policies = await grantTopic(database.sql, topic, { read: ["presence"] });
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  await socket.join(topic, { private: true, token: await signToken(), presence: { enabled: true } });
  assert.deepEqual((await socket.next()).event, "presence_state");

  using sender = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  const joinRef = await sender.join(topic, { private: true, broadcast: { ack: true } });
  await sender.request(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("the public and the private channel of one name are two", async () => {
  const topic = newTopic();
  using open = await RawSocket.open({ vsn: "2.0.0" });
  await open.join(topic);
  using closed = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  const joinRef = await closed.join(topic, { private: true, broadcast: { ack: true, self: true } });
  await closed.request(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  await closed.nextEvent("broadcast");
  assert.deepEqual(await open.rest(), []);
});
