import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, grantTopic, newTopic, signToken } from "./support/stack.ts";

Deno.test("a channel ends with its token while the socket and its other channels live", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const [topic, other] = [newTopic(), newTopic()];
  await socket.join(other);
  const joinRef = await socket.join(topic, { token: await signToken({ expiresInSeconds: 2 }) });
  const { payload } = await socket.nextEvent("system");
  assert.match(payload.message, /^Token has expired \d+ seconds ago$/);
  const { message: _, ...rest } = payload;
  assert.deepEqual(rest, { extension: "system", status: "error", channel: topic });
  assert.equal((await socket.nextEvent("phx_close")).ref, joinRef);
  assert.equal((await socket.request(`realtime:${other}`, "presence", { type: "presence" })).payload.status, "ok");
});

Deno.test("a new token keeps a channel open past the old one, without an answer", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const [topic, shorter] = [newTopic(), newTopic()];
  const expiresInSeconds = 2;
  await socket.join(topic, { token: await signToken({ expiresInSeconds }) });
  socket.send(`realtime:${topic}`, "access_token", { access_token: await signToken() });
  for (const ignored of [null, "sb_publishable_x"]) {
    socket.send(`realtime:${topic}`, "access_token", { access_token: ignored });
  }
  await socket.join(shorter, { token: await signToken({ expiresInSeconds }) });
  await socket.next((frame) => frame.event === "phx_close" && frame.topic === `realtime:${shorter}`);
  const frames = await socket.rest();
  assert.deepEqual(frames.filter((frame) => frame.topic === `realtime:${topic}`), []);
});

Deno.test("a token that is no good ends the channel with the reason", async () => {
  const cases: [string, string | RegExp][] = [
    ["", "The token provided is not a valid JWT"],
    [await signToken({ expiresInSeconds: -5 }), /^Token has expired \d+ seconds ago$/],
  ];
  for (const [token, expected] of cases) {
    using socket = await RawSocket.open({ vsn: "2.0.0" });
    const topic = newTopic();
    await socket.join(topic);
    socket.send(`realtime:${topic}`, "access_token", { access_token: token });
    const { message } = (await socket.nextEvent("system")).payload;
    if (typeof expected === "string") assert.equal(message, expected);
    else assert.match(message, expected);
    await socket.nextEvent("phx_close");
  }
});

Deno.test("policies are asked again only when a new token comes", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  const policies = await grantTopic(database.sql, topic, { read: ["broadcast"], write: ["broadcast"] });
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const joinRef = await socket.join(topic, { private: true, token: await signToken(), broadcast: { ack: true } });
  const send = () => socket.request(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
  assert.equal((await send()).payload.status, "ok");
  await policies[Symbol.asyncDispose]();
  assert.equal((await send()).payload.status, "ok");

  socket.send(`realtime:${topic}`, "access_token", { access_token: await signToken() });
  const { message } = (await socket.nextEvent("system")).payload;
  assert.equal(message, `You do not have permissions to read from this Channel topic: ${topic}`);
  await socket.nextEvent("phx_close");
});
