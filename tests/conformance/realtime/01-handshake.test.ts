import assert from "node:assert/strict";
import { generateKeyPair, SignJWT } from "jose";
import { connectClient, subscribe } from "./support/client.ts";
import { ignore, type OwnServer, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { answer, post } from "./support/rest.ts";
import { newTopic, signToken, stack } from "./support/stack.ts";

/** Asks for a socket and answers the refusal; what would be a socket is an error here. */
async function refusal(url: string, query: Record<string, string>, headers: Record<string, string> = {}) {
  const address = new URL("realtime/v1/websocket", url.replace(/\/?$/, "/"));
  address.search = new URLSearchParams(query).toString();
  const upgrade = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
  const response = await fetch(address, {
    headers: { ...upgrade, "sec-websocket-key": btoa("0123456789abcdef"), ...headers },
  });
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
}

async function refuses(server: OwnServer, apikey: string | undefined, status: number, error: string): Promise<void> {
  const { text, ...head } = await refusal(server.url, { vsn: "2.0.0", ...(apikey !== undefined && { apikey }) });
  assert.deepEqual(head, { status, type: "application/json; charset=utf-8" }, error);
  assert.deepEqual(JSON.parse(text), { error });
}

function sign(claims: Record<string, unknown>): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(stack.jwtSecret));
}

Deno.test("a key that is no good is refused over HTTP with the reason", { ignore }, async () => {
  const { privateKey } = await generateKeyPair("ES256");
  const exp = Math.floor(Date.now() / 1000) + 600;
  const byKey = (header: { kid?: string }) =>
    new SignJWT({ role: "anon", exp }).setProtectedHeader({ alg: "ES256", ...header }).sign(privateKey);
  const missing = "Fields `role` and `exp` are required in JWT";
  const check = "check your JWT secret or JWKS configuration";
  await using server = await startRealtime({ jwks: { keys: [] } });

  await refuses(server, undefined, 401, "API key is missing");
  await refuses(server, "nonsense", 401, "The token provided is not a valid JWT");
  await refuses(server, "a.b.c", 401, "The token provided is not a valid JWT");
  await refuses(server, await signToken({ secret: "x".repeat(40) }), 401, "Failed to validate JWT signature");
  await refuses(server, await signToken({ expiresInSeconds: -5 }), 401, "Token has expired");
  await refuses(server, await sign({ role: "anon" }), 401, missing);
  await refuses(server, await sign({ exp }), 401, missing);
  await refuses(server, await byKey({}), 401, `Failed to generate JWT signer, ${check}`);
  await refuses(server, await byKey({ kid: "k" }), 401, `Failed to generate JWT signer for key ID (kid) "k", ${check}`);
  await refuses(server, await sign({ role: "anon", exp, iat: "today" }), 500, "Error connecting to Realtime");
});

Deno.test("a project that is switched off or full refuses sockets", { ignore }, async () => {
  const key = await signToken();
  await using suspended = await startRealtime({ limits: { suspended: true } });
  await refuses(suspended, key, 403, "Realtime was disabled for this tenant");

  await using full = await startRealtime({ limits: { maxConnectedUsers: 1 } });
  using socket = await full.open();
  using beside = await full.open();
  const topic = newTopic();
  const joinRef = await socket.join(topic);
  await refuses(full, key, 429, "Too many connected users");
  // It counts until it closes, though it has left.
  await socket.request(`realtime:${topic}`, "phx_leave", {}, joinRef);
  await refuses(full, key, 429, "Too many connected users");
  assert.deepEqual(await beside.rest(), []);

  await using busy = await startRealtime({ limits: { maxJoinsPerSecond: 0 } });
  await refuses(busy, key, 429, "Too many joins per second");
});

Deno.test("a refusal comes after a deliberate delay", { ignore }, async () => {
  await using server = await startRealtime({ limits: { connectErrorDelayMs: 100 } });
  const started = performance.now();
  await refuses(server, "nonsense", 401, "The token provided is not a valid JWT");
  assert.ok(performance.now() - started >= 100);
});

Deno.test("without vsn a socket speaks V1, with 2.0.0 V2, and other versions are refused with nothing said", async () => {
  using v1 = await RawSocket.open();
  assert.ok((await v1.tryJoin(newTopic())).reply.raw.toString().startsWith("{"));
  using v2 = await RawSocket.open({ vsn: "2.0.0" });
  assert.ok((await v2.tryJoin(newTopic())).reply.raw.toString().startsWith("["));
  using patch = await RawSocket.open({ vsn: "1.0.3" });
  assert.deepEqual(await patch.rest(), []);
  for (const vsn of ["3.0.0", "2.1.0", "latest"]) {
    const { status, text } = await refusal(stack.url, { apikey: stack.publishableKey, vsn });
    assert.deepEqual([status, text], [403, ""], vsn);
  }
});

Deno.test("the header x-api-key wins over the parameter", { ignore }, async () => {
  await using server = await startRealtime();
  using socket = await server.open({ key: "nonsense", headers: { "x-api-key": await signToken() } });
  await socket.join(newTopic());
  const { status } = await refusal(server.url, { apikey: await signToken(), vsn: "2.0.0" }, {
    "x-api-key": "nonsense",
  });
  assert.equal(status, 401);
});

Deno.test("the gateway swaps its own keys for tokens, for sockets and over HTTP", async () => {
  assert.match(stack.publishableKey, /^sb_publishable_/);
  const topic = newTopic();
  using socket = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  // Only the service role gets in without a policy.
  await socket.join(topic, { private: true, token: stack.secretKey });
  const path = `/${encodeURIComponent(topic)}/events/e?private=true`;
  assert.deepEqual(await answer(await post(path, "{}", { token: stack.secretKey })), [202, ""]);
  assert.equal((await socket.next()).payload.event, "e");
  assert.deepEqual(await answer(await post(path, "{}", { token: stack.publishableKey })), [
    403,
    { message: "Unauthorized" },
  ]);
});

Deno.test("the official client connects with a gateway's key and asks for V2", async () => {
  await using connection = connectClient();
  const { client } = connection;
  assert.equal((await subscribe(client.channel(newTopic()))).status, "SUBSCRIBED");
  const { searchParams } = new URL(client.realtime.endpointURL());
  assert.deepEqual([searchParams.get("vsn"), searchParams.get("apikey")], ["2.0.0", stack.publishableKey]);
});
