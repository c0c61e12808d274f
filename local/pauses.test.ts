import assert from "node:assert/strict";
import { Pauses } from "./pauses.ts";

Deno.test("pauses double up to the longest, and begin anew after a good run", () => {
  const pauses = new Pauses({ firstMs: 500, mostMs: 3_000, resetAfterMs: 60_000 });
  assert.deepEqual([1, 1, 1, 59_999, 1].map((ranMs) => pauses.next(ranMs)), [500, 1_000, 2_000, 3_000, 3_000]);
  assert.deepEqual([60_000, 1].map((ranMs) => pauses.next(ranMs)), [500, 1_000]);
});
