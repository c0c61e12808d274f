import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, grantTopic, newTopic, signToken, stack } from "./support/stack.ts";

async function post(path: string, body: BodyInit, options: { token?: string; type?: string } = {}): Promise<Response> {
  const { token = stack.publishableKey, type = "application/json" } = options;
  const url = `${stack.url.replace(/\/$/, "")}/realtime/v1/api/broadcast${path}`;
  const headers = { apikey: stack.publishableKey, authorization: `Bearer ${token}`, "content-type": type };
  return await fetch(url, { method: "POST", headers, body });
}

async function answer(response: Response): Promise<[number, unknown]> {
  const text = await response.text();
  return [response.status, text && JSON.parse(text)];
}

Deno.test("a batch reaches the members of its topics", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const topic = newTopic();
  await socket.join(topic);
  const messages = [{ topic, event: "a", payload: { n: 1 } }, { topic, event: "b", payload: {}, id: "i" }];
  assert.deepEqual(await answer(await post("", JSON.stringify({ messages }))), [202, ""]);
  assert.deepEqual((await socket.nextEvent("broadcast")).payload, { payload: { n: 1 }, event: "a", type: "broadcast" });
  assert.deepEqual((await socket.nextEvent("broadcast")).payload.meta, { id: "i" });
});

Deno.test("one bad message refuses the batch, with errors by position", async () => {
  const messages = [{ topic: "t", payload: {} }, { topic: "t", event: "e", payload: {} }];
  assert.deepEqual(await answer(await post("", JSON.stringify({ messages }))), [
    422,
    { errors: { messages: [{ event: ["can't be blank"] }, {}] } },
  ]);
  assert.deepEqual(await answer(await post("", "{}")), [422, { errors: { messages: ["can't be blank"] } }]);
});

Deno.test("a private message needs the right to write: dropped in a batch, 403 alone", async () => {
  await using database = connectDatabase();
  const [open, denied] = [newTopic(), newTopic()];
  await using _policies = await grantTopic(database.sql, open, { write: ["broadcast"] });
  using socket = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  await socket.join(open, { private: true });
  await socket.join(denied, { private: true });
  const token = await signToken();
  const messages = [denied, open].map((topic) => ({ topic, event: "e", payload: {}, private: true }));
  assert.deepEqual(await answer(await post("", JSON.stringify({ messages }), { token })), [202, ""]);
  const single = (topic: string) => post(`/${encodeURIComponent(topic)}/events/e?private=true`, "{}", { token });
  assert.deepEqual(await answer(await single(denied)), [403, { message: "Unauthorized" }]);
  assert.deepEqual(await answer(await single(open)), [202, ""]);
  const topics = [await socket.nextEvent("broadcast"), await socket.nextEvent("broadcast")].map(({ topic }) => topic);
  assert.deepEqual(topics, [`realtime:${open}`, `realtime:${open}`]);
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("a single broadcast carries JSON untouched, bytes, and other JSON wrapped", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const topic = newTopic();
  await socket.join(topic);
  const path = `/${encodeURIComponent(topic)}/events/hi%20there`;
  await answer(await post(path, '{"a":  1}'));
  await answer(await post(path, "[1]"));
  await answer(await post(path, Uint8Array.of(0, 255), { type: "application/octet-stream" }));
  const json = await socket.nextEvent("broadcast");
  assert.equal(json.payload.event, "hi there");
  assert.ok(new TextDecoder().decode(json.raw as Uint8Array).endsWith('{"a":  1}'));
  assert.deepEqual((await socket.nextEvent("broadcast")).payload.payload, { _json: [1] });
  assert.deepEqual((await socket.nextEvent("broadcast")).payload.payload, Uint8Array.of(0, 255));
});

Deno.test("other media types, bad JSON and bad tokens are refused", async () => {
  const path = `/${newTopic()}/events/e`;
  assert.deepEqual(await answer(await post(path, "x", { type: "text/plain" })), [
    415,
    { error: "Unsupported Media Type. Use application/json or application/octet-stream" },
  ]);
  assert.equal((await answer(await post(path, "{")))[0], 400);
  const token = await signToken({ expiresInSeconds: -5 });
  assert.deepEqual(await answer(await post("", "{}", { token })), [401, { message: "Unauthorized" }]);
});
