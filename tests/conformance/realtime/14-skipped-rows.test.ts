import assert from "node:assert/strict";
import { ignore, startRealtime } from "./support/own-server.ts";
import { connectDatabase, newTopic, serviceToken } from "./support/stack.ts";
import { connectClient, Inbox, subscribe } from "./support/client.ts";

Deno.test("rows that lack something, or are too large, are skipped and the stream goes on", { ignore }, async () => {
  const skipped: string[] = [];
  await using server = await startRealtime({
    limits: { maxPayloadKilobytes: 1 },
    log: (line) => "event" in line && line.event === "realtime.row_skipped" && skipped.push(JSON.stringify(line)),
  });
  await using database = connectDatabase();
  const topic = newTopic();
  using closed = await server.open({ role: "service_role" });
  await closed.join(topic, { private: true });
  using open = await server.open();
  await open.join(topic);
  const insert = (row: Record<string, unknown>) => {
    const whole = { topic, extension: "broadcast", event: "e", payload: {}, ...row };
    return database.sql`
      insert into realtime.messages (topic, extension, event, payload, private)
      select topic, extension, event, payload, coalesce(private, ${row.private === null ? null : false})
      from jsonb_to_record(${database.sql.json(whole as never)})
        as row (topic text, extension text, event text, payload jsonb, private boolean)`;
  };

  await database.sql`select realtime.send(null, 'no payload', ${topic})`;
  await database.sql`select realtime.send('{}'::jsonb, null, ${topic})`;
  await insert({ event: null });
  await insert({ payload: null });
  await insert({ private: null });
  // An allowance of 500 bytes stands above the limit, and 6 are the encoding's own.
  const payloadOf = (bytes: number) => "x".repeat(bytes - 2);
  await insert({ event: "too large", private: true, payload: payloadOf(1495) });
  await insert({ event: "just fits", private: true, payload: payloadOf(1494) });
  // The extension is not looked at.
  await insert({ event: "presence", extension: "presence", private: true });
  await insert({ event: "public" });

  assert.equal((await closed.next()).payload.event, "just fits");
  assert.equal((await closed.next()).payload.event, "presence");
  assert.equal((await open.next()).payload.event, "public");
  assert.deepEqual([...await closed.rest(), ...await open.rest()], []);
  assert.equal(skipped.filter((line) => line.includes(topic)).length, 6);
});

Deno.test("an event too long for V2 is not sent to it, and the stream goes on", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await server.open({ role: "service_role" });
  await socket.join(topic, { private: true });
  await database.sql`select realtime.send('{}'::jsonb, repeat('e', 256), ${topic})`;
  await database.sql`select realtime.send('{}'::jsonb, repeat('e', 255), ${topic})`;
  assert.equal((await socket.next()).payload.event, "e".repeat(255));
});

Deno.test("an update or a deletion says nothing", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await server.open({ role: "service_role" });
  await socket.join(topic, { private: true });
  await database.sql`select realtime.send('{}'::jsonb, 'first', ${topic})`;
  await database.sql`update realtime.messages set event = 'changed' where topic = ${topic}`;
  await database.sql`delete from realtime.messages where topic = ${topic}`;
  await database.sql`select realtime.send('{}'::jsonb, 'last', ${topic})`;
  assert.equal((await socket.next()).payload.event, "first");
  assert.equal((await socket.next()).payload.event, "last");
});

Deno.test("the official client hears what follows a skipped row", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using connection = connectClient({ url: server.url, key: await serviceToken() });
  const inbox = new Inbox<{ event: string }>();
  const channel = connection.client.channel(topic, { config: { private: true } })
    .on("broadcast", { event: "*" }, inbox.put);
  assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
  await database.sql`
    select realtime.send(null, 'skipped', ${topic}), realtime.send('{}'::jsonb, 'heard', ${topic})`;
  assert.equal((await inbox.next()).event, "heard");
});
