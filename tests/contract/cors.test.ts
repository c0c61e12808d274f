import assert from "node:assert/strict";
import { project } from "../support/project.ts";
import { api, createApp } from "../support/tenant.ts";

const origin = "https://app.example";

interface Preflight {
  readonly status: number;
  readonly origin: string | null;
  readonly methods: string[];
  readonly headers: string[];
  readonly maxAge: number;
  readonly credentials: string | null;
}

/** What a browser asks before it lets a page call. */
async function preflight(path: string, method: string, headers: readonly string[]): Promise<Preflight> {
  const response = await fetch(`${project.url}${path}`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": method,
      "access-control-request-headers": headers.join(","),
    },
  });
  await response.body?.cancel();
  const list = (name: string): string[] =>
    (response.headers.get(name) ?? "").split(",").map((item) => item.trim().toLowerCase()).filter((item) =>
      item !== ""
    );
  return {
    status: response.status,
    origin: response.headers.get("access-control-allow-origin"),
    methods: list("access-control-allow-methods"),
    headers: list("access-control-allow-headers"),
    maxAge: Number(response.headers.get("access-control-max-age")),
    credentials: response.headers.get("access-control-allow-credentials"),
  };
}

Deno.test("a page of any site may ask each operation, with every header it takes, and is told its true methods", async () => {
  const { body: openApi } = await api(null)("/api/openapi.json");
  const common = ["authorization", "apikey", "x-api-key", "x-client-info", "content-type"];
  for (const [path, operations] of Object.entries<Record<string, { parameters: unknown[] }>>(openApi.paths)) {
    const concrete = path.replace(/\{[^}]+\}/g, crypto.randomUUID());
    for (const [method, { parameters }] of Object.entries(operations)) {
      const own = parameters.map((parameter) => resolved(openApi, parameter))
        .filter((parameter) => parameter.in === "header").map(({ name }) => name);
      const answer = await preflight(`/functions/v1${concrete}`, method.toUpperCase(), [...common, ...own]);
      assert.ok(answer.status === 204 || answer.status === 200, `${method} ${path}`);
      assert.equal(answer.origin, "*");
      assert.equal(answer.credentials, null, "nothing but the key counts, and no cookie");
      assert.deepEqual(answer.methods.sort(), Object.keys(operations).sort(), path);
      assert.deepEqual([...common, ...own].filter((header) => !answer.headers.includes(header)), [], path);
      assert.ok(answer.maxAge >= 600 && answer.maxAge <= 86_400);
    }
  }
});

Deno.test("a preflight needs no key and does nothing", async () => {
  const { api: app } = await createApp();
  await preflight("/functions/v1/jobs", "POST", ["content-type"]);
  assert.deepEqual((await app("/jobs")).body.jobs, []);
});

Deno.test("whatever the answer is, a page may read it with its id, its pause and its allowed methods", async () => {
  const { api: app } = await createApp();
  const answers = [
    ["200", await app("/jobs")],
    ["201", await app("/jobs", { json: { type: "a" } })],
    ["400", await app("/jobs", { json: { type: 5 } })],
    ["400 of JSON", await app("/jobs", { raw: "{" })],
    ["401", await api(null)("/jobs")],
    ["403", await app(`/workers/${crypto.randomUUID()}/revoke`, { method: "POST" })],
    ["404", await app(`/jobs/${crypto.randomUUID()}`)],
    ["404 of a route", await app("/jobs/a/b/c")],
    ["404 of a preflighted route", await app("/api/nothing")],
    ["405", await app("/jobs", { method: "DELETE" })],
    ["413", await app("/artifacts", { raw: `"${"x".repeat(3 * 1024 * 1024)}"` })],
    ["415", await app("/jobs", { raw: "a=b", headers: { "content-type": "text/plain" } })],
  ] as const;
  for (const [what, { status, headers }] of answers) {
    assert.equal(String(status), what.split(" ")[0], what);
    assert.equal(headers.get("access-control-allow-origin"), "*", what);
    assert.equal(headers.get("access-control-allow-credentials"), null, what);
    const exposed = (headers.get("access-control-expose-headers") ?? "").toLowerCase().split(",");
    for (const name of ["x-correlation-id", "retry-after", "allow", "etag", "www-authenticate"]) {
      assert.ok(exposed.includes(name), `${what}: ${name}`);
    }
  }
});

Deno.test("a worker in a page may call its functions on the Data API and read the refusals", async () => {
  const headers = ["authorization", "apikey", "content-profile", "content-type", "x-client-info"];
  const answer = await preflight("/rest/v1/rpc/heartbeat", "POST", headers);
  assert.equal(answer.status, 200);
  assert.equal(answer.origin, "*");
  assert.ok(answer.methods.includes("post"));
  assert.deepEqual(headers.filter((header) => !answer.headers.includes(header)), []);
  const refused = await fetch(`${project.url}/rest/v1/rpc/heartbeat`, {
    method: "POST",
    headers: {
      origin,
      "content-type": "application/json",
      "content-profile": "muster",
      apikey: project.publishableKey,
    },
    body: "{}",
  });
  await refused.body?.cancel();
  assert.ok(refused.status >= 400);
  assert.equal(refused.headers.get("access-control-allow-origin"), "*");
});

function resolved(
  // deno-lint-ignore no-explicit-any -- a JSON document, walked by its references
  document: any,
  // deno-lint-ignore no-explicit-any -- a parameter, or a reference to one
  parameter: any,
): { readonly in: string; readonly name: string } {
  return parameter.$ref === undefined ? parameter : document.components.parameters[parameter.$ref.split("/").at(-1)];
}
