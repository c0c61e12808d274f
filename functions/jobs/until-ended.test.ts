import assert from "node:assert/strict";
import type { Job, JobStatus } from "../../shared/contracts/jobs.ts";
import { untilEnded } from "./until-ended.ts";

function job(status: JobStatus): Job {
  return { status } as Job;
}

/** A clock that only pauses move. */
function clock() {
  const pauses: number[] = [];
  let time = 0;
  const pause = (ms: number): Promise<void> => {
    pauses.push(ms);
    time += ms;
    return Promise.resolve();
  };
  return { pauses, pause, now: () => time };
}

Deno.test("untilEnded() answers an ended job at once", async () => {
  const { pauses, ...time } = clock();
  const answer = await untilEnded(() => Promise.resolve(job("failed")), {
    timeoutMs: 1000,
    signal: new AbortController().signal,
    ...time,
  });
  assert.deepEqual([answer.ended, answer.status, pauses], [true, "failed", []]);
});

Deno.test("untilEnded() looks soon, then less and less often, and stops when the time is up", async () => {
  const { pauses, ...time } = clock();
  const answer = await untilEnded(() => Promise.resolve(job("running")), {
    timeoutMs: 5000,
    signal: new AbortController().signal,
    ...time,
  });
  assert.deepEqual([answer.ended, answer.status], [false, "running"]);
  assert.equal(pauses[0], 15);
  assert.equal(Math.max(...pauses), 500);
  assert.equal(pauses.reduce((sum, ms) => sum + ms, 0), 5000);
});

Deno.test("untilEnded() gives up when nobody waits any longer", async () => {
  const giveUp = new AbortController();
  let reads = 0;
  const answer = await untilEnded(() => {
    reads++;
    queueMicrotask(() => giveUp.abort());
    return Promise.resolve(job("running"));
  }, { timeoutMs: 60_000, signal: giveUp.signal });
  assert.equal(answer.ended, false);
  assert.ok(reads <= 2);
});
