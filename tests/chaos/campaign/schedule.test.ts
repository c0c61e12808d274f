import assert from "node:assert/strict";
import { allFaults, planFaults, scheduleHash } from "./schedule.ts";

const options = { seed: 7, minutes: 10, workers: ["w1", "w2", "w3", "w4", "w5", "w6"], apps: ["a", "b"] };

Deno.test("the same seed plans the same faults, another seed others", () => {
  const planned = planFaults(options);
  assert.deepEqual(planFaults(options), planned);
  assert.equal(scheduleHash(planFaults(options)), scheduleHash(planned));
  assert.notEqual(scheduleHash(planFaults({ ...options, seed: 8 })), scheduleHash(planned));
});

Deno.test("a ten-minute schedule holds every kind of fault, in order and within its time", () => {
  const planned = planFaults(options);
  assert.deepEqual(new Set(planned.map(({ fault }) => fault)), new Set(allFaults));
  assert.deepEqual(planned.map(({ atMs }) => atMs), planned.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
  assert.ok(planned.every(({ atMs }) => atMs < 600_000));
});

Deno.test("a worker has one fault at a time", () => {
  const ends = new Map<string, number>();
  for (const { atMs, target, durationMs } of planFaults(options)) {
    if (!options.workers.includes(target)) continue;
    assert.ok((ends.get(target) ?? 0) <= atMs, `${target} is hit at ${atMs} while an earlier fault lasts`);
    ends.set(target, atMs + durationMs);
  }
});

Deno.test("the short form holds every kind of fault that its time has room for", () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const planned = planFaults({ ...options, seed, minutes: 0.75 });
    assert.deepEqual(new Set(planned.map(({ fault }) => fault)), new Set(allFaults), `seed ${seed}`);
  }
});
