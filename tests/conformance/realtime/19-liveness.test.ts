import assert from "node:assert/strict";
import postgres from "postgres";
import { until } from "../../../local/testing/wait.ts";
import { connectClient, Inbox } from "./support/client.ts";
import { adminDbUrl, ignore, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic, signToken } from "./support/stack.ts";

Deno.test(
  "a heartbeat is answered while another socket's join takes its time, and its own waits",
  { ignore },
  async () => {
    await using server = await startRealtime();
    using slow = await server.open({ role: "service_role" });
    using socket = await server.open();
    const admin = postgres(adminDbUrl!, { max: 2 });
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => admin.end());
    let ref = "";
    // A private join asks the table.
    await admin.begin(async (tx) => {
      await tx`lock table realtime.messages in access exclusive mode`;
      ref = slow.send(`realtime:${newTopic()}`, "phx_join", { config: { private: true } }, "1", "1");
      slow.send("phoenix", "heartbeat", {}, null, "h");
      await until("the join waits", async () => {
        const [{ waiting } = {}] = await admin`
        select count(*)::int as waiting from pg_stat_activity
        where application_name = 'realtime' and wait_event_type = 'Lock'`;
        return waiting > 0;
      });
      assert.deepEqual(await socket.rest(), []);
      assert.equal(slow.pending, 0);
    });
    assert.deepEqual([(await slow.next()).ref, (await slow.next()).ref], [ref, "h"]);
  },
);

Deno.test(
  "a socket from which nothing comes is closed with 1000, one that has a heartbeat is not",
  { ignore },
  async () => {
    const idleTimeoutMs = 750;
    await using server = await startRealtime({ limits: { idleTimeoutMs } });
    using idle = await server.open();
    using alive = await server.open();
    const topic = newTopic();
    await idle.join(topic);
    const started = performance.now();
    let code: number | undefined;
    void idle.closed.then((closed) => code = closed);
    while (code === undefined) await alive.rest();
    assert.equal(code, 1000);
    assert.ok(performance.now() - started >= idleTimeoutMs - 20);
    // Long after it would have been closed itself.
    const until = performance.now() + 2 * idleTimeoutMs;
    while (performance.now() < until) await alive.rest();
    assert.equal(await alive.closed, 1000);
  },
);

Deno.test("a socket that is only sent to is idle all the same", { ignore }, async () => {
  await using server = await startRealtime({ limits: { idleTimeoutMs: 200 } });
  using listener = await server.open();
  using sender = await server.open();
  const topic = newTopic();
  await listener.join(topic);
  const joinRef = await sender.join(topic, { broadcast: { ack: true } });
  let code: number | undefined;
  void listener.closed.then((closed) => code = closed);
  while (code === undefined) await sender.broadcast(topic, joinRef);
  assert.equal(code, 1000);
});

Deno.test("a frame of more than five million bytes closes its socket with 1009", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  socket.sendRaw("x".repeat(5_000_000));
  assert.deepEqual(await socket.rest(), []);
  socket.sendRaw(new Uint8Array(5_000_001));
  assert.equal(await socket.closed, 1009);
});

Deno.test(
  "a socket that has left all its channels is swept away, one that never joined stays",
  { ignore },
  async () => {
    await using server = await startRealtime({ limits: { noChannelSweepMs: 30 } });
    using left = await server.open();
    using joined = await server.open();
    using never = await server.open();
    const topic = newTopic();
    const joinRef = await left.join(topic);
    await joined.join(newTopic());
    await left.request(`realtime:${topic}`, "phx_leave", {}, joinRef);
    await left.closed;
    assert.deepEqual([...await joined.rest(), ...await never.rest()], []);
  },
);

Deno.test("a server that stops refuses joins, then closes its sockets with 1012", { ignore }, async () => {
  await using server = await startRealtime({ limits: { drainMs: 1000 } });
  using socket = await server.open();
  const topic = newTopic();
  const joinRef = await socket.join(topic, { broadcast: { ack: true } });
  const stopped = server.realtime.stop();
  const { reply } = await socket.tryJoin(newTopic());
  assert.equal(reply.payload.response.reason, "RealtimeRestarting: Realtime is restarting, please standby");
  await socket.broadcast(topic, joinRef);
  await assert.rejects(server.open());
  assert.equal(await socket.closed, 1012);
  await stopped;
});

Deno.test("a server that disconnects its clients tells every channel, then closes with 1012", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await server.open();
  const topics = [newTopic(), newTopic()];
  for (const topic of topics) await socket.join(topic);
  server.realtime.disconnect();
  for (const topic of topics) {
    const { event, topic: to, payload } = await socket.next();
    assert.deepEqual([event, to], ["system", `realtime:${topic}`]);
    assert.deepEqual(payload, { extension: "system", status: "ok", message: "Server requested disconnect" });
  }
  assert.equal(await socket.closed, 1012);
  using again = await server.open();
  await again.join(topics[0]!);
});

Deno.test("the official client comes back by itself after a disconnect, and hears what is sent from then on", {
  ignore,
}, async () => {
  await using server = await startRealtime();
  const reconnectAfterMs = () => 20;
  await using connection = connectClient({ url: server.url, key: await signToken(), realtime: { reconnectAfterMs } });
  const topic = newTopic();
  const [inbox, statuses] = [new Inbox<{ event: string }>(), new Inbox<string>()];
  connection.client.channel(topic).on("broadcast", { event: "*" }, inbox.put).subscribe(statuses.put);
  assert.equal(await statuses.next(), "SUBSCRIBED");
  server.realtime.disconnect();
  using sender = await server.open();
  const joinRef = await sender.join(topic, { broadcast: { ack: true } });
  await sender.broadcast(topic, joinRef, "lost");
  assert.equal(await statuses.next(), "CHANNEL_ERROR");
  assert.equal(await statuses.next(), "SUBSCRIBED");
  await sender.broadcast(topic, joinRef, "heard");
  assert.equal((await inbox.next()).event, "heard");
});
