import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { jumpingClock } from "./support/jumping-clock.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { answer, post, postBatch } from "./support/rest.ts";
import { addPolicy, connectDatabase, grantTopic, newTopic, serviceToken, signToken, stack } from "./support/stack.ts";

const octets = "application/octet-stream";

function single(topic: string, event = "e", query = ""): string {
  return `/${encodeURIComponent(topic)}/events/${encodeURIComponent(event)}${query}`;
}

Deno.test("a batch reaches the members of its topics, which are named without prefix", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const topic = newTopic();
  await socket.join(topic);
  const messages = [
    { topic: `realtime:${topic}`, event: "nobody", payload: {} },
    { topic, event: "a", payload: { n: 1 } },
    { topic, event: "b", payload: {}, id: "i", private: "false" },
  ];
  assert.deepEqual(await answer(await postBatch(messages)), [202, ""]);
  assert.deepEqual((await socket.rest()).map(({ payload }) => payload), [
    { payload: { n: 1 }, event: "a", type: "broadcast" },
    { payload: {}, event: "b", type: "broadcast", meta: { id: "i" } },
  ]);
});

Deno.test("one bad message refuses the batch, with errors by position", async () => {
  const good = { topic: newTopic(), event: "e", payload: {} };
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  await socket.join(good.topic);
  const blank = ["can't be blank"];
  const invalid = ["is invalid"];
  const cases: [unknown, unknown][] = [
    [[{ ...good, event: undefined }, good], [{ event: blank }, {}]],
    [[good, { ...good, topic: "" }], [{}, { topic: blank }]],
    [[{ topic: " " }], [{ topic: blank, event: blank, payload: blank }]],
    [[{ ...good, payload: "text" }, { ...good, event: 7 }], [{ payload: invalid }, { event: invalid }]],
    [[{ ...good, private: "yes" }, { ...good, id: 7 }], [{ private: invalid }, { id: invalid }]],
    [[{ ...good, payload: { text: "x".repeat(3_000_500) } }], [{ payload: ["Payload size exceeds tenant limit"] }]],
    [[], blank],
    [undefined, blank],
    ["text", invalid],
    [["text"], invalid],
  ];
  for (const [messages, errors] of cases) {
    assert.deepEqual(await answer(await postBatch(messages)), [422, { errors: { messages: errors } }]);
  }
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("a body that is not read as JSON holds no messages; bad JSON is a bad request", async () => {
  const blank = { errors: { messages: ["can't be blank"] } };
  const messages = JSON.stringify({ messages: [{ topic: newTopic(), event: "e", payload: {} }] });
  for (const type of ["text/plain", null]) {
    assert.deepEqual(await answer(await post("", messages, { type })), [422, blank]);
  }
  assert.deepEqual(await answer(await post("", "[1]")), [422, blank]);
  assert.deepEqual(await answer(await post("", "{")), [400, "Bad Request"]);
  assert.deepEqual(await answer(await post(single(newTopic()), "{")), [400, "Bad Request"]);
  const headers = { accept: "application/json" };
  assert.deepEqual(await answer(await post("", "{", { headers })), [400, "Bad Request"]);
  assert.deepEqual(await answer(await post("", messages, { type: "application/vnd.x+json; charset=utf-8" })), [
    202,
    "",
  ]);
});

Deno.test("without a good token nothing goes; the key header stands in for the other", { ignore }, async () => {
  await using server = await startRealtime();
  const topic = newTopic();
  const good = await signToken();
  const bad = [
    await signToken({ expiresInSeconds: -5 }),
    await signToken({ secret: "x".repeat(40) }),
    "nonsense",
    null,
  ];
  for (const token of bad) {
    for (const path of ["", single(topic)]) {
      const response = await post(path, "{}", { url: server.url, token });
      assert.deepEqual(await answer(response), [401, { message: "Unauthorized" }]);
    }
  }
  for (const headers of [{ apikey: good }, { authorization: `bEARER ${good}` }]) {
    assert.deepEqual(await answer(await post(single(topic), "{}", { url: server.url, token: null, headers })), [
      202,
      "",
    ]);
  }
});

Deno.test("a private message needs the right to write: dropped in a batch, 403 alone", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const [open, denied] = [newTopic(), newTopic()];
  await using _policies = await grantTopic(database.sql, open, { write: ["broadcast"] });
  using socket = await server.open({ role: "service_role" });
  await socket.join(open, { private: true });
  await socket.join(denied, { private: true });
  const options = { url: server.url, token: await signToken() };
  const messages = [denied, open, denied, open].map((topic, n) => ({
    topic,
    event: String(n),
    payload: {},
    private: true,
  }));
  assert.deepEqual(await answer(await postBatch(messages, options)), [202, ""]);
  const unauthorized = [403, { message: "Unauthorized" }];
  assert.deepEqual(await answer(await post(single(denied, "e", "?private=true"), "{}", options)), unauthorized);
  assert.deepEqual(await answer(await post(single(open, "e", "?private=true"), "{}", options)), [202, ""]);
  assert.deepEqual((await socket.rest()).map(({ payload }) => payload.event), ["1", "3", "e"]);
});

Deno.test("policies see the request's headers; where they give no answer, or the role is none, a single one says so", {
  ignore,
}, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policy = await addPolicy(
    database.sql,
    "insert",
    `realtime.topic() = '${topic}' and 1 / length(current_setting('request.headers')::json ->> 'x-team') = 1`,
  );
  const options = { url: server.url, token: await signToken() };
  const path = single(topic, "e", "?private=true");
  const error = [422, { message: "RLS policy error" }];
  assert.deepEqual(await answer(await post(path, "{}", { ...options, headers: { "x-team": "a" } })), [202, ""]);
  assert.deepEqual(await answer(await post(path, "{}", { ...options, headers: { "x-team": "" } })), error);
  assert.deepEqual(
    await answer(await post(path, "{}", { ...options, token: await signToken({ role: "none_such" }) })),
    error,
  );
  const messages = [{ topic, event: "e", payload: {}, private: true }];
  assert.deepEqual(await answer(await postBatch(messages, { ...options, headers: { "x-team": "" } })), [202, ""]);
});

