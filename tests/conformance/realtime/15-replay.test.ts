import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { answer, postBatch } from "./support/rest.ts";
import { connectDatabase, grantTopic, newTopic, serviceToken, stack } from "./support/stack.ts";

type Sql = ReturnType<typeof connectDatabase>["sql"];

/** Stores messages whose events are their numbers, a millisecond apart, the last of them a second ago. */
async function store(sql: Sql, topic: string, count: number): Promise<{ times: number[] }> {
  const last = Date.now() - 1000;
  const times = Array.from({ length: count }, (_, index) => last - (count - 1 - index));
  for (const [index, at] of times.entries()) {
    await sql`
      insert into realtime.messages (topic, extension, event, payload, private, inserted_at)
      values (${topic}, 'broadcast', ${String(index + 1)}, '{}'::text::jsonb, true, ${new Date(at).toISOString()})`;
  }
  return { times };
}

async function replayed(topic: string, replay: unknown, vsn = "2.0.0"): Promise<string[]> {
  using socket = await RawSocket.open({ vsn, key: stack.secretKey });
  await socket.join(topic, { private: true, broadcast: { replay } });
  return (await socket.rest()).map(({ payload }) => payload.event);
}

Deno.test("the newest come, oldest first, after the join's reply and marked, as text with its join_ref", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await database.sql`select realtime.send('{"n": 1}'::jsonb, 'older', ${topic})`;
  await database.sql`select realtime.send('{"n": 2}'::jsonb, 'newer', ${topic})`;
  using socket = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  const config = { private: true, broadcast: { replay: { since: 0 } }, presence: { enabled: true } };
  const joinRef = await socket.join(topic, config);
  for (const [n, event] of [[1, "older"], [2, "newer"]] as const) {
    const frame = await socket.next();
    assert.equal(typeof frame.raw, "string");
    assert.deepEqual([frame.joinRef, frame.ref, frame.event], [joinRef, null, "broadcast"]);
    const { id } = frame.payload.meta;
    assert.deepEqual(frame.payload, { event, payload: { n, id }, type: "broadcast", meta: { id, replayed: true } });
  }
  assert.deepEqual((await socket.rest()).map(({ event }) => event), ["presence_state"]);
});

Deno.test("the limit is 25 at most and at least 1, and 25 when left out", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await store(database.sql, topic, 30);
  const last = (count: number) => Array.from({ length: count }, (_, index) => String(30 - count + 1 + index));
  assert.deepEqual(await replayed(topic, { since: 0, limit: 3 }), last(3));
  assert.deepEqual(await replayed(topic, { since: 0, limit: 0 }), last(1));
  assert.deepEqual(await replayed(topic, { since: 0, limit: -5 }), last(1));
  for (const replay of [{ since: 0 }, { since: 0, limit: null }, { since: 0, limit: 1000 }]) {
    assert.deepEqual(await replayed(topic, replay), last(25));
  }
});

Deno.test("since counts itself in, to the millisecond, and what lies more than a minute ahead is left out", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  const { times } = await store(database.sql, topic, 3);
  await database.sql`
    insert into realtime.messages (topic, extension, event, payload, private, inserted_at)
    values (${topic}, 'broadcast', 'ahead', '{}', true, (now() at time zone 'utc') + interval '2 minutes')`;
  assert.deepEqual(await replayed(topic, { since: times[0] }), ["1", "2", "3"]);
  assert.deepEqual(await replayed(topic, { since: times[1] }), ["2", "3"]);
  assert.deepEqual(await replayed(topic, { since: times[2]! + 1 }), []);
  assert.deepEqual(await replayed(topic, { since: -1 }), ["1", "2", "3"]);
});

Deno.test("only private broadcasts of the topic that were stored come", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await database.sql`select realtime.send('{}'::jsonb, 'public', ${topic}, false)`;
  await database.sql`select realtime.send('{}'::jsonb, 'elsewhere', ${newTopic()})`;
  await database.sql`insert into realtime.messages (topic, extension, event, payload, private)
    values (${topic}, 'presence', 'presence', '{}', true)`;
  await database.sql`select realtime.send('{}'::jsonb, 'stored', ${topic})`;
  using sender = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  const joinRef = await sender.join(topic, { private: true, broadcast: { ack: true } });
  await sender.broadcast(topic, joinRef, "from a client");
  assert.deepEqual(await replayed(topic, { since: 0 }), ["stored"]);
});

