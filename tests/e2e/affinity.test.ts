import assert from "node:assert/strict";
import { Worker } from "../../worker/index.ts";
import { project } from "../support/project.ts";
import { createWorld, until } from "./world.ts";

Deno.test("jobs follow the worker that holds their resource, and wait when it is evicted or its holder killed", async () => {
  const { app, startWorker } = await createWorld();
  await using first = await startWorker({ capabilities: ["be/first"] });
  await using second = await startWorker({ capabilities: ["be/second"] });
  const name = "model/llama";
  const follow = () => app.submit({ type: "calc.add", payload: { a: 1, b: 1 }, resourceRef: { name } });
  /** Has the worker, and no other, carry out a job. */
  const tell = async (worker: typeof first, type: string, payload: unknown) => {
    const requires = [worker === first ? "be/first" : "be/second"];
    const job = await app.submit({ type, payload, requires });
    assert.equal((await app.wait(job.id, { timeoutSeconds: 60 })).workerId, worker.id);
  };

  const waiting = await follow();
  assert.deepEqual(waiting.status, "blocked");
  await tell(first, "test.resource.hold", { name });
  for (const job of [waiting, await follow(), await follow()]) {
    const ended = await app.wait(job.id, { timeoutSeconds: 60 });
    assert.deepEqual([ended.status, ended.workerId], ["succeeded", first.id]);
  }
  const [held] = await app.resources({ name });
  assert.deepEqual([held?.workerId, held?.sizeBytes, held?.metadata], [first.id, 7, { loaded_by: "test" }]);

  await tell(first, "test.resource.evict", { name });
  assert.deepEqual(await app.resources({ name }), []);
  const evicted = await follow();
  assert.equal(evicted.status, "blocked");
  await tell(second, "test.resource.hold", { name });
  assert.equal((await app.wait(evicted.id, { timeoutSeconds: 60 })).workerId, second.id);

  await second.kill();
  const orphan = await follow();
  await tell(first, "test.resource.hold", { name });
  const ended = await app.wait(orphan.id, { timeoutSeconds: 60 });
  assert.deepEqual([ended.status, ended.workerId], ["succeeded", first.id]);
});

Deno.test("a worker renews the leases of what it holds for as long as it lives", async () => {
  const { app, startWorker } = await createWorld();
  await using worker = await startWorker();
  const job = await app.submit({ type: "test.resource.hold", payload: { name: "session", leaseSeconds: 10 } });
  await app.wait(job.id, { timeoutSeconds: 60 });
  const [before] = await app.resources();
  assert.equal(before?.workerId, worker.id);
  const touched = await until("the lease is renewed", async () => {
    const [now] = await app.resources();
    return now !== undefined && now.touchedAt > before.touchedAt && now;
  });
  assert.equal(touched.acquiredAt, before.acquiredAt);
  worker.signal("SIGTERM");
  assert.equal(await worker.exitCode(), 0);
  assert.deepEqual(await app.resources(), []);
});

Deno.test("a worker never runs two handlers of a concurrency key at once, not even after a cancel", async () => {
  const { app, token } = await createWorld();
  const story: string[] = [];
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await using worker = new Worker({ url: project.url, enrollmentToken: token, slots: 2 });
  worker.handle("test.single", async ({ payload }) => {
    const name = String(payload);
    story.push(`${name} begins`);
    if (name === "a") {
      begun.resolve();
      // It does not look at its signal.
      await gate.promise;
    }
    story.push(`${name} ends`);
    return null;
  });
  await worker.start();
  const single = (name: string) => app.submit({ type: "test.single", payload: name, concurrencyKey: "printer" });
  const a = await single("a");
  await begun.promise;
  await app.cancel(a.id);
  const b = await single("b");
  await until("the worker has the second job", async () => (await app.get(b.id)).status === "running");
  // A third, without the key, shows that the worker has taken up what it was given before.
  const free = await app.submit({ type: "test.single", payload: "free" });
  await app.wait(free.id, { timeoutSeconds: 60 });
  assert.deepEqual(story, ["a begins", "free begins", "free ends"]);
  gate.resolve();
  assert.equal((await app.wait(b.id, { timeoutSeconds: 60 })).status, "succeeded");
  assert.deepEqual(story.slice(3), ["a ends", "b begins", "b ends"]);
});
