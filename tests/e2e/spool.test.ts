import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { Network } from "../support/network.ts";
import { createWorld, until } from "./world.ts";

const needsNetwork = { ignore: !Network.isPossible };

Deno.test(
  "what a worker finishes while the project is away waits on disk, and is delivered when it is back",
  needsNetwork,
  async () => {
    const { app, startWorker } = await createWorld();
    await using network = new Network();
    await using worker = await startWorker({ url: network.url, slots: 2, args: ["--no-realtime"] });
    const jobs = await Promise.all(
      [1, 1.2].map((seconds) => app.submit({ type: "test.sleep", payload: { seconds } })),
    );
    await until("both run", () => Promise.resolve(worker.count("job.started") === 2));

    network.cut();
    await until("both are on disk", () => Promise.resolve(worker.count("result.spooled") === 2));
    assert.equal((await readdir(`${worker.identity}.spool`)).length, 2);
    network.mend();

    for (const job of jobs) {
      const ended = await app.wait(job.id, { timeoutSeconds: 60 });
      assert.deepEqual([ended.status, ended.attempts, ended.result], ["succeeded", 1, { attempt: 1 }]);
    }
    await until("the spool is empty", async () => (await readdir(`${worker.identity}.spool`)).length === 0);
  },
);

Deno.test(
  "a worker killed while the project was away delivers from disk in its next life what is still its own",
  needsNetwork,
  async () => {
    const { app, startWorker } = await createWorld();
    await using network = new Network();
    await using folder = await temporaryFolder();
    const options = { url: network.url, identity: `${folder.path}/identity.json`, args: ["--no-realtime"] };
    const first = await startWorker(options);
    const job = await app.submit({ type: "test.sleep", payload: { seconds: 1 } });
    await first.waitFor("job.started");
    network.cut();
    await first.waitFor("result.spooled");
    await first.kill();
    network.mend();

    await using second = await startWorker({ ...options, token: undefined });
    const ended = await app.wait(job.id, { timeoutSeconds: 60 });
    assert.deepEqual([ended.status, ended.attempts, ended.result], ["succeeded", 1, { attempt: 1 }]);
    await second.waitFor("spool.loaded");
    await until("the spool is empty", async () => (await readdir(`${options.identity}.spool`)).length === 0);
  },
);

Deno.test("a result that comes back too late is refused, and kept with the job as evidence", needsNetwork, async () => {
  const { app, startWorker } = await createWorld();
  await using network = new Network();
  await using slow = await startWorker({ url: network.url, args: ["--no-realtime"] });
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 1 } });
  await slow.waitFor("job.started");
  network.cut();
  await slow.waitFor("result.spooled");
  // Its lease ends, and another worker does the job anew.
  await using _quick = await startWorker({ args: ["--no-realtime"] });
  const ended = await app.wait(job.id, { timeoutSeconds: 60 });
  assert.deepEqual([ended.status, ended.result], ["succeeded", { attempt: 2 }]);

  network.mend();
  await slow.waitFor("result.stale");
  const { result, lateResults } = await app.get(job.id);
  assert.deepEqual(result, { attempt: 2 });
  assert.deepEqual(lateResults?.map(({ attempt, status, result }) => [attempt, status, result]), [
    [1, "succeeded", { attempt: 1 }],
  ]);
});

Deno.test("a worker whose spool cannot be written says so and delivers from memory", needsNetwork, async () => {
  const { app, startWorker } = await createWorld();
  await using network = new Network();
  // A file in the place of the folder stops root as well.
  const blocked = await Deno.makeTempFile();
  await using worker = await startWorker({ url: network.url, args: ["--no-realtime", "--spool", `${blocked}/spool`] });
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 1 } });
  await worker.waitFor("job.started");
  network.cut();
  await worker.waitFor("spool.failed");
  network.mend();
  const ended = await app.wait(job.id, { timeoutSeconds: 60 });
  assert.deepEqual([ended.status, ended.attempts], ["succeeded", 1]);
  await Deno.remove(blocked);
});

Deno.test("a drain shortly after an outage still delivers what was finished", needsNetwork, async () => {
  const { app, startWorker } = await createWorld();
  await using network = new Network();
  await using worker = await startWorker({ url: network.url, args: ["--no-realtime"] });
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 1 } });
  await worker.waitFor("job.started");
  network.cut();
  await worker.waitFor("result.spooled");
  network.mend();
  worker.signal("SIGTERM");
  assert.equal(await worker.exitCode(), 0);
  const { status, attempts } = await app.get(job.id);
  assert.deepEqual([status, attempts], ["succeeded", 1]);
});

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "muster-worker-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
