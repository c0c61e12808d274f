import assert from "node:assert/strict";
import { join } from "node:path";
import { createWorld } from "./world.ts";

Deno.test("a job travels from an app to a worker process and back", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({ type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"] });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "succeeded");
  assert.deepEqual(ended.result, { sum: 5 });
  assert.equal(ended.attempts, 1);
});

Deno.test("a worker comes back with its identity and without a token", async () => {
  const { app, startWorker } = await createWorld();
  const folder = await Deno.makeTempDir();
  const identity = join(folder, "identity.json");
  const first = await startWorker({ identity });
  const { workerId } = await first.waitFor("worker.enrolled");
  first.signal("SIGTERM");
  assert.equal(await first.exitCode(), 0);
  if (Deno.build.os !== "windows") assert.equal((await Deno.stat(identity)).mode! & 0o777, 0o600);

  await using second = await startWorker({ identity, token: undefined });
  await second.waitFor("worker.resumed");
  const job = await app.submit({ type: "calc.mul", payload: { numbers: [2, 3, 7] } });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });
  assert.deepEqual(ended.result, { product: 42 });
  assert.equal(ended.workerId, workerId);
  await second.kill();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a payload that does not fit fails the job at once, with the reason", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({ type: "calc.add", payload: { a: "two" }, maxAttempts: 5 });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "failed");
  assert.equal(ended.attempts, 1);
  assert.equal(ended.error?.code, "bad_payload");
  assert.match(ended.error?.message ?? "", /^Cannot run calc\.add: the payload does not fit: a: /);
});

Deno.test("a job that the worker has no handler for fails at once", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({ type: "no.such.thing", maxAttempts: 5 });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "failed");
  assert.equal(ended.attempts, 1);
  assert.equal(ended.error?.code, "no_handler");
});

Deno.test("a result that is too large fails the job and tells of artifacts, and the next job is served", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const huge = await app.submit({ type: "test.huge" });
  const next = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 } });

  const ended = await app.wait(huge.id, { timeoutSeconds: 30 });
  assert.equal(ended.error?.code, "result_too_large");
  assert.match(ended.error?.message ?? "", /artifact/);
  assert.equal((await app.wait(next.id, { timeoutSeconds: 30 })).status, "succeeded");
});
