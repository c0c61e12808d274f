import assert from "node:assert/strict";
import { Fates, noFaults } from "./faults.ts";

function many(faults: Partial<ReturnType<typeof noFaults>>, count = 2000): number[][] {
  const fates = new Fates({ ...noFaults(), ...faults });
  return Array.from({ length: count }, () => fates.next());
}

Deno.test("realtime: without faults every message goes out once and at once, or after the delay", () => {
  assert.deepEqual(many({}, 3), [[0], [0], [0]]);
  assert.deepEqual(many({ delayMs: 20 }, 2), [[20], [20]]);
});

Deno.test("realtime: each chance falls about as often as it says", () => {
  const share = (fates: number[][], holds: (fate: number[]) => boolean) => fates.filter(holds).length / fates.length;
  const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 0.05, String(actual));
  near(share(many({ dropChance: 0.3, seed: 1 }), (fate) => fate.length === 0), 0.3);
  near(share(many({ duplicateChance: 0.6, seed: 1 }), (fate) => fate.length === 2), 0.6);
  near(share(many({ reorderChance: 0.5, seed: 1 }), ([hold]) => hold! > 0), 0.5);
  assert.ok(many({ dropChance: 1 }).every((fate) => fate.length === 0));
  assert.ok(many({ duplicateChance: 1 }).every((fate) => fate.length === 2));
});

Deno.test("realtime: one seed gives one sequence, another seed another", () => {
  const chances = { dropChance: 0.2, duplicateChance: 0.2, reorderChance: 0.2 };
  assert.deepEqual(many({ ...chances, seed: 7 }), many({ ...chances, seed: 7 }));
  assert.notDeepEqual(many({ ...chances, seed: 7 }), many({ ...chances, seed: 8 }));
});
