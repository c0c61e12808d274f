import assert from "node:assert/strict";
import type { Assignment, AttemptResult } from "./attempt.ts";
import { FinalError } from "./final-error.ts";
import type { Handler } from "./handler.ts";
import type { JobContext } from "./job-context.ts";
import { Mask } from "./mask.ts";
import { Runner } from "./runner.ts";

function assignment(jobId: string, more: Partial<Assignment> = {}): Assignment {
  return {
    jobId,
    attempt: 1,
    type: "test",
    payload: null,
    correlationId: null,
    attemptTimeoutSeconds: 60,
    maxAttempts: 3,
    requires: [],
    inputs: [],
    secrets: [],
    expiresAt: null,
    ...more,
  };
}

function createRunner(handler: Handler) {
  const results: AttemptResult[] = [];
  const late: AttemptResult[] = [];
  const runner = new Runner({
    handlers: new Map([["test", handler]]),
    prepare: ({ jobId: id, attempt, payload }, signal) => ({
      context: { id, attempt, payload, signal } as unknown as JobContext,
      mask: new Mask([]),
      finish: () => {},
    }),
    onResult: (result) => results.push(result),
    onLateResult: (result) => late.push(result),
    log: () => {},
  });
  return { runner, results, late };
}

Deno.test("Runner runs an attempt once, however often it is handed over", async () => {
  let runs = 0;
  const { runner, results } = createRunner(() => {
    runs += 1;
    return runs;
  });
  assert.equal(runner.start([assignment("a"), assignment("a")]), 1);
  await runner.idle();
  assert.equal(runner.start([assignment("a")]), 0);
  assert.equal(runner.start([assignment("a", { attempt: 2 })]), 1);
  await runner.idle();
  assert.deepEqual(results, [
    { jobId: "a", attempt: 1, status: "succeeded", result: 1 },
    { jobId: "a", attempt: 2, status: "succeeded", result: 2 },
  ]);
});

Deno.test("Runner drops the result of a stopped attempt and frees its slot at once", async () => {
  const gate = Promise.withResolvers<void>();
  let signal: AbortSignal | undefined;
  const { runner, results, late } = createRunner(async (job) => {
    signal = job.signal;
    await gate.promise;
    return "late";
  });
  runner.start([assignment("a")]);
  runner.stop([{ jobId: "a", attempt: 1, reason: "cancelled" }]);
  assert.equal(runner.count, 0);
  assert.equal(signal?.aborted, true);
  gate.resolve();
  await runner.idle();
  while (late.length === 0) await Promise.resolve();
  assert.deepEqual(results, []);
  assert.deepEqual(late, [{ jobId: "a", attempt: 1, status: "succeeded", result: "late" }]);
  // The same attempt may be handed over again, for example after a goodbye that was lost.
  assert.equal(runner.start([assignment("a")]), 1);
  await runner.idle();
  assert.equal(results.length, 1);
});

Deno.test("Runner lets go of an attempt when its replacement comes", () => {
  const { runner } = createRunner(() => new Promise(() => {}));
  runner.start([assignment("a")]);
  runner.start([assignment("a", { attempt: 2 })]);
  assert.deepEqual(runner.running(), [{ jobId: "a", attempt: 2 }]);
});

Deno.test("Runner fails an attempt that takes too long, even if its handler does not notice", async () => {
  const { runner, results } = createRunner(() => new Promise(() => {}));
  runner.start([assignment("a", { attemptTimeoutSeconds: 0.01 })]);
  await runner.idle();
  assert.deepEqual(results, [{
    jobId: "a",
    attempt: 1,
    status: "failed",
    error: { code: "attempt_timeout", message: "The attempt took longer than 0.01 s" },
  }]);
});

Deno.test("Runner reports what a handler throws, and whether another try can help", async () => {
  const thrown: unknown[] = [
    new Error("no luck"),
    new FinalError("no way", { code: "impossible", details: { why: 1 } }),
    "just text",
    null,
    Object.assign(new Error(""), { details: 1n }),
    Object.create(null),
    Object.assign(new Error(), { message: 7 }),
  ];
  const { runner, results } = createRunner(({ payload }) => {
    throw thrown[payload as number];
  });
  runner.start(thrown.map((_, index) => assignment(String(index), { payload: index })));
  await runner.idle();
  assert.deepEqual(results.map((result) => result.status === "failed" && result.error), [
    { message: "no luck" },
    { message: "no way", code: "impossible", retryable: false, details: { why: 1 } },
    { message: "just text" },
    { message: "null" },
    { message: "Error" },
    { message: "The handler threw a value that cannot be read" },
    { message: "7" },
  ]);
});

Deno.test("Runner fails a job for good when its result cannot be stored", async () => {
  const values: unknown[] = [1n, "x".repeat(300_000), { a: "\u0000" }];
  const { runner, results } = createRunner(({ payload }) => values[payload as number]);
  runner.start(values.map((_, index) => assignment(String(index), { payload: index })));
  await runner.idle();
  assert.deepEqual(
    results.map((result) => result.status === "failed" && [result.error.code, result.error.retryable]),
    [["bad_result", false], ["result_too_large", false], ["bad_result", false]],
  );
});
