import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { broadcastPush, RawSocket } from "./support/raw-socket.ts";
import { newTopic, signToken } from "./support/stack.ts";

Deno.test("a topic that is not joined answers unmatched, but may be left", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const topic = `realtime:${newTopic()}`;
  const unmatched = { status: "error", response: { reason: "unmatched topic" } };
  assert.deepEqual((await socket.request(topic, "broadcast", {})).payload, unmatched);
  const other = await socket.request("other:topic", "phx_join", {}, "3");
  assert.deepEqual([other.joinRef, other.payload], [null, unmatched]);
  const push = broadcastPush({ joinRef: "1", ref: "9", topic, event: "e", body: new Uint8Array() });
  socket.sendRaw(push);
  assert.equal((await socket.next()).raw, JSON.stringify([null, "9", topic, "phx_reply", unmatched]));
  assert.deepEqual((await socket.request(topic, "phx_leave", {})).payload, { status: "ok", response: {} });
});

Deno.test("an empty topic name is refused", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await server.open();
  const { reply } = await socket.tryJoin("");
  assert.deepEqual(reply.payload, {
    status: "error",
    response: { reason: "TopicNameRequired: You must provide a topic name" },
  });
});

Deno.test("leaving answers, then closes with the join's reference", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const joinRef = await socket.join(subTopic);

  socket.send(topic, "phx_leave", {}, "stale");
  const leaveRef = socket.send(topic, "phx_leave", {}, joinRef);
  const frames = [await socket.next(), await socket.next()].map(({ raw }) => raw);
  assert.deepEqual(frames, [
    JSON.stringify([joinRef, leaveRef, topic, "phx_reply", { status: "ok", response: {} }]),
    JSON.stringify([joinRef, joinRef, topic, "phx_close", {}]),
  ]);
});

Deno.test("joining again replaces the channel: the new reply first, then the old one's close", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const config = { presence: { enabled: true, key: "k" } };
  const first = await socket.join(subTopic, config);
  assert.equal((await socket.next()).event, "presence_state");
  await socket.request(topic, "presence", { type: "presence", event: "track", payload: {} }, first);
  assert.equal((await socket.next()).event, "presence_diff");

  const second = await socket.join(subTopic, config);
  assert.notEqual(first, second);
  assert.equal((await socket.next()).raw, JSON.stringify([first, first, topic, "phx_close", {}]));
  // The old one has left: nobody is present.
  assert.equal((await socket.next()).raw, JSON.stringify([second, null, topic, "presence_state", {}]));
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("a join that fails has closed the old channel all the same", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await server.open();
  const subTopic = newTopic();
  const first = await socket.join(subTopic);
  const { reply } = await socket.tryJoin(subTopic, { private: true });
  assert.equal(reply.payload.status, "error");
  assert.deepEqual((await socket.rest()).map(({ event, ref }) => [event, ref]), [["phx_close", first]]);
  const { payload } = await socket.request(`realtime:${subTopic}`, "broadcast", {}, first);
  assert.deepEqual(payload.response, { reason: "unmatched topic" });
});

Deno.test("a message with a stale join_ref or none counts, a leave with one does not", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const joinRef = await socket.join(subTopic, { broadcast: { ack: true } });
  for (const stale of ["99", null]) {
    const ref = socket.send(topic, "broadcast", { event: "e", payload: {} }, stale);
    assert.equal((await socket.next()).ref, ref);
    socket.send(topic, "phx_leave", {}, stale);
  }
  assert.deepEqual(await socket.rest(), []);
  socket.send(topic, "phx_leave", {}, joinRef);
  assert.deepEqual((await socket.rest()).map(({ event }) => event), ["phx_reply", "phx_close"]);
});

