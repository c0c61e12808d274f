import assert from "node:assert/strict";
import { jsonBytes, unstorableJson } from "./json.ts";
import { limits } from "./limits.ts";

Deno.test("JSON is measured as UTF-8", () => {
  assert.equal(jsonBytes("é"), 4);
  assert.equal(jsonBytes({ a: [1, null] }), 14);
});

Deno.test("what Postgres could not give back as it was is not storable", () => {
  for (const good of [null, 0, -1.5e300, "text", "😀", [], { a: [{ b: "c" }] }]) {
    assert.equal(unstorableJson(good), null);
  }
  for (const bad of ["a\0b", "\ud800", { a: ["\udc00"] }, { "k\0": 1 }, [JSON.parse("1e999")]]) {
    assert.match(unstorableJson(bad) ?? "", /^Must not contain/);
  }
});

Deno.test("deep nesting is refused, however deep", () => {
  const nested = (depth: number): unknown => JSON.parse("[".repeat(depth) + "]".repeat(depth));
  assert.equal(unstorableJson(nested(limits.jsonDepth)), null);
  assert.match(unstorableJson(nested(limits.jsonDepth + 1)) ?? "", /nested deeper/);
  assert.match(unstorableJson(nested(100_000)) ?? "", /nested deeper/);
});
