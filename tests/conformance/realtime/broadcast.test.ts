import assert from "node:assert/strict";
import { broadcastPush, RawSocket } from "./support/raw-socket.ts";
import { newTopic } from "./support/stack.ts";

const utf8 = new TextEncoder();

Deno.test("a map sent as text reaches both versions verbatim, extra keys included", async () => {
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  using v1 = await RawSocket.open({ vsn: "1.0.0" });
  using v2 = await RawSocket.open({ vsn: "2.0.0" });
  await v1.join(subTopic);
  await v2.join(subTopic);
  const map = { type: "broadcast", event: "e", payload: [1], more: true };

  v2.send(topic, "broadcast", map);
  assert.deepEqual((await v1.nextEvent("broadcast")).payload, map);
  v1.send(topic, "broadcast", map);
  assert.equal((await v2.nextEvent("broadcast")).raw, JSON.stringify([null, null, topic, "broadcast", map]));
});

Deno.test("a JSON body reaches V2 untouched and V1 as an object; bytes reach V2 only", async () => {
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  using sender = await RawSocket.open({ vsn: "2.0.0" });
  using v1 = await RawSocket.open({ vsn: "1.0.0" });
  using v2 = await RawSocket.open({ vsn: "2.0.0" });
  const joinRef = await sender.join(subTopic);
  await v1.join(subTopic);
  await v2.join(subTopic);

  sender.sendRaw(broadcastPush({ joinRef, topic, event: "bin", body: Uint8Array.of(0, 255), encoding: 0 }));
  sender.sendRaw(broadcastPush({ joinRef, topic, event: "hi", body: utf8.encode('{"a":  1}') }));

  assert.deepEqual((await v2.next()).payload.payload, Uint8Array.of(0, 255));
  const header = Uint8Array.of(4, utf8.encode(topic).length, 2, 0, 1);
  assert.deepEqual((await v2.next()).raw, new Uint8Array([...header, ...utf8.encode(`${topic}hi{"a":  1}`)]));
  assert.deepEqual((await v1.next()).payload, { event: "hi", payload: { a: 1 }, type: "broadcast" });
});

Deno.test("self and ack: an own copy comes before the acknowledgement", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const joinRef = await socket.join(subTopic, { broadcast: { self: true, ack: true } });
  const ref = socket.send(topic, "broadcast", { event: "e", payload: {} }, joinRef);
  const frames = [await socket.next(), await socket.next()];
  assert.deepEqual(frames.map(({ event, ref }) => [event, ref]), [["broadcast", null], ["phx_reply", ref]]);
});

Deno.test("without self and ack the sender hears nothing, its other sockets do", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  using other = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const joinRef = await socket.join(subTopic);
  await other.join(subTopic);
  socket.send(`realtime:${subTopic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  await other.nextEvent("broadcast");
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("an oversized message is answered only where an answer was asked for", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const joinRef = await socket.join(subTopic, { broadcast: { self: true, ack: true } });
  const map = { event: "e", payload: { text: "x".repeat(3_100_000) } };
  const reply = await socket.request(`realtime:${subTopic}`, "broadcast", map, joinRef);
  assert.deepEqual(reply.payload, { status: "error", response: "payload_size_exceeded" });
  assert.deepEqual(await socket.rest(), []);
});
