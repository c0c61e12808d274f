import assert from "node:assert/strict";
import { figureOf, median, percentile, ratioOf } from "./statistics.ts";

Deno.test("percentile() answers a value that was measured", () => {
  assert.equal(percentile([5, 1, 4, 2, 3], 0.5), 3);
  assert.equal(percentile([5, 1, 4, 2, 3], 0.95), 5);
  assert.equal(percentile([5, 1, 4, 2, 3], 0), 1);
});

Deno.test("median() is the middle, or the mean of the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([9, 1, 5, 6]), 5.5);
});

Deno.test("figureOf() has the median and the range, and refuses to sum up nothing", () => {
  assert.deepEqual(figureOf([3, 1, 2]), { median: 2, min: 1, max: 3 });
  assert.throws(() => figureOf([]), /no values/);
});

Deno.test("ratioOf() divides the medians, and ranges over the rounds", () => {
  // The second round met a busy machine: both were slow, and their ratio stayed what it was.
  assert.deepEqual(ratioOf([100, 10, 120], [50, 5, 40]), { median: 2.5, min: 2, max: 3 });
});
