import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic, signToken } from "./support/stack.ts";

Deno.test("without self the sender hears nothing, another socket of the same user does", async () => {
  const key = await signToken();
  using socket = await RawSocket.open({ vsn: "2.0.0", key });
  using other = await RawSocket.open({ vsn: "2.0.0", key });
  const subTopic = newTopic();
  const joinRef = await socket.join(subTopic);
  await other.join(subTopic);
  socket.send(`realtime:${subTopic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  assert.deepEqual((await other.next()).payload, { event: "e", payload: {} });
  // Neither a copy, nor a reply that was not asked for.
  assert.deepEqual(await socket.rest(), []);
  assert.deepEqual(await other.rest(), []);
});

Deno.test("with self and ack the own copy comes before the acknowledgement", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const joinRef = await socket.join(subTopic, { broadcast: { self: true, ack: true } });
  const topic = `realtime:${subTopic}`;
  const ref = socket.send(topic, "broadcast", { event: "e", payload: {} }, joinRef);
  assert.equal((await socket.next()).event, "broadcast");
  assert.equal(
    (await socket.next()).raw,
    JSON.stringify([joinRef, ref, topic, "phx_reply", { status: "ok", response: {} }]),
  );
});

Deno.test("a sender's messages reach a receiver in the order they were sent", async () => {
  using sender = await RawSocket.open({ vsn: "2.0.0" });
  using receiver = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await sender.join(subTopic);
  await receiver.join(subTopic);
  const sent = Array.from({ length: 50 }, (_, n) => n);
  for (const n of sent) sender.send(`realtime:${subTopic}`, "broadcast", { event: "e", payload: { n } });
  const received: number[] = [];
  while (received.length < sent.length) received.push((await receiver.next()).payload.payload.n);
  assert.deepEqual(received, sent);
});

Deno.test("the official client: two sockets of one user, self on one of them, ack on both", async () => {
  const key = await signToken();
  await using first = connectClient({ key });
  await using second = connectClient({ key });
  const topic = newTopic();
  const heard = [new Inbox<{ payload: unknown }>(), new Inbox<{ payload: unknown }>()] as const;
  const one = first.client.channel(topic, { config: { broadcast: { self: false, ack: true } } });
  const two = second.client.channel(topic, { config: { broadcast: { self: true, ack: true } } });
  one.on("broadcast", { event: "e" }, heard[0].put);
  two.on("broadcast", { event: "e" }, heard[1].put);
  assert.equal((await subscribe(one)).status, "SUBSCRIBED");
  assert.equal((await subscribe(two)).status, "SUBSCRIBED");
  assert.equal(await one.send({ type: "broadcast", event: "e", payload: { from: 1 } }), "ok");
  assert.equal(await two.send({ type: "broadcast", event: "e", payload: { from: 2 } }), "ok");
  // The first did not hear itself.
  assert.deepEqual((await heard[0].next()).payload, { from: 2 });
  assert.deepEqual((await heard[1].next()).payload, { from: 1 });
  assert.deepEqual((await heard[1].next()).payload, { from: 2 });
});
