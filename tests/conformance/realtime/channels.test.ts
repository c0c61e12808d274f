import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic } from "./support/stack.ts";

Deno.test("a topic that is not joined answers unmatched, but may be left", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const topic = `realtime:${newTopic()}`;
  const unmatched = { status: "error", response: { reason: "unmatched topic" } };
  assert.deepEqual((await socket.request(topic, "broadcast", {})).payload, unmatched);
  assert.deepEqual((await socket.request("other:topic", "phx_join", {})).payload, unmatched);
  assert.deepEqual((await socket.request(topic, "phx_leave", {})).payload, { status: "ok", response: {} });
});

Deno.test("an empty topic name is refused", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
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
  const first = await socket.join(subTopic);
  const second = await socket.join(subTopic);
  const close = await socket.next();
  assert.deepEqual([close.event, close.joinRef, close.ref], ["phx_close", first, first]);
  assert.notEqual(first, second);

  const reply = await socket.request(`realtime:${subTopic}`, "presence", { type: "presence" }, second);
  assert.equal(reply.payload.status, "ok");
});

Deno.test("unknown events on a joined channel are ignored", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const joinRef = await socket.join(subTopic);
  socket.send(`realtime:${subTopic}`, "whatever", {}, joinRef);
  assert.deepEqual(await socket.rest(), []);
});
