import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { startGateway } from "./gateway.ts";
import { randomKeys } from "./keys.ts";
import { silent } from "./log.ts";
import { freePort } from "./ports.ts";
import { until } from "./testing/wait.ts";

const keys = await randomKeys();

Deno.test("a gateway before its parts", async (t) => {
  await using part = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") return echo(request, url);
    if (url.pathname === "/socket/early") return new Response("too large", { status: 413 });
    const headers = { "x-seen": JSON.stringify(Object.fromEntries(request.headers)), "set-cookie": "a=b" };
    return new Response(request.body ?? url.pathname + url.search, { headers });
  });
  const gateway = await startGateway({ port: 0, keys, log: silent });
  const base = `${gateway.url}/realtime/v1`;
  const socketTo = (query: string) => new WebSocket(`${base}/websocket${query}`.replace("http", "ws"));

  await t.step("answers 503 while a part starts, over HTTP and to a websocket", async () => {
    const answer = await fetch(`${base}/api/ping`);
    const { message } = await answer.json();
    assert.deepEqual([answer.status, message], [503, "Realtime is still starting"]);
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.match(await handshake(gateway.url, "/realtime/v1/websocket"), /^HTTP\/1.1 503 .*still starting"}$/s);
  });

  gateway.setUpstream("realtime", part.addr.port);
  await gateway.settled();

  await t.step("says where a request came from, and takes away what is for one hop", async () => {
    const answer = await fetch(`${base}/x?y=z`, { headers: { te: "trailers", "x-mine": "1" } });
    assert.equal(await answer.text(), "/socket/x?y=z");
    assert.equal(answer.headers.get("set-cookie"), "a=b");
    const seen = JSON.parse(answer.headers.get("x-seen")!);
    const url = new URL(gateway.url);
    assert.deepEqual(
      [seen["x-forwarded-host"], seen["x-forwarded-port"], seen["x-forwarded-proto"], seen["x-mine"], seen.te],
      [url.hostname, url.port, "http", "1", undefined],
    );
  });

  await t.step("tells the client's address itself, whatever the client says", async () => {
    const lies = ["cf-connecting-ip", "true-client-ip", "x-real-ip", "forwarded", "x-forwarded-for"];
    const headers = Object.fromEntries(lies.map((name) => [name, "198.51.100.1"]));
    const answer = await fetch(`${base}/x`, { headers });
    await answer.body?.cancel();
    const seen = answer.headers.get("x-seen")!;
    assert.doesNotMatch(seen, /198\.51/);
    assert.equal(JSON.parse(seen)["x-forwarded-for"], "127.0.0.1");
  });

  await t.step("passes a body of 8 MB both ways", async () => {
    const body = new Uint8Array(8_000_000).map((_, i) => i);
    const answer = await fetch(`${base}/x`, { method: "POST", body });
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), body);
  });

  await t.step("passes an answer that comes before the body was read", async () => {
    const answer = await fetch(`${base}/early`, { method: "POST", body: new Uint8Array(8_000_000) });
    assert.deepEqual([answer.status, await answer.text()], [413, "too large"]);
  });

  await t.step(
    "leaves keys as they are on the way to functions, which check them, and swaps them for the rest",
    async () => {
      gateway.setUpstream("functions", part.addr.port);
      await gateway.settled();
      const keysSeen = async (path: string, given: Record<string, string>) => {
        const answer = await fetch(`${gateway.url}${path}`, { headers: given });
        await answer.body?.cancel();
        const { apikey, authorization, "x-api-key": apiKey } = JSON.parse(answer.headers.get("x-seen")!);
        return { apikey, authorization, "x-api-key": apiKey };
      };
      const given = { apikey: keys.secretKey, authorization: `Bearer ${keys.secretKey}`, "x-api-key": "msk_x" };
      assert.deepEqual(await keysSeen("/functions/v1/any", given), given);
      assert.equal((await keysSeen("/functions/v1/any", { apikey: "sb_secret_x" })).apikey, "sb_secret_x");
      assert.equal((await keysSeen("/realtime/v1/x", { apikey: keys.secretKey })).apikey, keys.serviceRoleKey);
    },
  );

  // A part that does by hand what a server would not.
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gateway.setUpstream("functions", (listener.addr as Deno.NetAddr).port);
  await gateway.settled();
  const asked = async () => {
    const connection = await listener.accept();
    await connection.read(new Uint8Array(1_000));
    return connection;
  };

  await t.step("breaks an answer off where its part broke it off", async () => {
    const answering = fetch(`${gateway.url}/functions/v1/any`);
    using connection = await asked();
    await connection.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"));
    const answer = await answering;
    connection.closeWrite();
    assert.equal(answer.status, 200);
    await assert.rejects(answer.text());
  });

  await t.step("ends a request whose client went away", async () => {
    const leave = new AbortController();
    const answering = fetch(`${gateway.url}/functions/v1/any`, { signal: leave.signal });
    using connection = await asked();
    leave.abort();
    await assert.rejects(answering, { name: "AbortError" });
    assert.equal(await connection.read(new Uint8Array(1)), null);
  });

  await t.step("swaps the key in the query of a websocket, and passes large frames and closing codes", async () => {
    const socket = socketTo(`?apikey=${keys.publishableKey}`);
    socket.binaryType = "arraybuffer";
    const messages = listen(socket);
    assert.equal(await messages.next(), keys.anonKey);
    const frame = new Uint8Array(3_000_000).map((_, i) => i);
    socket.send(frame);
    assert.deepEqual(new Uint8Array(await messages.next() as ArrayBuffer), frame);
    const closed = once(socket, "close");
    socket.send("close");
    assert.equal((await closed)[0].code, 1012);
  });

  await t.step("passes the refusal of a websocket, and ends its connection", async () => {
    const text = await handshake(gateway.url, "/realtime/v1/websocket?refuse=1");
    assert.match(text, /^HTTP\/1.1 403 Forbidden\r\n.*not you$/s);
    assert.match(await handshake(gateway.url, "/realtime/v1/websocket?apikey=sb_wrong"), /^HTTP\/1.1 401 /);
    assert.match(await handshake(gateway.url, "/nothing/v1"), /^HTTP\/1.1 404 /);
  });

  await t.step("answers a request for another protocol as if it had not asked", async () => {
    const text = await handshake(gateway.url, "/realtime/v1/x", { upgrade: "h2c" });
    assert.match(text, /^HTTP\/1.1 200 OK\r\n.*\/socket\/x$/s);
  });

  await t.step("killed, it serves on the same port and still knows its parts", async () => {
    const socket = socketTo("");
    await once(socket, "open");
    const closed = once(socket, "close");
    const killed = gateway.pid;
    Deno.kill(killed, "SIGKILL");
    await closed;
    await until("it answers", async () => {
      const answer = await fetch(`${base}/x`).catch(() => undefined);
      return await answer?.text() === "/socket/x" && gateway.pid !== killed;
    });
  });

  await t.step("answers 502 when a part refuses connections", async () => {
    gateway.setUpstream("realtime", freePort(0));
    await gateway.settled();
    const answer = await fetch(`${base}/x`, { method: "POST", body: "something" });
    assert.equal(answer.status, 502);
    await answer.body?.cancel();
    assert.match(await handshake(gateway.url, "/realtime/v1/websocket"), /^HTTP\/1.1 502 /);
  });

  await t.step("takes the next free port for one that is taken", async () => {
    const taken = Number(new URL(gateway.url).port);
    const second = await startGateway({ port: taken, keys, log: silent });
    assert.ok(Number(new URL(second.url).port) > taken);
    await second.stop();
  });

  await gateway.stop();
});