Deno.test("a single broadcast carries objects, other JSON wrapped, bytes, and nothing where no type is named", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const topic = newTopic();
  await socket.join(topic);
  const cases: [BodyInit, string | null, unknown][] = [
    ['{"a":  [1]}', "application/json; charset=utf-8", { a: [1] }],
    ["[1]", "application/json", { _json: [1] }],
    ['"text"', "application/json", { _json: "text" }],
    ["", "application/json", {}],
    ['{"a":1}', null, {}],
    [Uint8Array.of(0, 255), octets, Uint8Array.of(0, 255)],
    [new Uint8Array(), octets, new Uint8Array()],
  ];
  for (const [body, type, payload] of cases) {
    assert.deepEqual(await answer(await post(single(topic, "hi / thère"), body, { type })), [202, ""]);
    assert.deepEqual((await socket.next()).payload, { type: "broadcast", event: "hi / thère", payload });
  }
});

Deno.test("other media types are refused", async () => {
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/vnd.x+json"]) {
    assert.deepEqual(await answer(await post(single(newTopic()), "{}", { type })), [
      415,
      { error: "Unsupported Media Type. Use application/json or application/octet-stream" },
    ]);
  }
});

Deno.test(
  "a key `private` in a body wins over the query, so that a private message goes out publicly",
  { ignore },
  async () => {
    await using server = await startRealtime();
    const topic = newTopic();
    using open = await server.open();
    await open.join(topic);
    using closed = await server.open({ role: "service_role" });
    await closed.join(topic, { private: true });
    const send = async (query: string, body: string, type = "application/json") => {
      const options = { url: server.url, token: await serviceToken(), type };
      assert.deepEqual(await answer(await post(single(topic, "e", query), body, options)), [202, ""]);
      const counts = [(await open.rest()).length, (await closed.rest()).length];
      return counts[0] === 1 ? "public" : counts[1] === 1 ? "private" : "lost";
    };
    assert.equal(await send("", "{}"), "public");
    assert.equal(await send("?private=true", "{}"), "private");
    assert.equal(await send("?private=TRUE", "{}"), "public");
    assert.equal(await send("?private=true", '{"private":false}'), "public");
    assert.equal(await send("", '{"private":true}'), "private");
    assert.equal(await send("?private=true", '{"private":null}'), "public");
    assert.equal(await send("?private=true", "x", octets), "private");
  },
);

Deno.test("what is too large is refused: the payload with 422, the body with 413", { ignore }, async () => {
  await using server = await startRealtime({ limits: { maxPayloadKilobytes: 1 } });
  const options = { url: server.url, token: await signToken() };
  const topic = newTopic();
  const tooLarge = [422, { errors: { payload: ["Payload size exceeds tenant limit"] } }];
  const bytes = (count: number) => post(single(topic), new Uint8Array(count), { ...options, type: octets });
  assert.deepEqual(await answer(await bytes(1494)), [202, ""]);
  assert.deepEqual(await answer(await bytes(1495)), tooLarge);
  assert.deepEqual(await answer(await post(single(topic), JSON.stringify({ a: "x".repeat(1500) }), options)), tooLarge);

  // Before anything else is looked at, the token included.
  const entity = [413, "Request Entity Too Large"];
  for (const path of ["", single(topic)]) {
    const response = await post(path, `"${"x".repeat(8_000_000)}"`, { ...options, token: null });
    assert.deepEqual(await answer(response), entity);
  }
  assert.deepEqual(await answer(await bytes(8_000_000)), tooLarge);
  assert.deepEqual(await answer(await bytes(8_000_001)), entity);
});

