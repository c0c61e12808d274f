import assert from "node:assert/strict";
import { aftermaths } from "./recovery.ts";
import type { Commit } from "./wal.ts";

/** One change of a job a commit: at, job, status, attempt, worker. */
function history(...steps: [number, string, string, number, string | null][]): Commit[] {
  return steps.map(([atMs, id, status, attempts, worker_id], index) => ({
    lsn: BigInt(index),
    atMs,
    changes: [{
      table: "jobs",
      kind: "update",
      row: { id, tenant_id: "t", status, attempts: String(attempts), worker_id, concurrency_key: null },
    }],
  }));
}

const commits = history(
  [100, "a", "running", 1, "w1"],
  [110, "b", "running", 1, "w1"],
  [120, "c", "running", 1, "w2"],
  [130, "d", "running", 1, "w1"],
  [140, "d", "succeeded", 1, "w1"],
  [300, "b", "succeeded", 1, "w1"],
  [400, "a", "queued", 1, null],
  [500, "a", "assigned", 2, "w2"],
  [600, "a", "running", 2, "w2"],
  [900, "a", "succeeded", 2, "w2"],
);

Deno.test("a fault touches what the hit workers held, until that runs in a later attempt or has ended", () => {
  const [aftermath] = aftermaths(commits, [{ fault: "kill", struckAtMs: 200, workerIds: ["w1"] }]);
  assert.deepEqual(aftermath, { fault: "kill", touched: ["a", "b"], recoveryMs: 400 });
});

Deno.test("a fault that hits everybody touches every held job, and one that never ended has not recovered", () => {
  const [aftermath] = aftermaths(commits, [{ fault: "crash", struckAtMs: 200, workerIds: null }]);
  assert.deepEqual(aftermath, { fault: "crash", touched: ["a", "b", "c"], recoveryMs: null });
});

Deno.test("a fault while nothing is held touches nothing", () => {
  const [early] = aftermaths(commits, [{ fault: "cut", struckAtMs: 50, workerIds: null }]);
  assert.deepEqual(early, { fault: "cut", touched: [], recoveryMs: 0 });
});
