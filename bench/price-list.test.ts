import assert from "node:assert/strict";
import { monthlyPrice, priceOf } from "./price-list.ts";

Deno.test("what the plan includes costs its fee alone", () => {
  const within = {
    functionInvocations: 2_000_000,
    realtimeMessages: 5_000_000,
    peakConnections: 500,
    egressGigabytes: 250,
    diskGigabytes: 8,
  };
  assert.equal(monthlyPrice(within), 25);
});

Deno.test("beyond the quota each package begun is paid whole", () => {
  assert.equal(priceOf("realtimeMessages", 5_000_001), 2.5);
  assert.equal(priceOf("realtimeMessages", 6_000_001), 5);
  assert.equal(priceOf("functionInvocations", 2_592_000_000), 5180);
  assert.equal(priceOf("peakConnections", 1_000), 10);
});