Deno.test(
  "every answer tells the rate of requests, and above the limit they are refused until it falls",
  { ignore },
  async () => {
    const { now, jump } = jumpingClock();
    await using server = await startRealtime({ now, limits: { maxMessagesPerSecond: 2 } });
    const options = { url: server.url, token: await signToken() };
    const rates = ({ headers }: Response) =>
      ["x-rate-rolling", "x-rate-limit", "x-rate-limit-remaining", "access-control-allow-origin"]
        .map((name) => headers.get(name));
    const ping = () => fetch(`${server.url}/realtime/v1/api/ping`);
    const first = await ping();
    assert.deepEqual(await answer(first), [200, { message: "Success" }]);
    assert.deepEqual(rates(first), ["0", "2", "2", "*"]);
    const unauthorized = await post("", "{}", { ...options, token: null });
    await unauthorized.body?.cancel();
    assert.deepEqual(rates(unauthorized), ["0", "2", "2", "*"]);
    for (let n = 0; n < 3; n++) await answer(await ping());
    jump(5000);
    assert.deepEqual(rates(await ping().then(drained)), ["1", "2", "1", "*"]);
    for (let n = 0; n < 14; n++) await answer(await ping());
    jump(5000);
    const refused = await ping();
    assert.deepEqual(rates(refused), ["2", "2", "0", "*"]);
    assert.deepEqual(await answer(refused), [429, { message: "Too many requests" }]);
    jump(20_000);
    assert.equal((await ping().then(drained)).status, 200);
  },
);

async function drained(response: Response): Promise<Response> {
  await response.body?.cancel();
  return response;
}

Deno.test("messages above the rate are refused, and a batch that would go above it", { ignore }, async () => {
  const { now, jump } = jumpingClock();
  await using server = await startRealtime({ now, limits: { maxMessagesPerSecond: 3 } });
  const options = { url: server.url, token: await signToken() };
  const batch = (count: number) =>
    Array.from({ length: count }, () => ({ topic: newTopic(), event: "e", payload: {} }));
  const tooMany = "Too many messages to broadcast, please reduce the batch size";
  assert.deepEqual(await answer(await postBatch(batch(4), options)), [429, { message: tooMany }]);
  for (let n = 0; n < 5; n++) assert.deepEqual(await answer(await postBatch(batch(3), options)), [202, ""]);
  jump(5000);
  const exceeded = [429, { message: "You have exceeded your rate limit" }];
  assert.deepEqual(await answer(await post(single(newTopic()), "{}", options)), exceeded);
  assert.deepEqual(await answer(await postBatch(batch(1), options)), [429, { message: tooMany }]);
  jump(60_000);
  assert.deepEqual(await answer(await post(single(newTopic()), "{}", options)), [202, ""]);
});

Deno.test("a project that is switched off refuses broadcasts", { ignore }, async () => {
  await using server = await startRealtime({ limits: { suspended: true } });
  const options = { url: server.url, token: await signToken() };
  for (const path of ["", single(newTopic())]) {
    assert.deepEqual(await answer(await post(path, "{}", options)), [403, { message: "Tenant is suspended" }]);
  }
});

Deno.test("the health of the server is told without a token", async () => {
  const base = `${stack.url.replace(/\/$/, "")}/realtime/v1`;
  assert.deepEqual(await answer(await fetch(`${base}/api/ping`)), [200, { message: "Success" }]);
});

Deno.test("the official client sends over HTTP what it sends before it has joined, and with httpSend", async () => {
  await using connection = connectClient();
  await using sending = connectClient();
  const topic = newTopic();
  const inbox = new Inbox<{ event: string; payload: unknown }>();
  const channel = connection.client.channel(topic).on("broadcast", { event: "*" }, inbox.put);
  assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
  const unjoined = sending.client.channel(topic);
  assert.equal(await unjoined.send({ type: "broadcast", event: "batch", payload: { n: 1 } }), "ok");
  assert.deepEqual(await unjoined.httpSend("single", { n: 2 }), { success: true });
  assert.deepEqual(await unjoined.httpSend("bytes", Uint8Array.of(1, 2).buffer), { success: true });
  const heard = [await inbox.next(), await inbox.next(), await inbox.next()].map((
    { event, payload },
  ) => [event, payload]);
  assert.deepEqual(heard, [["batch", { n: 1 }], ["single", { n: 2 }], ["bytes", Uint8Array.of(1, 2).buffer]]);
});
