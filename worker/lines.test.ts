import assert from "node:assert/strict";
import { Lines } from "./lines.ts";

Deno.test("lines said in one go are written at once, in their order", async () => {
  const written: string[] = [];
  const lines = new Lines((text) => written.push(text));
  lines.add("a");
  lines.add("b");
  assert.deepEqual(written, []);
  await Promise.resolve();
  assert.deepEqual(written, ["a\nb\n"]);
  lines.add("c");
  await Promise.resolve();
  assert.deepEqual(written, ["a\nb\n", "c\n"]);
});

Deno.test("a flush writes what waits, and nothing twice", async () => {
  const written: string[] = [];
  const lines = new Lines((text) => written.push(text));
  lines.add("a");
  lines.flush();
  lines.flush();
  await Promise.resolve();
  assert.deepEqual(written, ["a\n"]);
});
