import assert from "node:assert/strict";
import { isApiKey, makeSecret, sameSecret } from "./secret.ts";

Deno.test("a new API key is one, and its hash is that of its text", async () => {
  const key = await makeSecret("apiKey");
  assert.ok(isApiKey(key.value));
  assert.match(key.hash, /^[0-9a-f]{64}$/);
  assert.ok(key.value.startsWith(key.prefix));
  assert.notEqual(key.value, (await makeSecret("apiKey")).value);
  assert.ok(!isApiKey((await makeSecret("enrollmentToken")).value));
});

Deno.test("secrets are the same only when every character is", () => {
  assert.ok(sameSecret("abc", "abc"));
  for (const other of ["abd", "ab", "abcd", "", "abcabc"]) assert.ok(!sameSecret("abc", other), other);
});
