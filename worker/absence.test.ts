import assert from "node:assert/strict";
import { type Absence, watchForAbsence } from "./absence.ts";

/** Watches with clocks that the test sets, and answers the first absence that is noticed after a turn of the hands. */
async function turnClocks(...turns: { wallMs: number; steadyMs: number }[]): Promise<Absence | undefined> {
  let wall = 1_000_000;
  let steady = 500;
  let looks = 0;
  let noticed: Absence | undefined;
  const end = watchForAbsence({
    everyMs: 1,
    onAbsence: (absence) => noticed ??= absence,
    wall: () => (looks += 1, wall),
    steady: () => steady,
  });
  for (const { wallMs, steadyMs } of turns) {
    wall += wallMs;
    steady += steadyMs;
    for (const seen = looks; looks < seen + 2;) await new Promise((resolve) => setTimeout(resolve));
  }
  end();
  return noticed;
}

Deno.test("watchForAbsence notices a process that was stopped: both clocks went on", async () => {
  assert.deepEqual(await turnClocks({ wallMs: 20_001, steadyMs: 20_001 }), { awayMs: 20_000, unseenMs: 0 });
});

Deno.test("watchForAbsence notices a machine that slept: its steady clock stood still", async () => {
  const absence = await turnClocks({ wallMs: 3_600_001, steadyMs: 1 });
  assert.deepEqual(absence, { awayMs: 3_600_000, unseenMs: 3_600_000 });
});

Deno.test("watchForAbsence takes no notice of a short delay, nor of a clock that is set back", async () => {
  const delayed = { wallMs: 3_000, steadyMs: 3_000 };
  assert.equal(await turnClocks(delayed, { wallMs: -600_000, steadyMs: 1 }, delayed), undefined);
});
