import assert from "node:assert/strict";
import { RateCounter } from "./rate-counter.ts";

Deno.test("realtime: RateCounter tells the mean of finished steps, up to a minute back", () => {
  let now = 0;
  const counter = new RateCounter(() => now);
  counter.add(500);
  assert.equal(counter.perSecond(), 0);
  now = 5000;
  assert.equal(counter.perSecond(), 100);
  now = 10_000;
  assert.equal(counter.perSecond(), 50);
  now = 60_000;
  assert.equal(counter.perSecond(), 500 / 60);
  now = 65_000;
  assert.equal(counter.perSecond(), 0);
});
