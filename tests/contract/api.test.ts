import assert from "node:assert/strict";
import { z } from "zod";
import { type ErrorCode, errorList } from "../../shared/errors.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { api } from "../support/tenant.ts";

const open = api(null);

Deno.test("GET /api/openapi.json describes every function, with the project as its server", async () => {
  const { status, headers, body } = await open("/api/openapi.json");
  assert.equal(status, 200);
  assert.match(headers.get("content-type") ?? "", /^application\/json/);
  assert.equal(body.openapi, "3.1.0");
  assert.deepEqual(body.servers, [{ url: `${project.url}/functions/v1` }]);
  const checkedIn = JSON.parse(await Deno.readTextFile(new URL("../../docs/openapi.json", import.meta.url)));
  assert.deepEqual({ ...body, servers: checkedIn.servers }, checkedIn);
});

Deno.test("each function describes its own part as the whole document does", async () => {
  const { body: whole } = await open("/api/openapi.json");
  const names = new Set(Object.keys(whole.paths).map((path) => path.split("/")[1]!));
  assert.ok(names.size >= 6, `${[...names]}`);
  for (const name of names) {
    if (name === "api") continue;
    const { status, body } = await open(`/${name}/openapi.json`);
    assert.equal(status, 200, name);
    for (const [path, operations] of Object.entries(body.paths)) assert.deepEqual(operations, whole.paths[path], path);
    const own = Object.keys(whole.paths).filter((path) => path.split("/")[1] === name);
    assert.deepEqual(Object.keys(body.paths).sort(), own.sort());
  }
});

Deno.test("GET /api/messages.json is the schema that is checked in, and tells a message from what is none", async () => {
  const { status, body } = await open("/api/messages.json");
  assert.equal(status, 200);
  const file = new URL("../../docs/messages.schema.json", import.meta.url);
  assert.deepEqual(body, JSON.parse(await Deno.readTextFile(file)));
  const message = z.fromJSONSchema(body);
  const wake = { messageId: "1", sentAt: "2026-01-31T12:00:00.000Z", type: "wake", data: { nonce: "n" } };
  assert.ok(message.safeParse(wake).success);
  assert.ok(message.safeParse({ ...wake, unknown: 1 }).success, "readers ignore what they do not know");
  for (const wrong of [{ ...wake, type: "sleep" }, { ...wake, data: {} }, { ...wake, sentAt: "now" }, null]) {
    assert.equal(message.safeParse(wrong).success, false, JSON.stringify(wrong));
  }
});

Deno.test("GET /api/reference is HTML for a browser, without script or anything from elsewhere, and Markdown for others", async () => {
  const html = await open("/api/reference", { headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" } });
  assert.equal(html.status, 200);
  assert.equal(html.headers.get("content-type"), "text/html; charset=utf-8");
  assert.match(html.headers.get("content-security-policy") ?? "", /default-src 'none'/);
  assert.match(html.body, /<h3 id="submitjobs">/);
  assert.doesNotMatch(html.body, /<script|src=|https?:\/\/(?!127\.0\.0\.1)/);
  const anchors = new Set([...html.body.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]));
  const links = [...html.body.matchAll(/href="#([^"]+)"/g)].map((match) => match[1]);
  assert.ok(links.length > 50);
  assert.deepEqual(links.filter((link) => !anchors.has(link)), [], "links that lead nowhere");

  const markdown = await open("/api/reference", { headers: { accept: "text/markdown" } });
  assert.equal(markdown.headers.get("content-type"), "text/markdown; charset=utf-8");
  const plain = await open("/api/reference", { headers: { accept: "*/*" } });
  assert.equal(plain.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.equal(plain.body, markdown.body);
  const { body: whole } = await open("/api/openapi.json");
  for (const [path, operations] of Object.entries<Record<string, { operationId: string }>>(whole.paths)) {
    for (const [method, { operationId }] of Object.entries(operations)) {
      assert.ok(plain.body.includes(`### ${operationId}\n\n\`${method.toUpperCase()} ${path}\``), operationId);
    }
  }
});

Deno.test("GET /api/errors lists every code, as JSON and as a page with an anchor for each", async () => {
  const listed = await open("/api/errors", { headers: { accept: "application/json" } });
  const codes = Object.keys(errorList) as ErrorCode[];
  assert.deepEqual(listed.body.errors.map(({ code }: { code: string }) => code), codes);
  const html = await open("/api/errors", { headers: { accept: "text/html" } });
  for (const code of codes) assert.ok(html.body.includes(`id="${code.toLowerCase().replaceAll(".", "")}"`), code);
});

Deno.test("the type of a problem leads to the page of its code", async () => {
  const problems = [await open("/jobs"), await open("/jobs/a/b/c"), await open("/health", { method: "POST" })];
  for (const { body } of problems) {
    const response = await fetch(new URL(body.type, project.url), { headers: { accept: "application/json" } });
    assert.equal(response.status, 200);
    const entry = await response.json();
    assert.deepEqual([entry.code, entry.status, entry.title], [body.code, body.status, body.title]);
    const page = await fetch(new URL(body.type, project.url), { headers: { accept: "text/html" } });
    assert.match(await page.text(), new RegExp(`<h1 id="${body.code}">`));
  }
  assertProblem(await open("/api/errors/no_such_code"), "not_found");
  assertProblem(await open("/api/errors/__proto__"), "not_found");
  assertProblem(await open("/api/nothing"), "route_not_found");
});

Deno.test("the documents can be cached and asked for again at no cost; other answers are not stored by anybody", async () => {
  for (const path of ["/api/openapi.json", "/api/messages.json", "/api/reference", "/api/errors"]) {
    const first = await open(path);
    const etag = first.headers.get("etag");
    assert.match(etag ?? "", /^"\w+"$/, path);
    assert.equal(first.headers.get("cache-control"), "public, max-age=300");
    const again = await open(path, { headers: { "if-none-match": etag! } });
    assert.deepEqual([again.status, again.body, again.headers.get("etag")], [304, undefined, etag], path);
    assert.equal(again.headers.get("access-control-allow-origin"), "*");
  }
  const html = await open("/api/reference", { headers: { accept: "text/html" } });
  assert.notEqual(html.headers.get("etag"), (await open("/api/reference")).headers.get("etag"));
  assert.match(html.headers.get("vary") ?? "", /accept/);
  assert.equal((await open("/health")).headers.get("cache-control"), "no-store");
  assert.equal((await open("/jobs")).headers.get("cache-control"), "no-store");
  assert.equal((await open("/api/errors/no_such_code")).headers.get("cache-control"), "no-store");
});
