import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic } from "./support/stack.ts";

const text = (frame: { raw: string | Uint8Array }): unknown => JSON.parse(frame.raw as string);

Deno.test("every kind of frame has exactly event, payload, ref and topic", async () => {
  using socket = await RawSocket.open({ vsn: "1.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const config = { broadcast: { self: true, ack: true }, presence: { enabled: true, key: "k" } };
  socket.sendRaw(JSON.stringify({ topic, event: "phx_join", payload: { config }, ref: "1", join_ref: "1" }));
  assert.deepEqual(text(await socket.next()), {
    event: "phx_reply",
    payload: { response: { postgres_changes: [] }, status: "ok" },
    ref: "1",
    topic,
  });
  assert.deepEqual(text(await socket.next()), { event: "presence_state", payload: {}, ref: null, topic });

  const map = { type: "broadcast", event: "e", payload: { a: 1 } };
  socket.sendRaw(JSON.stringify({ topic, event: "broadcast", payload: map, ref: "2" }));
  assert.deepEqual(text(await socket.next()), { event: "broadcast", payload: map, ref: null, topic });
  assert.deepEqual(text(await socket.next()), {
    event: "phx_reply",
    payload: { response: {}, status: "ok" },
    ref: "2",
    topic,
  });

  socket.sendRaw(JSON.stringify({ topic, event: "access_token", payload: { access_token: "" }, ref: "3" }));
  const message = "The token provided is not a valid JWT";
  assert.deepEqual(text(await socket.next()), {
    event: "system",
    payload: { extension: "system", status: "error", message, channel: subTopic },
    ref: null,
    topic,
  });
  assert.deepEqual(text(await socket.next()), { event: "phx_close", payload: {}, ref: "1", topic });
});

Deno.test("without a join_ref the close has no ref, and any leave will do", async () => {
  using socket = await RawSocket.open({ vsn: "1.0.0" });
  const topic = `realtime:${newTopic()}`;
  socket.sendRaw(JSON.stringify({ topic, event: "phx_join", payload: {}, ref: "1" }));
  await socket.next();
  socket.sendRaw(JSON.stringify({ topic, event: "phx_leave", payload: {}, ref: "2", join_ref: "9" }));
  assert.deepEqual(text(await socket.next()), {
    event: "phx_reply",
    payload: { response: {}, status: "ok" },
    ref: "2",
    topic,
  });
  assert.deepEqual(text(await socket.next()), { event: "phx_close", payload: {}, ref: null, topic });
});

Deno.test("a heartbeat is answered with its ref, null too, and JSON may come in a binary frame", async () => {
  using socket = await RawSocket.open({ vsn: "1.0.0" });
  for (const ref of ["7", null]) {
    socket.sendRaw(
      new TextEncoder().encode(JSON.stringify({ topic: "phoenix", event: "heartbeat", payload: {}, ref })),
    );
    assert.deepEqual(text(await socket.next()), {
      event: "phx_reply",
      payload: { response: {}, status: "ok" },
      ref,
      topic: "phoenix",
    });
  }
});

Deno.test("an object that lacks a key, or no object, is dropped and the socket lives on", async () => {
  using socket = await RawSocket.open({ vsn: "1.0.0" });
  const whole = { topic: `realtime:${newTopic()}`, event: "phx_join", payload: {}, ref: "1" };
  for (const key of Object.keys(whole)) {
    const { [key as keyof typeof whole]: _, ...rest } = whole;
    socket.sendRaw(JSON.stringify(rest));
  }
  for (const other of ["", "{", "null", "[1,2,3,4,5]"]) socket.sendRaw(other);
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("the official client works over V1", async () => {
  const subTopic = newTopic();
  await using connection = connectClient({ realtime: { vsn: "1.0.0" } });
  const channel = connection.client.channel(subTopic, { config: { broadcast: { ack: true, self: true } } });
  const inbox = new Inbox<Record<string, unknown>>();
  channel.on("broadcast", { event: "*" }, inbox.put);
  assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
  assert.equal(new URL(connection.client.realtime.endpointURL()).searchParams.get("vsn"), "1.0.0");
  assert.equal(await channel.send({ type: "broadcast", event: "e", payload: { n: 1 } }), "ok");
  assert.deepEqual(await inbox.next(), { type: "broadcast", event: "e", payload: { n: 1 } });
});
