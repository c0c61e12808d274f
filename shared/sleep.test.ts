import assert from "node:assert/strict";
import { sleep } from "./sleep.ts";

Deno.test("sleep() ends at once for a signal that fires, or has fired", { sanitizeOps: true }, async () => {
  const hour = 3_600_000;
  await sleep(hour, AbortSignal.abort());
  const giveUp = new AbortController();
  const sleeping = sleep(hour, giveUp.signal);
  giveUp.abort();
  await sleeping;
});

Deno.test("sleep() ends when its time is over", async () => {
  const from = performance.now();
  await sleep(20, new AbortController().signal);
  assert.ok(performance.now() - from >= 19);
});