function echo(request: Request, url: URL): Response {
  if (url.searchParams.has("refuse")) return new Response("not you", { status: 403 });
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onopen = () => socket.send(url.searchParams.get("apikey") ?? "");
  socket.onmessage = ({ data }) => data === "close" ? socket.close(1012) : socket.send(data);
  return response;
}

function listen(socket: WebSocket): { next(): Promise<unknown> } {
  const messages: unknown[] = [];
  let arrived = Promise.withResolvers<void>();
  socket.addEventListener("message", ({ data }) => {
    messages.push(data);
    arrived.resolve();
  });
  return {
    async next() {
      while (messages.length === 0) {
        arrived = Promise.withResolvers();
        await arrived.promise;
      }
      return messages.shift();
    },
  };
}

/** All that a request to upgrade is answered, until the connection ends. */
async function handshake(url: string, path: string, { upgrade = "websocket" } = {}): Promise<string> {
  const { hostname, port } = new URL(url);
  const connection = net.connect(Number(port), hostname);
  connection.write([
    `GET ${path} HTTP/1.1`,
    `host: ${hostname}:${port}`,
    "connection: Upgrade",
    `upgrade: ${upgrade}`,
    "sec-websocket-version: 13",
    `sec-websocket-key: ${btoa("0123456789abcdef")}\r\n\r\n`,
  ].join("\r\n"));
  let text = "";
  for await (const chunk of connection) text += chunk;
  return text;
}
