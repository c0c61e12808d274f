import assert from "node:assert/strict";
import { retryDelay } from "./retry-delay.ts";

Deno.test("retryDelay() doubles from the base up to the cap", () => {
  const random = () => 1;
  assert.deepEqual([1, 2, 3, 7, 8, 100].map((tries) => retryDelay(tries, { random })), [
    250,
    500,
    1000,
    15_000,
    15_000,
    15_000,
  ]);
});

Deno.test("retryDelay() is never less than half of the full delay", () => {
  assert.equal(retryDelay(1, { random: () => 0 }), 125);
  assert.equal(retryDelay(50, { random: () => 0 }), 7_500);
});
