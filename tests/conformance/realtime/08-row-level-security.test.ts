import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { answer, post } from "./support/rest.ts";
import { addPolicy, connectDatabase, grantTopic, newTopic, signToken } from "./support/stack.ts";

const both = ["broadcast", "presence"];
const track = { type: "presence", event: "track", payload: {} };

function refused(topic: string): unknown {
  const reason = `Unauthorized: You do not have permissions to read from this Channel topic: ${topic}`;
  return { status: "error", response: { reason } };
}

Deno.test("without a policy nobody gets in: no role, not an unknown one, nor one that the API may not become", {
  ignore,
}, async () => {
  await using server = await startRealtime();
  const topic = newTopic();
  for (
    const options of [{}, { role: "anon" }, { role: "no_such_role" }, { role: "authenticator" }, {
      role: "supabase_admin",
    }, { claims: { role: null } }]
  ) {
    using socket = await server.open();
    const { reply } = await socket.tryJoin(topic, { private: true, token: await signToken(options) });
    assert.deepEqual(reply.payload, refused(topic), JSON.stringify(options));
  }
});

Deno.test("the service role may everything", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await server.open({ role: "service_role" });
  const topic = newTopic();
  const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true }, presence: { enabled: true } });
  assert.equal((await socket.next()).event, "presence_state");
  await socket.broadcast(topic, joinRef);
});

Deno.test("what may be read and written is told apart by extension", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const cases: { read: string[]; write: string[] }[] = [
    { read: both, write: both },
    { read: both, write: [] },
    { read: [], write: both },
    { read: ["broadcast"], write: ["broadcast"] },
    { read: ["broadcast"], write: ["presence"] },
    { read: ["presence"], write: ["presence"] },
    { read: ["presence"], write: ["broadcast"] },
    { read: [], write: [] },
  ];
  for (const { read, write } of cases) {
    const name = `read ${read}, write ${write}`;
    const topic = newTopic();
    await using _policies = await grantTopic(database.sql, topic, {
      ...(read.length > 0 && { read }),
      ...(write.length > 0 && { write }),
    });
    using service = await server.open({ role: "service_role" });
    const serviceRef = await service.join(topic, { private: true, broadcast: { ack: true } });
    using socket = await server.open();
    const config = { private: true, broadcast: { ack: true }, presence: { enabled: true } };
    const { joinRef, reply } = await socket.tryJoin(topic, config);
    if (read.length === 0) {
      assert.deepEqual(reply.payload, refused(topic), name);
      continue;
    }
    assert.equal(reply.payload.status, "ok", name);

    const state = (await socket.rest()).map(({ event }) => event);
    assert.deepEqual(state, read.includes("presence") ? ["presence_state"] : [], name);
    await service.broadcast(topic, serviceRef);
    await service.request(`realtime:${topic}`, "presence", track, serviceRef);
    assert.deepEqual(
      (await socket.rest()).map(({ event }) => event),
      [...(read.includes("broadcast") ? ["broadcast"] : []), ...(read.includes("presence") ? ["presence_diff"] : [])],
      name,
    );
    await service.rest();

    socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
    const tracked = await socket.request(`realtime:${topic}`, "presence", track, joinRef);
    assert.equal(tracked.payload.status, write.includes("presence") ? "ok" : "error", name);
    const toService = (await service.rest()).map(({ event }) => event);
    assert.deepEqual(
      toService,
      [...(write.includes("broadcast") ? ["broadcast"] : []), ...(write.includes("presence") ? ["presence_diff"] : [])],
      name,
    );
  }
});

Deno.test("policies see topic, extension, sub, role, claims and the client's own headers", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const sub = crypto.randomUUID();
  const cases: [string, string, Parameters<typeof server.open>[0], Parameters<typeof server.open>[0]][] = [
    ["realtime.topic()", "realtime.topic() = '<topic>'", {}, undefined],
    ["topic", "topic = '<topic>'", {}, undefined],
    ["extension", "extension = 'broadcast' and topic = '<topic>'", {}, undefined],
    ["auth.uid()", `auth.uid() = '${sub}'`, { sub }, {}],
    ["sub", `current_setting('request.jwt.claim.sub') = '${sub}'`, { sub }, {}],
    ["auth.role()", "auth.role() = 'authenticated' and topic = '<topic>'", {}, { role: "anon" }],
    ["a claim", "auth.jwt() ->> 'team' = '<topic>'", { claims: { team: "<topic>" } }, { claims: { team: "other" } }],
    [
      "a header",
      "current_setting('request.headers')::json ->> 'x-team' = '<topic>'",
      { headers: { "x-team": "<topic>" } },
      { headers: { "x-team": "other" } },
    ],
  ];
  for (const [name, condition, allowed, denied] of cases) {
    const topic = newTopic();
    const filled = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll("<topic>", topic));
    await using _policy = await addPolicy(database.sql, "select", filled(condition), "anon, authenticated");
    using yes = await server.open(filled(allowed)!);
    await yes.join(topic, { private: true });
    using no = await server.open(denied && filled(denied));
    const elsewhere = denied ? topic : newTopic();
    const { reply } = await no.tryJoin(elsewhere, { private: true });
    assert.deepEqual(reply.payload, refused(elsewhere), name);
  }
});

