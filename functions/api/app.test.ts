import assert from "node:assert/strict";
import { createLog } from "../../shared/http/log.ts";
import { createApp } from "./app.ts";
import type { Documents } from "./documents.ts";

const documents: Documents = JSON.parse(await Deno.readTextFile(new URL("./documents.json", import.meta.url)));
const browser = { headers: { accept: "text/html,*/*;q=0.8" } };

function appAt(publicUrl: string) {
  return createApp({ documents, publicUrl, log: createLog({}, { write: () => {} }) });
}

Deno.test("on the platform's own domain, which shows HTML as text, a browser gets Markdown as text", async () => {
  const hosted = await appAt("https://abcdefghijklmnopqrst.supabase.co").request("/api/reference", browser);
  assert.equal(hosted.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.match(await hosted.text(), /^# API reference\n/);
  const own = await appAt("https://muster.example.org").request("/api/reference", browser);
  assert.equal(own.headers.get("content-type"), "text/html; charset=utf-8");
  // A domain that only looks like it.
  const other = await appAt("https://evilsupabase.co").request("/api/errors", browser);
  assert.equal(other.headers.get("content-type"), "text/html; charset=utf-8");
});

Deno.test("what is asked for is never part of a page unescaped", async () => {
  const answer = await appAt("https://muster.example.org").request("/api/errors/%3Cscript%3E", browser);
  assert.equal(answer.status, 404);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
});
