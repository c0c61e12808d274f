import assert from "node:assert/strict";
import { createWorld, until } from "./world.ts";

Deno.test("a job that fails is tried again after a growing pause", async () => {
  const { app, startWorker } = await createWorld();
  await using worker = await startWorker();

  const job = await app.submit({ type: "test.flaky", payload: { failures: 2 }, retryBaseSeconds: 0.2 });
  const ended = await app.wait(job.id, { timeoutSeconds: 60 });

  assert.equal(ended.status, "succeeded");
  assert.equal(ended.attempts, 3);
  assert.deepEqual(ended.result, { attempt: 3 });
  const failures = worker.lines.filter(({ event }) => event === "job.failed");
  assert.deepEqual(failures.map(({ attempt }) => attempt), [1, 2]);
});

Deno.test("a job whose attempts are spent fails with its last error", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({
    type: "test.flaky",
    payload: { failures: 9 },
    maxAttempts: 2,
    retryBaseSeconds: 0.1,
  });
  const ended = await app.wait(job.id, { timeoutSeconds: 60 });

  assert.equal(ended.status, "failed");
  assert.equal(ended.attempts, 2);
  assert.equal(ended.error?.message, "attempt 2 fails on purpose");
});

Deno.test("cancelling a running job stops its handler and frees the worker", async () => {
  const { app, startWorker } = await createWorld();
  await using worker = await startWorker();
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 600 } });
  await worker.waitFor("job.started");

  assert.equal((await app.cancel(job.id, "not needed")).status, "cancelled");

  await worker.waitFor("job.stopped");
  const next = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 } });
  assert.equal((await app.wait(next.id, { timeoutSeconds: 30 })).status, "succeeded");
  assert.equal((await app.get(job.id)).status, "cancelled");
});

Deno.test("an attempt that takes too long fails, and its slot is free again", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({
    type: "test.sleep",
    payload: { seconds: 600 },
    attemptTimeoutSeconds: 1,
    maxAttempts: 1,
  });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "failed");
  assert.match(ended.error?.code ?? "", /timeout/);
  const next = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 } });
  assert.equal((await app.wait(next.id, { timeoutSeconds: 30 })).status, "succeeded");
});

Deno.test("progress, log lines and chunks arrive in order, and none of them after the result", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({ type: "test.talk", payload: { chunks: 50 } });
  await app.wait(job.id, { timeoutSeconds: 30 });

  const { events } = await app.events(job.id);
  const reported = events.filter(({ kind }) => kind !== "status");
  assert.deepEqual(reported.map(({ kind }) => kind), ["log", ...Array(50).fill("chunk"), "progress", "log"]);
  assert.deepEqual(
    reported.filter(({ kind }) => kind === "chunk").map(({ data }) => data),
    Array.from({ length: 50 }, (_, index) => ({ number: index + 1 })),
  );
  assert.equal(events.at(-1)?.kind, "status");
});

Deno.test("progress shows while the job runs", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker({ handlers: "demo/handlers" });

  const job = await app.submit({ type: "demo.countdown", payload: { seconds: 600, steps: 1000 } });
  const shown = await until("some progress", async () => {
    const now = await app.get(job.id);
    return (now.progress ?? 0) > 0 && now;
  });

  assert.equal(shown.status, "running");
  assert.match(shown.progressNote ?? "", /^step \d+ of 1000$/);
  await app.cancel(job.id);
});
