import assert from "node:assert/strict";
import { SignJWT } from "jose";
import { connectClient, Inbox } from "./support/client.ts";
import { jumpingClock } from "./support/jumping-clock.ts";
import { ignore, type OwnServer, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic, signToken, stack } from "./support/stack.ts";

function sign(claims: Record<string, unknown>): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(stack.jwtSecret));
}

/** A server that looks at its tokens all the time, and whose clock can be moved on. */
async function startWithClock(): Promise<{ server: OwnServer; pass: (seconds: number) => void }> {
  const { now, jump } = jumpingClock();
  const server = await startRealtime({ now, limits: { tokenCheckMs: 20 } });
  return { server, pass: (seconds) => jump(seconds * 1000) };
}

Deno.test("a channel ends when its token does, within a second, be it the join's or a later one; the others live", async () => {
  const exp = Math.floor(Date.now() / 1000) + 3;
  const endsInTime = async (topic: string, socket: RawSocket): Promise<void> => {
    const other = newTopic();
    await socket.join(other);
    await socket.nextShutdown(topic, /^Token has expired \d+ seconds ago$/);
    const late = Date.now() - exp * 1000;
    assert.ok(Math.abs(late) <= 1000, `${late} ms after its end`);
    assert.equal((await socket.request(`realtime:${other}`, "presence", { type: "presence" })).payload.status, "ok");
  };
  const [joined, refreshed] = [newTopic(), newTopic()];
  using one = await RawSocket.open({ vsn: "2.0.0" });
  await one.join(joined, { token: await sign({ role: "authenticated", exp }) });
  using two = await RawSocket.open({ vsn: "2.0.0" });
  await two.join(refreshed);
  const access_token = await sign({ role: "authenticated", exp, sub: "another" });
  two.send(`realtime:${refreshed}`, "access_token", { access_token });
  await Promise.all([endsInTime(joined, one), endsInTime(refreshed, two)]);
});

Deno.test("a new token keeps a channel open past the old one, without an answer", { ignore }, async () => {
  const { server, pass } = await startWithClock();
  await using _server = server;
  using socket = await server.open();
  const [topic, shorter] = [newTopic(), newTopic()];
  const token = await signToken({ expiresInSeconds: 60 });
  await socket.join(topic, { token });
  socket.send(`realtime:${topic}`, "access_token", { access_token: await signToken() });
  await socket.join(shorter, { token });
  pass(60);
  await socket.nextShutdown(shorter, /^Token has expired/);
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("the same token, none and a gateway's key are ignored: the old end stays", { ignore }, async () => {
  const { server, pass } = await startWithClock();
  await using _server = server;
  using socket = await server.open();
  const topic = newTopic();
  const token = await signToken({ expiresInSeconds: 60 });
  await socket.join(topic, { token });
  for (const ignored of [null, "sb_publishable_x", token]) {
    socket.send(`realtime:${topic}`, "access_token", { access_token: ignored });
  }
  socket.send(`realtime:${topic}`, "access_token", {});
  assert.deepEqual(await socket.rest(), []);
  pass(60);
  await socket.nextShutdown(topic, /^Token has expired/);
});

Deno.test("a token that is no good ends the channel with the reason", async () => {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const missing = "Fields `role` and `exp` are required in JWT";
  const cases: [string, string | RegExp][] = [
    ["", "The token provided is not a valid JWT"],
    ["nonsense", "The token provided is not a valid JWT"],
    [await signToken({ expiresInSeconds: -5 }), /^Token has expired [5-7] seconds ago$/],
    [await signToken({ secret: "x".repeat(40) }), ":signature_error"],
    [await sign({ role: "authenticated" }), missing],
    [await sign({ exp }), missing],
  ];
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  for (const [token, text] of cases) {
    const topic = newTopic();
    await socket.join(topic);
    socket.send(`realtime:${topic}`, "access_token", { access_token: token });
    await socket.nextShutdown(topic, text);
  }
});

Deno.test("a join with a token that is no good is told the code and the reason", { ignore }, async () => {
  const exp = Math.floor(Date.now() / 1000) + 600;
  await using server = await startRealtime();
  using socket = await server.open();
  const cases: [string, RegExp][] = [
    ["", /^MalformedJWT: The token provided is not a valid JWT$/],
    [await signToken({ secret: "x".repeat(40) }), /^JwtSignatureError: Failed to validate JWT signature$/],
    [await signToken({ expiresInSeconds: -5 }), /^InvalidJWTToken: Token has expired [5-7] seconds ago$/],
    [await sign({ exp }), /^InvalidJWTToken: Fields `role` and `exp` are required in JWT$/],
    [await sign({ role: "anon", exp, iat: "today" }), /^Unknown Error on Channel$/],
  ];
  for (const [token, reason] of cases) {
    const { reply } = await socket.tryJoin(newTopic(), { token });
    assert.equal(reply.payload.status, "error");
    assert.match(reply.payload.response.reason, reason);
  }
  // On a public channel the role is not looked at; 2.4 of the protocol's description asks for it on private ones.
  await socket.join(newTopic(), { token: await sign({ role: null, exp }) });
});

Deno.test(
  "joins without a token of their own live by the connection's, which is not looked at again",
  { ignore },
  async () => {
    const { server, pass } = await startWithClock();
    await using _server = server;
    using socket = await server.open({ expiresInSeconds: 60 });
    const topic = newTopic();
    await socket.join(topic);
    pass(60);
    await socket.nextShutdown(topic, /^Token has expired/);
    assert.match(
      (await socket.tryJoin(newTopic())).reply.payload.response.reason,
      /^InvalidJWTToken: Token has expired/,
    );
    await socket.join(newTopic(), { token: await signToken() });
  },
);

Deno.test("the official client: a channel is closed at its token's end and stays so; setAuth in time keeps it", {
  ignore,
}, async () => {
  const { server, pass } = await startWithClock();
  await using _server = server;
  const open = async () => {
    const connection = connectClient({ url: server.url, key: await signToken() });
    await connection.client.realtime.setAuth(await signToken({ expiresInSeconds: 60 }));
    const statuses = new Inbox<string>();
    const channel = connection.client.channel(newTopic(), { config: { broadcast: { ack: true } } });
    channel.subscribe(statuses.put);
    assert.equal(await statuses.next(), "SUBSCRIBED");
    return { connection, statuses, channel };
  };
  const lapsed = await open();
  await using _lapsed = lapsed.connection;
  const refreshed = await open();
  await using _refreshed = refreshed.connection;
  await refreshed.connection.client.realtime.setAuth(await signToken());
  // Frames of one socket keep their order, so the answer tells that the token is there.
  assert.equal(await refreshed.channel.send({ type: "broadcast", event: "e", payload: {} }), "ok");
  pass(60);
  assert.equal(await lapsed.statuses.next(), "CLOSED");
  assert.deepEqual(lapsed.connection.client.getChannels(), []);
  assert.equal(await refreshed.channel.send({ type: "broadcast", event: "e", payload: {} }), "ok");
});
