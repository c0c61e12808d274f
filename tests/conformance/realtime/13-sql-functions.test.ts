import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, newTopic, stack } from "./support/stack.ts";

/** A V2 socket joined to the private topic, with the link to the database up. */
async function listen(topic: string, vsn = "2.0.0"): Promise<RawSocket> {
  const socket = await RawSocket.open({ vsn, key: stack.secretKey });
  await socket.join(topic, { private: true, broadcast: { replication_ready: true } });
  assert.equal((await socket.nextEvent("system")).payload.message, "Replication connection established");
  return socket;
}

Deno.test("realtime.send reaches both versions with the row's id", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using v2 = await listen(topic);
  using v1 = await listen(topic, "1.0.0");
  await database.sql`select realtime.send('{"a": [1,2]}'::jsonb, 'hi', ${topic})`;

  const frame = await v2.nextEvent("broadcast");
  const { id } = frame.payload.meta;
  assert.deepEqual(frame.payload, { type: "broadcast", event: "hi", payload: { a: [1, 2], id }, meta: { id } });
  // The database's own text, spacing and all.
  assert.ok(new TextDecoder().decode(frame.raw as Uint8Array).endsWith(`{"a": [1, 2], "id": "${id}"}`));
  assert.deepEqual((await v1.nextEvent("broadcast")).payload, frame.payload);
  const [stored] = await database.sql`select topic, event, private from realtime.messages where id = ${id}`;
  assert.deepEqual({ ...stored }, { topic, event: "hi", private: true });
});

Deno.test("a payload keeps an id of its own; bytes arrive as bytes, and in V2 only", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using v2 = await listen(topic);
  using v1 = await listen(topic, "1.0.0");
  await database.sql`select realtime.send_binary('\\x00ff'::bytea, 'bin', ${topic})`;
  await database.sql`select realtime.send('{"id":"mine"}'::jsonb, 'hi', ${topic})`;
  assert.deepEqual((await v2.nextEvent("broadcast")).payload.payload, Uint8Array.of(0, 255));
  assert.deepEqual((await v2.nextEvent("broadcast")).payload.payload, { id: "mine" });
  assert.equal((await v1.nextEvent("broadcast")).payload.event, "hi");
});

Deno.test("messages come in order once committed, and never when rolled back", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await listen(topic);
  await database.sql.begin(async (tx) => {
    await tx`select realtime.send('{}'::jsonb, 'lost', ${topic})`;
    throw new Error("rollback");
  }).catch(() => {});
  await database.sql.begin(async (tx) => {
    for (let n = 1; n <= 20; n++) await tx`select realtime.send('{}'::jsonb, ${String(n)}, ${topic})`;
    assert.deepEqual(await socket.rest(), []);
  });
  const events: string[] = [];
  for (let n = 1; n <= 20; n++) events.push((await socket.nextEvent("broadcast")).payload.event);
  assert.deepEqual(events, Array.from({ length: 20 }, (_, index) => String(index + 1)));
});

Deno.test("a row without event or payload is skipped and the stream goes on; private decides the channel", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await listen(topic);
  using open = await RawSocket.open({ vsn: "2.0.0" });
  await open.join(topic);
  await database.sql`select realtime.send(null, 'no payload', ${topic})`;
  await database.sql`select realtime.send('{}'::jsonb, null, ${topic})`;
  await database.sql`select realtime.send('{}'::jsonb, 'open', ${topic}, false)`;
  await database.sql`select realtime.send('{}'::jsonb, 'closed', ${topic})`;
  assert.equal((await socket.nextEvent("broadcast")).payload.event, "closed");
  assert.equal((await open.nextEvent("broadcast")).payload.event, "open");
  assert.deepEqual([...await socket.rest(), ...await open.rest()], []);
});

Deno.test("broadcast_changes sends the row, and raises for what is no row change", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await listen(topic);
  await database.sql`
    select realtime.broadcast_changes(${topic}, 'INSERT', 'INSERT', 't', 'public', r, null)
    from (select 1 as a) r`;
  const { id, ...change } = (await socket.nextEvent("broadcast")).payload.payload;
  assert.ok(id);
  assert.deepEqual(change, { old_record: null, record: { a: 1 }, operation: "INSERT", table: "t", schema: "public" });
  await assert.rejects(
    database
      .sql`select realtime.broadcast_changes(${topic}, 'e', 'TRUNCATE', 't', 'public', r, null) from (select 1) r`,
    /Failed to process the row: Unexpected operation type: TRUNCATE/,
  );
});

Deno.test("replay gives the newest messages, oldest first, and not once more when they come live", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  for (const event of ["1", "2", "3"]) await database.sql`select realtime.send('{}'::jsonb, ${event}, ${topic})`;
  const since = Date.now() - 60_000;
  using socket = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  await socket.join(topic, { private: true, broadcast: { replay: { since, limit: 2 } } });
  const frames = [await socket.next(), await socket.next()];
  assert.deepEqual(frames.map(({ payload }) => [payload.event, payload.meta.replayed]), [["2", true], ["3", true]]);
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("replay is refused on a public channel and with values that make no sense", async () => {
  const cases: [boolean, unknown, string][] = [
    [false, { since: 0 }, "Replay is not allowed for public channels"],
    [true, { since: "yesterday" }, "Replay params are not valid"],
    [true, {}, "Replay params are not valid"],
  ];
  await Promise.all(cases.map(async ([isPrivate, replay, text]) => {
    using socket = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
    const { reply } = await socket.tryJoin(newTopic(), { private: isPrivate, broadcast: { replay } });
    assert.equal(reply.payload.response.reason, `UnableToReplayMessages: ${text}`);
  }));
});
