import assert from "node:assert/strict";
import postgres from "postgres";
import { adminDbUrl, ignore, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, newTopic, signToken } from "./support/stack.ts";

Deno.test(
  "a server switched off closes its sockets, refuses new ones, and works again when on",
  { ignore },
  async () => {
    await using server = await startRealtime();
    const key = await signToken();
    using socket = await RawSocket.open({ url: server.url, key });
    server.realtime.setEnabled(false);
    assert.equal(await socket.closed, 1012);
    await assert.rejects(RawSocket.open({ url: server.url, key }));
    server.realtime.setEnabled(true);
    using again = await RawSocket.open({ url: server.url, key });
    await again.join(newTopic());
  },
);

Deno.test("messages from the database flow again after the link was cut", { ignore }, async () => {
  const restored = Promise.withResolvers<void>();
  await using server = await startRealtime({
    log: (line) => "event" in line && line.event === "realtime.replication_restored" && restored.resolve(),
  });
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await RawSocket.open({
    url: server.url,
    key: await signToken({ role: "service_role" }),
    vsn: "2.0.0",
  });
  await socket.join(topic, { private: true });

  // The youngest link is this server's, not the stack's.
  const admin = postgres(adminDbUrl ?? "", { max: 1 });
  await admin`
    select pg_terminate_backend(pid) from pg_stat_replication
    where application_name = 'realtime_replication' order by backend_start desc limit 1`;
  await admin.end();
  await restored.promise;

  await database.sql`select realtime.send('{}'::jsonb, 'back', ${topic})`;
  assert.equal((await socket.nextEvent("broadcast")).payload.event, "back");
});

Deno.test("faults: broadcasts may be dropped or doubled", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  const topic = newTopic();
  const joinRef = await socket.join(topic, { broadcast: { self: true, ack: true } });
  const send = () => socket.request(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  await server.realtime.setFaults({ dropChance: 1 });
  await send();
  assert.equal((await socket.rest()).length, 0);
  await server.realtime.setFaults({ dropChance: 0, duplicateChance: 1 });
  await send();
  assert.equal((await socket.rest()).length, 2);
});
