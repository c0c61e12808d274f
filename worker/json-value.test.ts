import assert from "node:assert/strict";
import { clampJsonText, clampText, measureJson } from "./json-value.ts";

Deno.test("measureJson() counts bytes, not characters", () => {
  assert.deepEqual(measureJson({ a: "é" }), { bytes: 10 });
  assert.deepEqual(measureJson(undefined), { bytes: 4 });
});

Deno.test("measureJson() explains what cannot be stored", () => {
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  for (const value of [loop, 1n, () => 1, { a: "\u0000" }, ["\ud800"], { "a\u0000": 1 }]) {
    assert.ok("problem" in measureJson(value));
  }
});

Deno.test("measureJson() judges what toJSON() makes of a value", () => {
  assert.deepEqual(measureJson(new Date(0)), { bytes: 26 });
});

Deno.test("clampText() keeps whole characters within the bytes", () => {
  assert.equal(clampText("abc", 8), "abc");
  assert.equal(clampText("éééééé", 8), "éé…");
  assert.equal(clampText("a\u0000b\ud800", 100), "ab\uFFFD");
});

Deno.test("clampJsonText() keeps within the bytes what JSON writes longer than it is", () => {
  for (
    const text of ["\u0001".repeat(12_000), '"'.repeat(12_000), `${"a".repeat(6_000)}${"\n".repeat(6_000)}`, "é\t"]
  ) {
    const clamped = clampJsonText(text, 8_000);
    const bytes = new TextEncoder().encode(JSON.stringify(clamped)).length;
    assert.ok(bytes <= 8_000, `${bytes} bytes`);
    assert.ok(clamped.length > 0 && text.startsWith(clamped.replace("…", "")));
  }
  assert.equal(clampJsonText("é\t", 100), "é\t");
});
