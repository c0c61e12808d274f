import assert from "node:assert/strict";
import postgres from "postgres";
import { createRealtime, type Realtime } from "../../../local/realtime/server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, newTopic, signToken, stack } from "./support/stack.ts";

// These tests cut and switch off a Realtime server of their own, which needs the database's superuser.
const adminDbUrl = Deno.env.get("SUPABASE_ADMIN_DB_URL");
const ignore = !adminDbUrl;

/** A server beside the stack's own, over the same database. */
async function startRealtime(): Promise<{ realtime: Realtime; url: string } & AsyncDisposable> {
  const realtime = createRealtime({ dbUrl: adminDbUrl ?? "", jwtSecret: stack.jwtSecret });
  await realtime.start();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const url = new URL(request.url);
    url.pathname = url.pathname.replace("/realtime/v1", "/socket");
    return realtime.fetch(new Request(url, { headers: request.headers }), request);
  });
  return {
    realtime,
    url: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      await realtime.stop();
      await server.shutdown();
    },
  };
}

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
  await using server = await startRealtime();
  await using database = connectDatabase();
  const admin = postgres(adminDbUrl ?? "", { max: 1 });
  const topic = newTopic();
  const key = await signToken({ role: "service_role" });
  using socket = await RawSocket.open({ url: server.url, key, vsn: "2.0.0" });
  await socket.join(topic, { private: true });
  const [cut] = await admin`
    select pg_terminate_backend(active_pid) as done, slot_name from pg_replication_slots
    where slot_name like 'supabase_realtime_messages%' and database = current_database()`;
  assert.ok(cut?.done);
  await admin.end();

  // The link says nothing when it is back; a message that arrives does.
  const ready = newTopic();
  await socket.join(ready, { private: true, broadcast: { replication_ready: true } });
  await socket.nextEvent("system");
  await database.sql`select realtime.send('{}'::jsonb, 'back', ${topic})`;
  assert.equal((await socket.nextEvent("broadcast")).payload.event, "back");
});

Deno.test("faults: broadcasts may be dropped or doubled", { ignore }, async () => {
  await using server = await startRealtime();
  const { faults } = server.realtime;
  using socket = await RawSocket.open({ url: server.url, key: await signToken(), vsn: "2.0.0" });
  const topic = newTopic();
  const joinRef = await socket.join(topic, { broadcast: { self: true, ack: true } });
  const send = () => socket.request(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  faults.dropMessages = true;
  await send();
  assert.equal((await socket.rest()).length, 0);
  Object.assign(faults, { dropMessages: false, duplicateMessages: true });
  await send();
  assert.equal((await socket.rest()).length, 2);
});
