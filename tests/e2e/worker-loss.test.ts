import assert from "node:assert/strict";
import { join } from "node:path";
import { createWorld, until } from "./world.ts";

Deno.test("a job whose worker is killed is finished by another, and the dead one's attempt counts for nothing", async () => {
  const { app, startWorker } = await createWorld();
  const doomed = await startWorker();
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 3 } });
  await doomed.waitFor("job.started");
  await using heir = await startWorker();

  await doomed.kill();

  const ended = await app.wait(job.id, { timeoutSeconds: 90 });
  assert.equal(ended.status, "succeeded");
  assert.deepEqual(ended.result, { attempt: 2 });
  assert.equal(ended.workerId, (await heir.waitFor("worker.enrolled")).workerId);
});

Deno.test("a killed worker that comes back at once goes on with its job in a new attempt", async () => {
  const { app, startWorker } = await createWorld();
  const folder = await Deno.makeTempDir();
  const identity = join(folder, "identity.json");
  const first = await startWorker({ identity });
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 1 } });
  await first.waitFor("job.started");

  await first.kill();
  await using second = await startWorker({ identity, token: undefined });

  const ended = await app.wait(job.id, { timeoutSeconds: 60 });
  assert.equal(ended.status, "succeeded");
  assert.equal(ended.attempts, 2);
  await second.kill();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a worker that a handler brings down has said which job it had begun", async () => {
  const { app, startWorker } = await createWorld();
  const worker = await startWorker();
  const job = await app.submit({ type: "test.crash", maxAttempts: 1 });
  assert.equal((await worker.waitFor("job.started")).jobId, job.id);
  await worker.ended;
  assert.equal(worker.count("job.succeeded"), 0);
});

Deno.test("SIGTERM lets a running job finish and takes no new one", async () => {
  const { app, api, startWorker } = await createWorld();
  await using worker = await startWorker({ slots: 2 });
  const { workerId } = await worker.waitFor("worker.enrolled");
  const running = await app.submit({ type: "test.sleep", payload: { seconds: 2 } });
  await worker.waitFor("job.started");

  worker.signal("SIGTERM");
  await until("the drain is known", async () => (await api(`/workers/${workerId}`)).body.status === "draining");
  const late = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 } });

  assert.equal(await worker.exitCode(), 0);
  assert.equal((await app.get(running.id)).status, "succeeded");
  assert.equal((await app.get(late.id)).status, "queued");
});

Deno.test("SIGTERM hands back what does not finish in time, and it costs no attempt", async () => {
  const { app, startWorker } = await createWorld();
  await using worker = await startWorker({ args: ["--drain-seconds", "0"] });
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 2 }, maxAttempts: 1 });
  await worker.waitFor("job.started");

  worker.signal("SIGTERM");
  assert.equal(await worker.exitCode(), 0);
  assert.equal((await app.get(job.id)).status, "queued");

  await using _heir = await startWorker();
  assert.equal((await app.wait(job.id, { timeoutSeconds: 30 })).status, "succeeded");
});

Deno.test("a second signal ends the worker at once, and its job goes back", async () => {
  const { app, startWorker } = await createWorld();
  await using worker = await startWorker();
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 600 } });
  await worker.waitFor("job.started");

  worker.signal("SIGINT");
  await worker.waitFor("worker.draining");
  worker.signal("SIGINT");

  assert.equal(await worker.exitCode(), 130);
  assert.equal((await app.get(job.id)).status, "queued");
});