Deno.test("a row that is probed for has no event and is not private", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _never = await addPolicy(database.sql, "select", `topic = '${topic}' and private`);
  using socket = await server.open();
  assert.deepEqual((await socket.tryJoin(topic, { private: true })).reply.payload, refused(topic));
  await using _ever = await addPolicy(
    database.sql,
    "select",
    `topic = '${topic}' and not private and event is null and payload is null`,
  );
  await socket.join(topic, { private: true });
});

Deno.test("a policy that raises lets nobody in", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policy = await addPolicy(
    database.sql,
    "select",
    `topic <> '${topic}' or 1 / (length(topic) - length(topic)) = 1`,
  );
  using socket = await server.open();
  assert.deepEqual((await socket.tryJoin(topic, { private: true })).reply.payload, refused(topic));
});

Deno.test("a policy whose query is cancelled is told apart", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  const name = `conformance_${crypto.randomUUID().slice(0, 8)}`;
  await using cleanup = new AsyncDisposableStack();
  await database.sql.unsafe(
    `create function ${name}() returns boolean language plpgsql as
     $$ begin raise exception 'canceling statement due to statement timeout' using errcode = '57014'; end $$`,
  );
  cleanup.defer(async () => void await database.sql.unsafe(`drop function ${name}()`));
  const condition = `case when topic = '${topic}' then ${name}() else false end`;
  cleanup.use(await addPolicy(database.sql, "select", condition));
  cleanup.use(await addPolicy(database.sql, "insert", condition));
  using socket = await server.open();
  const { reply } = await socket.tryJoin(topic, { private: true });
  assert.match(reply.payload.response.reason, /^QueryCanceled: .*canceling statement due to statement timeout/);
  const path = `/${encodeURIComponent(topic)}/events/e?private=true`;
  const refusal = await post(path, "{}", { url: server.url, token: await signToken() });
  assert.deepEqual(await answer(refusal), [422, { message: "Query canceled" }]);
});

Deno.test("asking leaves no rows and sends no message", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policies = await grantTopic(database.sql, topic, { read: both, write: both });
  using listener = await server.open({ role: "service_role" });
  await listener.join(topic, { private: true });
  using open = await server.open();
  await open.join(topic);
  using socket = await server.open();
  const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true } });
  await socket.broadcast(topic, joinRef, "client");
  await database.sql`select realtime.send('{}'::jsonb, 'marker', ${topic})`;

  assert.equal((await listener.next()).payload.event, "client");
  assert.equal((await listener.next()).payload.event, "marker");
  assert.deepEqual(await open.rest(), []);
  const stored = await database.sql`select event from realtime.messages where topic = ${topic}`;
  assert.deepEqual(stored.map(({ event }) => event), ["marker"]);
});

Deno.test(
  "the official client gets in with a token that a policy names, and is told why not with another",
  { ignore },
  async () => {
    await using server = await startRealtime();
    await using database = connectDatabase();
    const [topic, sub] = [newTopic(), crypto.randomUUID()];
    await using _policy = await addPolicy(database.sql, "select", `auth.uid() = '${sub}'`);
    await using connection = connectClient({ url: server.url, key: await signToken({ role: "anon" }) });
    const { client } = connection;
    await client.realtime.setAuth(await signToken());
    const { status, error } = await subscribe(client.channel(topic, { config: { private: true } }));
    assert.equal(status, "CHANNEL_ERROR");
    assert.match(error!.message, /Unauthorized: You do not have permissions to read from this Channel topic/);
    await client.removeAllChannels();

    await client.realtime.setAuth(await signToken({ sub }));
    const channel = client.channel(topic, { config: { private: true } });
    const inbox = new Inbox<{ event: string }>();
    channel.on("broadcast", { event: "*" }, inbox.put);
    assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
    await database.sql`select realtime.send('{}'::jsonb, 'e', ${topic})`;
    assert.equal((await inbox.next()).event, "e");
  },
);