Deno.test("bytes come in a binary frame to V2, and to V1 not at all", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  await database.sql`select realtime.send_binary('\\x00ff'::bytea, 'bytes', ${topic})`;
  await database.sql`select realtime.send('{}'::jsonb, 'json', ${topic})`;
  assert.deepEqual(await replayed(topic, { since: 0 }), ["bytes", "json"]);
  assert.deepEqual(await replayed(topic, { since: 0 }, "1.0.0"), ["json"]);
});

Deno.test("a message that comes live, too, comes once", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  using other = await server.open({ role: "service_role" });
  await other.join(topic, { private: true });
  // Committed about when the join asks, a message may come by replay, live, or by both ways.
  for (let n = 0; n < 10; n++) {
    using socket = await server.open({ role: "service_role" });
    const sent = database.sql`select realtime.send('{}'::jsonb, 'again', ${topic})`;
    const join = socket.join(topic, { private: true, broadcast: { replay: { since: 0 } } });
    await Promise.all([sent, join]);
    await database.sql`select realtime.send('{}'::jsonb, 'marker', ${topic})`;
    const frames = [];
    do frames.push(await socket.next((frame) => frame.event === "broadcast")); while (
      frames.at(-1)!.payload.event !== "marker" || frames.at(-1)!.payload.meta.replayed
    );
    const ids = frames.map(({ payload }) => payload.meta.id);
    assert.equal(new Set(ids).size, ids.length);
  }
});

Deno.test(
  "what has been replayed to a channel does not come to it again under its id, to others it does",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const topic = newTopic();
    await database.sql`select realtime.send('{}'::jsonb, 'stored', ${topic})`;
    using other = await server.open({ role: "service_role" });
    await other.join(topic, { private: true });
    using socket = await server.open({ role: "service_role" });
    await socket.join(topic, { private: true, broadcast: { replay: { since: 0 } } });
    const { id } = (await socket.next()).payload.meta;
    const message = { topic, event: "again", payload: {}, private: true };
    const options = { url: server.url, token: await serviceToken() };
    assert.deepEqual(await answer(await postBatch([{ ...message, id }, { ...message, event: "new" }], options)), [
      202,
      "",
    ]);
    assert.deepEqual((await other.rest()).map(({ payload }) => payload.event), ["again", "new"]);
    assert.deepEqual((await socket.rest()).map(({ payload }) => payload.event), ["new"]);
  },
);

Deno.test(
  "replay is refused on a public channel, to who may not read, and with values that make no sense",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const topic = newTopic();
    await using _policies = await grantTopic(database.sql, topic, { read: ["presence"] });
    const reasonOf = async (role: string, config: object) => {
      using socket = await server.open({ role });
      return (await socket.tryJoin(topic, config)).reply.payload.response.reason;
    };
    const notPublic = "UnableToReplayMessages: Replay is not allowed for public channels";
    for (const replay of [{ since: 0 }, {}, null]) {
      assert.equal(await reasonOf("service_role", { broadcast: { replay } }), notPublic);
    }
    const invalid = "UnableToReplayMessages: Replay params are not valid";
    for (const replay of [{}, { since: "now" }, { since: 1.5 }, { since: 0, limit: "many" }, { since: 1e18 }]) {
      assert.equal(await reasonOf("service_role", { private: true, broadcast: { replay } }), invalid);
    }
    assert.equal(
      await reasonOf("authenticated", {
        private: true,
        broadcast: { replay: { since: 0 } },
        presence: { enabled: true },
      }),
      `Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`,
    );
    // What is no object asks for nothing.
    assert.equal(await reasonOf("service_role", { private: true, broadcast: { replay: 7 } }), undefined);
  },
);

Deno.test("the official client replays on a private channel", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await store(database.sql, topic, 3);
  await using connection = connectClient({ url: server.url, key: await serviceToken() });
  const inbox = new Inbox<{ event: string; meta?: { replayed?: boolean } }>();
  const broadcast = { replay: { since: 0, limit: 2 } };
  const channel = connection.client.channel(topic, { config: { private: true, broadcast } })
    .on("broadcast", { event: "*" }, inbox.put);
  assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
  const [first, second] = [await inbox.next(), await inbox.next()];
  assert.deepEqual([first.event, second.event, first.meta?.replayed], ["2", "3", true]);
});
