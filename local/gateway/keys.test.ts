import assert from "node:assert/strict";
import { swapKey } from "./keys.ts";
import { randomKeys } from "../keys.ts";

const keys = await randomKeys();

function swap(given: Record<string, string>, query = "", need: "required" | "optional" = "required") {
  const url = new URL(`http://localhost/rest/v1/x${query}`);
  const headers = new Headers(given);
  const refusal = swapKey(headers, url, keys, need);
  return refusal ? refusal.status : { ...Object.fromEntries(headers), query: url.search };
}

Deno.test("swapKey() puts the role's token for a key, also in an Authorization that is absent or the same key", () => {
  const swapped = { apikey: keys.anonKey, authorization: `Bearer ${keys.anonKey}`, query: "" };
  assert.deepEqual(swap({ apikey: keys.publishableKey }), swapped);
  assert.deepEqual(swap({ apikey: keys.publishableKey, authorization: `Bearer ${keys.publishableKey}` }), swapped);
});

Deno.test("swapKey() leaves the token of a user or worker alone", () => {
  const swapped = swap({ apikey: keys.secretKey, authorization: "Bearer a.b.c" });
  assert.deepEqual(swapped, { apikey: keys.serviceRoleKey, authorization: "Bearer a.b.c", query: "" });
});

Deno.test("swapKey() swaps the key in the query of a websocket", () => {
  const swapped = swap({}, `?apikey=${keys.publishableKey}&vsn=2.0.0`, "optional");
  assert.deepEqual(swapped, {
    authorization: `Bearer ${keys.anonKey}`,
    query: `?apikey=${keys.anonKey}&vsn=2.0.0`,
  });
});

Deno.test("swapKey() refuses a missing key where one is needed, and an unknown one", () => {
  assert.equal(swap({}), 401);
  assert.equal(swap({ apikey: "sb_secret_guessed" }), 401);
  assert.equal(swap({ apikey: "sb_secret_guessed" }, "", "optional"), 401);
  assert.equal(swap({ apikey: "a.foreign.token" }), 401);
  assert.deepEqual(swap({ authorization: "Bearer a.b.c" }, "", "optional"), {
    authorization: "Bearer a.b.c",
    query: "",
  });
});
