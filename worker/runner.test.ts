import assert from "node:assert/strict";
import { limits } from "../shared/contracts/limits.ts";
import { SecretNotAllowedError, UnavailableError } from "../shared/errors.ts";
import type { Assignment, AttemptResult } from "./attempt.ts";
import { FinalError } from "./final-error.ts";
import type { Handler } from "./handler.ts";
import type { JobContext, PreparedJob } from "./job-context.ts";
import { Mask } from "./mask.ts";
import { Runner, type RunnerOptions } from "./runner.ts";

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
    concurrencyKey: null,
    concurrencyLimit: 1,
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

function createSlowRunner(prepare: RunnerOptions["prepare"], handler: Handler) {
  const results: AttemptResult[] = [];
  const runner = new Runner({
    handlers: new Map([["test", handler]]),
    prepare,
    onResult: (result) => results.push(result),
    log: () => {},
  });
  return { runner, results };
}

Deno.test("Runner fails an attempt that cannot be prepared: for good when it was refused, else to be tried again", async () => {
  const errors = [new SecretNotAllowedError("no such secret"), new UnavailableError("no answer in time")];
  const { runner, results } = createSlowRunner(() => Promise.reject(errors.shift()), () => assert.fail("It ran"));
  runner.start([assignment("a")]);
  await runner.idle();
  runner.start([assignment("b")]);
  await runner.idle();
  assert.deepEqual(results.map((result) => result.status === "failed" && result.error), [
    { message: "no such secret", code: "secret_not_allowed", retryable: false },
    { message: "no answer in time", code: "unavailable" },
  ]);
});

Deno.test("Runner does not begin an attempt that was stopped while it was prepared, and ends its preparation", async () => {
  const prepared = Promise.withResolvers<PreparedJob>();
  const finished = Promise.withResolvers<void>();
  const { runner, results } = createSlowRunner(() => prepared.promise, () => assert.fail("It ran"));
  runner.start([assignment("a")]);
  assert.deepEqual(runner.running(), [{ jobId: "a", attempt: 1 }]);
  runner.stopAll("replaced");
  prepared.resolve({ context: {} as JobContext, mask: new Mask([]), finish: finished.resolve });
  await finished.promise;
  await runner.idle();
  assert.deepEqual(results, []);
});

Deno.test("Runner masks results and errors, and cuts a message only after that", async () => {
  const secret = "sk-live-4f9a";
  const answers: (() => unknown)[] = [
    () => ({ list: [secret, 1], toJSON: () => ({ [secret]: `<${secret}>` }) }),
    () => Promise.reject(new Error("x".repeat(limits.errorMessageBytes - 4) + secret)),
    () => {
      throw Object.assign(new Error(secret), { code: secret, details: { secret } });
    },
  ];
  let finishes = 0;
  const { runner, results } = createSlowRunner(() => ({
    context: {} as JobContext,
    mask: new Mask([secret]),
    finish: () => finishes += 1,
  }), () => answers.shift()!());
  for (const id of ["a", "b", "c"]) {
    runner.start([assignment(id)]);
    await runner.idle();
  }
  assert.equal(finishes, 3);
  assert.ok(!/sk-l/.test(JSON.stringify(results)), JSON.stringify(results));
  assert.deepEqual(results[0], { jobId: "a", attempt: 1, status: "succeeded", result: { "***": "<***>" } });
  assert.deepEqual(results[2]?.status === "failed" && results[2].error, {
    message: "***",
    code: "***",
    details: { secret: "***" },
  });
});

/** Handlers that end when told to, however soon they are aborted. */
function createStubbornRunner() {
  const running: string[] = [];
  const gates = new Map<string, () => void>();
  const { runner, results } = createRunner(async ({ id, attempt }) => {
    const name = `${id}${attempt}`;
    running.push(name);
    await new Promise<void>((resolve) => gates.set(name, resolve));
    running.splice(running.indexOf(name), 1);
    return name;
  });
  /** Lets a handler end, and what follows from that happen. */
  const end = async (name: string) => {
    gates.get(name)!();
    await new Promise((resolve) => setTimeout(resolve));
  };
  return { runner, results, running, end };
}

