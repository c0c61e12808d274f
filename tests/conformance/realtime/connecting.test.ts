import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic, signToken, stack } from "./support/stack.ts";

function handshake(query: Record<string, string>): Promise<Response> {
  const url = new URL("realtime/v1/websocket", stack.url.replace(/\/?$/, "/"));
  url.search = new URLSearchParams(query).toString();
  const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
  return fetch(url, { headers: { ...headers, "sec-websocket-key": btoa("0123456789abcdef") } });
}

Deno.test("a socket without vsn speaks V1, and its frames have exactly four keys", async () => {
  using socket = await RawSocket.open();
  const { reply } = await socket.tryJoin(newTopic());
  assert.deepEqual(Object.keys(JSON.parse(reply.raw as string)).sort(), ["event", "payload", "ref", "topic"]);
});

Deno.test("a heartbeat is answered with its own ref, null too", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  socket.sendRaw('[null,"7","phoenix","heartbeat",{}]');
  assert.equal((await socket.next()).raw, '[null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]');

  using v1 = await RawSocket.open();
  v1.sendRaw('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}');
  const { raw: _, ...frame } = await v1.next();
  assert.deepEqual(frame, {
    topic: "phoenix",
    event: "phx_reply",
    payload: { status: "ok", response: {} },
    ref: null,
  });
});

Deno.test("frames that cannot be read are dropped and the socket lives on", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  for (const text of ["", "{", "[1,2]", "null"]) socket.sendRaw(text);
  socket.sendRaw(Uint8Array.of(9, 9, 9));
  assert.deepEqual(await socket.rest(), []);
});

Deno.test("an unknown version is refused", async () => {
  const response = await handshake({ apikey: await signToken(), vsn: "3.0.0" });
  await response.body?.cancel();
  assert.equal(response.status, 403);
});

Deno.test("a bad key is refused over HTTP with the reason", async () => {
  const cases: [string, string][] = [
    ["nonsense", "The token provided is not a valid JWT"],
    [await signToken({ secret: "x".repeat(40) }), "Failed to validate JWT signature"],
    [await signToken({ expiresInSeconds: -5 }), "Token has expired"],
  ];
  for (const [apikey, error] of cases) {
    const response = await handshake({ apikey, vsn: "2.0.0" });
    assert.deepEqual([response.status, await response.json()], [401, { error }]);
  }
});

Deno.test("a frame over five million bytes closes the socket with 1009", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  socket.sendRaw("x".repeat(5_000_001));
  assert.equal(await socket.closed, 1009);
});