Deno.test("frames that cannot be read are dropped and the socket lives on", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  for (const text of ["", "{", "[1,2]", "null", '{"topic":"t"}', "[null,null,1,2,{}]"]) socket.sendRaw(text);
  socket.sendRaw(Uint8Array.of(9, 9, 9));
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("unknown events on a joined channel are ignored", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const joinRef = await socket.join(subTopic, { broadcast: { ack: true } });
  socket.send(`realtime:${subTopic}`, "whatever", {}, joinRef);
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("malformed values in a join take their defaults: a private channel asked for wrongly is public", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  using open = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  await open.join(subTopic);
  const config = { private: "yes", broadcast: "loud", presence: { enabled: "TRUE", key: 7 }, postgres_changes: null };
  const reply = await socket.request(topic, "phx_join", { config }, "1");
  assert.deepEqual(reply.payload, { status: "ok", response: { postgres_changes: [] } });
  assert.equal((await socket.next()).event, "presence_state");
  await socket.request(topic, "presence", { event: "track", payload: {} }, "1");
  const diff = await socket.nextEvent("presence_diff");
  assert.deepEqual(Object.keys(diff.payload.joins), ["7"]);
  socket.send(topic, "broadcast", { event: "e", payload: {} }, "1");
  await open.nextEvent("broadcast");
});

Deno.test("asked for database changes, the server echoes them with ids and says that it has none", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const changes = [{ event: "*", schema: "public" }, { event: "INSERT", schema: "public", table: "t" }];
  const reply = await socket.request(
    `realtime:${subTopic}`,
    "phx_join",
    { config: { postgres_changes: changes } },
    "1",
  );
  const echoed = reply.payload.response.postgres_changes as { id: number }[];
  assert.ok(echoed.every(({ id }) => Number.isInteger(id)));
  assert.deepEqual(echoed.map(({ id: _, ...change }) => change), changes);
  const { extension, status, channel } = (await socket.nextEvent("system")).payload;
  assert.deepEqual([extension, status, channel], ["postgres_changes", "error", subTopic]);
});

Deno.test("what breaks a channel ends it with phx_error and its join's ref; the official client joins again", async () => {
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const joinRef = await socket.join(subTopic);
  await using connection = connectClient();
  const channel = connection.client.channel(subTopic);
  const statuses = new Inbox<string>();
  channel.subscribe(statuses.put);
  assert.equal(await statuses.next(), "SUBSCRIBED");

  // A broadcast that is no object breaks the sender, as nobody can be handed it.
  socket.send(topic, "broadcast", "text", joinRef);
  assert.equal(
    (await socket.next()).raw,
    JSON.stringify([joinRef, joinRef, topic, "phx_error", { reason: "channel_crash" }]),
  );
  assert.equal((await socket.request(topic, "broadcast", {})).payload.response.reason, "unmatched topic");

  await channel.send({ type: "presence", event: 7 as never });
  assert.equal(await statuses.next(), "CHANNEL_ERROR");
  assert.equal(await statuses.next(), "SUBSCRIBED");
});

Deno.test("the token of a channel: user_token, then access_token, then the connection's", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await server.open({ role: "service_role" });
  const reasonOf = async (payload: object) => {
    const answer = await socket.request(`realtime:${newTopic()}`, "phx_join", {
      config: { private: true },
      ...payload,
    });
    return answer.payload.response.reason?.split(":")[0] ?? "joined";
  };
  const [good, bad] = [await signToken({ role: "service_role" }), await signToken({ secret: "x".repeat(40) })];
  assert.equal(await reasonOf({}), "joined");
  assert.equal(await reasonOf({ access_token: bad }), "JwtSignatureError");
  assert.equal(await reasonOf({ access_token: bad, user_token: good }), "joined");
  assert.equal(await reasonOf({ access_token: "sb_secret_x", user_token: bad }), "joined");
});

Deno.test("the official client tells joined, left and refused", { ignore }, async () => {
  await using server = await startRealtime();
  await using connection = connectClient({ url: server.url, key: await signToken() });
  const { client } = connection;
  const channel = client.channel(newTopic());
  const statuses = new Inbox<string>();
  channel.subscribe(statuses.put);
  assert.equal(await statuses.next(), "SUBSCRIBED");
  assert.equal(await channel.unsubscribe(), "ok");
  assert.equal(await statuses.next(), "CLOSED");
  const { status, error } = await subscribe(client.channel(newTopic(), { config: { private: true } }));
  assert.equal(status, "CHANNEL_ERROR");
  assert.match(error!.message, /You do not have permissions to read from this Channel topic/);
});