Deno.test("Runner begins the next job of a key only when the handler it let go of has really ended", async () => {
  const { runner, results, running, end } = createStubbornRunner();
  const key = { concurrencyKey: "printer", concurrencyLimit: 1 };
  runner.start([assignment("a", key)]);
  runner.stop([{ jobId: "a", attempt: 1, reason: "cancelled" }]);
  assert.equal(runner.start([assignment("b", key), assignment("c")]), 2);
  // The one that waits is held like any other, and jobs without the key do not wait.
  assert.deepEqual(runner.running(), [{ jobId: "b", attempt: 1 }, { jobId: "c", attempt: 1 }]);
  assert.deepEqual(running, ["a1", "c1"]);
  await end("a1");
  assert.deepEqual(running, ["c1", "b1"]);
  await end("b1");
  await end("c1");
  await runner.idle();
  assert.deepEqual(results.map(({ jobId, status }) => [jobId, status]), [["b", "succeeded"], ["c", "succeeded"]]);
});

Deno.test("Runner lets as many handlers of a key run as its limit says, and the next attempt of a job after the last", async () => {
  const { runner, running, end } = createStubbornRunner();
  const key = { concurrencyKey: "gpu", concurrencyLimit: 2 };
  runner.start([assignment("a", key), assignment("b", key)]);
  runner.start([assignment("a", { ...key, attempt: 2 })]);
  assert.deepEqual(running, ["a1", "b1"]);
  await end("b1");
  assert.deepEqual(running, ["a1", "a2"]);
  await end("a1");
  await end("a2");
  await runner.idle();
});

Deno.test("Runner gives up waiting for a handler of its key when the attempt is let go of or its time is over", async () => {
  const { runner, results, running, end } = createStubbornRunner();
  const key = { concurrencyKey: "printer", concurrencyLimit: 1 };
  runner.start([assignment("a", key)]);
  runner.stop([{ jobId: "a", attempt: 1, reason: "lost" }]);
  runner.start([assignment("b", key), assignment("c", { ...key, attemptTimeoutSeconds: 0.01 })]);
  runner.stop([{ jobId: "b", attempt: 1, reason: "cancelled" }]);
  await runner.idle();
  assert.deepEqual(results.map((result) => result.status === "failed" && [result.jobId, result.error.code]), [
    ["c", "attempt_timeout"],
  ]);
  assert.deepEqual(running, ["a1"]);
  // Nobody who gave up is left in the way.
  runner.start([assignment("d", key)]);
  await end("a1");
  assert.deepEqual(running, ["d1"]);
  await end("d1");
  await runner.idle();
});

Deno.test("Runner tells of all that start before any of their handlers begins", () => {
  const said: string[] = [];
  const runner = new Runner({
    handlers: new Map([["test", ({ id }) => void said.push(`handler of ${id}`)]]),
    prepare: ({ jobId: id }) => ({
      context: { id } as unknown as JobContext,
      mask: new Mask([]),
      finish: () => {},
    }),
    onResult: () => {},
    log: ({ event, fields }) => void said.push(`${event} ${fields?.["jobId"]}`),
  });
  runner.start([assignment("a"), assignment("b")]);
  assert.deepEqual(said, ["job.started a", "job.started b", "handler of a", "handler of b"]);
});

Deno.test("Runner remembers at least two thousand attempts that ended, and runs none of them again", async () => {
  let runs = 0;
  const { runner } = createRunner(() => void (runs += 1));
  const all = Array.from({ length: 5_000 }, (_, number) => assignment(`job ${number}`));
  for (const one of all) {
    runner.start([one]);
    await runner.idle();
  }
  assert.equal(runner.start(all.slice(-2_000)), 0);
  assert.equal(runs, 5_000);
});
