import assert from "node:assert/strict";
import { createWorld } from "./world.ts";

Deno.test("200 jobs spread over three workers: each runs once and none is lost", async () => {
  const { app, startWorker } = await createWorld();
  await using first = await startWorker({ slots: 4 });
  await using second = await startWorker({ slots: 4 });
  await using third = await startWorker({ slots: 4 });
  const workers = [first, second, third];

  const jobs = Array.from({ length: 200 }, (_, a) => ({ type: "calc.add", payload: { a, b: 1 } }));
  const submitted = await app.submitMany(jobs);
  const ended = await Promise.all(submitted.map(({ job }) => app.wait(job.id, { timeoutSeconds: 60 })));

  assert.deepEqual(ended.map(({ result }) => result), jobs.map(({ payload }) => ({ sum: payload.a + 1 })));
  assert.deepEqual(new Set(ended.map(({ attempts }) => attempts)), new Set([1]));
  const started = workers.map(({ lines }) => lines.filter(({ event }) => event === "job.started").length);
  assert.equal(started.reduce((sum, count) => sum + count), 200);
  assert.ok(started.every((count) => count > 0), `jobs per worker: ${started}`);
});

Deno.test("a job goes to the worker that has what it requires", async () => {
  const { app, startWorker } = await createWorld();
  await using _basic = await startWorker({ capabilities: ["compute/basic"] });
  await using special = await startWorker({
    capabilities: ["compute/basic", "gpu/large"],
    labels: { site: "lab" },
  });
  const { workerId } = await special.waitFor("worker.enrolled");

  const jobs = await app.submitMany([
    { type: "calc.add", payload: { a: 1, b: 1 }, requires: ["gpu/large"] },
    { type: "calc.add", payload: { a: 1, b: 1 }, requires: ["compute/basic", "gpu/large"] },
    { type: "calc.add", payload: { a: 1, b: 1 }, labels: { site: "lab" } },
  ]);
  for (const { job } of jobs) {
    const ended = await app.wait(job.id, { timeoutSeconds: 30 });
    assert.equal(ended.status, "succeeded");
    assert.equal(ended.workerId, workerId);
  }

  const nobody = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 }, requires: ["no/such-thing"] });
  assert.equal((await app.get(nobody.id)).status, "queued");
});
