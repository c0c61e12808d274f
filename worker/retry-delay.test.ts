import assert from "node:assert/strict";
import { RateLimitedError } from "../shared/errors.ts";
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

Deno.test("an error that tells how long to wait is taken at its word, up to the cap and with some spread", () => {
  const error = new RateLimitedError("Cannot serve", { retryAfterSeconds: 4 });
  assert.equal(retryDelay(1, { error, random: () => 0 }), 4_000);
  assert.equal(retryDelay(1, { error, random: () => 1 }), 4_800);
  assert.equal(retryDelay(1, { error, capMs: 2_000 }), 2_000);
  assert.ok(retryDelay(10, { error, random: () => 0 }) > 7_000);
  assert.ok(retryDelay(1, { error: new RateLimitedError("Cannot serve") }) <= 250);
});
