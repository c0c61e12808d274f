import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fuzz } from "./fuzz.ts";
import { fuzzProject } from "./fuzz-project.ts";
import type { World } from "./world.ts";

Deno.test("2,000 requests to every route and to the functions of workers break nothing and tell nothing", async () => {
  const { sent, problems, text } = await fuzzProject({ requests: 2_000, seed: 4 });
  console.log(text);
  assert.deepEqual(problems, []);
  assert.ok(sent >= 2_000, `only ${sent} were sent`);
});

Deno.test("a fault that few requests meet is found, and told by a request that is as small as it goes", async () => {
  const document = JSON.parse(await Deno.readTextFile(new URL("../../docs/openapi.json", import.meta.url)));
  const world: World = {
    offer: { ids: [], credentials: ["none"], callers: {}, bodies: {}, values: {} },
    secrets: [],
    credentialsOfOthers: new Set(),
    workerTokens: [],
    fill: (request) => Promise.resolve(request),
  };
  // It breaks on one field, whatever else is sent.
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => body += chunk);
    request.on("end", () => {
      const broken = request.url === "/functions/v1/jobs" && /"concurrencyLimit"/.test(body);
      response.writeHead(broken ? 500 : 204, { "x-correlation-id": "order-7" }).end();
    });
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const only = { ...document, paths: { "/jobs": { post: document.paths["/jobs"].post } } };
    const { findings } = await fuzz({ url, document: only, world, requests: 200, seed: 1 });
    const found = findings.find(({ rule }) => rule === "no 5xx");
    assert.ok(found, JSON.stringify(findings));
    assert.match(found.curl, /^curl .*\/functions\/v1\/jobs' .*"concurrencyLimit":/);
    assert.doesNotMatch(found.curl, /"payload"|"labels"|"notify"/, "what has no part in it was left out");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
