import assert from "node:assert/strict";
import { nextRun } from "./schedule.ts";

const at = (text: string) => new Date(`${text}Z`);
const now = at("2026-01-31T12:00:30");

Deno.test("nextRun() counts seconds from the last start, and is due at once when that is past", () => {
  assert.deepEqual(nextRun("5 seconds", at("2026-01-31T12:00:28"), now), at("2026-01-31T12:00:33"));
  assert.deepEqual(nextRun("5 seconds", at("2026-01-31T11:00:00"), now), now);
});

Deno.test("nextRun() reads five fields in GMT, with $ for the last day of the month", () => {
  assert.deepEqual(nextRun("* * * * *", now, now), at("2026-01-31T12:01:00"));
  assert.deepEqual(nextRun("30 3 * * 1-5", now, now), at("2026-02-02T03:30:00"));
  assert.deepEqual(nextRun("0 0 $ * *", now, now), at("2026-02-28T00:00:00"));
  assert.deepEqual(nextRun("@daily", now, now), at("2026-02-01T00:00:00"));
});

Deno.test("nextRun() throws for fields out of range, and is null for a day that never comes", () => {
  assert.throws(() => nextRun("99 * * * *", now, now));
  assert.equal(nextRun("0 0 30 2 *", now, now), null);
});
