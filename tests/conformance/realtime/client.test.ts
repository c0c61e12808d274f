import assert from "node:assert/strict";
import { createClient, type RealtimeChannel } from "@supabase/supabase-js";
import { connectDatabase, newTopic, stack } from "./support/stack.ts";

function connect(key: string) {
  const client = createClient(stack.url, key, { auth: { persistSession: false, autoRefreshToken: false } });
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client.removeAllChannels();
      await client.realtime.disconnect();
    },
  };
}

function subscribed(channel: RealtimeChannel): Promise<string> {
  return new Promise((resolve) => channel.subscribe((status) => resolve(status)));
}

Deno.test("the official client hears messages from SQL on a private channel", async () => {
  await using database = connectDatabase();
  await using connection = connect(stack.secretKey);
  const topic = newTopic();
  const channel = connection.client.channel(topic, { config: { private: true } });
  const heard = new Promise<{ payload: unknown }>((resolve) => channel.on("broadcast", { event: "hi" }, resolve));
  assert.equal(await subscribed(channel), "SUBSCRIBED");
  await database.sql`select realtime.send('{"id":1}'::jsonb, 'hi', ${topic})`;
  assert.deepEqual((await heard).payload, { id: 1 });
});

Deno.test("the official client's broadcast is acknowledged, over the socket and over HTTP", async () => {
  await using connection = connect(stack.publishableKey);
  const topic = newTopic();
  const channel = connection.client.channel(topic, { config: { broadcast: { ack: true, self: true } } });
  const heard: unknown[] = [];
  const all = new Promise<void>((resolve) =>
    channel.on("broadcast", { event: "*" }, ({ payload }) => heard.push(payload) === 2 && resolve())
  );
  assert.equal(await subscribed(channel), "SUBSCRIBED");
  assert.equal(await channel.send({ type: "broadcast", event: "e", payload: { n: 1 } }), "ok");
  assert.deepEqual(await channel.httpSend("e", { n: 2 }), { success: true });
  await all;
  assert.deepEqual(heard, [{ n: 1 }, { n: 2 }]);
});

Deno.test("the official client sees presence come and go", async () => {
  await using one = connect(stack.publishableKey);
  await using two = connect(stack.publishableKey);
  const topic = newTopic();
  const watcher = one.client.channel(topic);
  const joined = new Promise<string>((resolve) => watcher.on("presence", { event: "join" }, ({ key }) => resolve(key)));
  const left = new Promise<string>((resolve) => watcher.on("presence", { event: "leave" }, ({ key }) => resolve(key)));
  assert.equal(await subscribed(watcher), "SUBSCRIBED");
  const present = two.client.channel(topic, { config: { presence: { key: "worker" } } });
  assert.equal(await subscribed(present), "SUBSCRIBED");
  assert.equal(await present.track({ status: "idle" }), "ok");
  assert.equal(await joined, "worker");
  await two.client.removeAllChannels();
  assert.equal(await left, "worker");
});

Deno.test("the official client is told why a private channel is refused", async () => {
  await using connection = connect(stack.publishableKey);
  const topic = newTopic();
  const channel = connection.client.channel(topic, { config: { private: true } });
  const error = await new Promise<Error | undefined>((resolve) =>
    channel.subscribe((_status, error) => resolve(error))
  );
  assert.match(error?.message ?? "", /You do not have permissions to read from this Channel topic/);
});
