import assert from "node:assert/strict";
import { Network } from "../support/network.ts";
import { createWorld, until } from "./world.ts";

Deno.test("without Realtime a worker polls, and jobs start all the same", async () => {
  const { app, startWorker } = await createWorld();
  await using worker = await startWorker({ args: ["--no-realtime"] });

  for (let a = 0; a < 3; a += 1) {
    const job = await app.submit({ type: "calc.add", payload: { a, b: 1 } });
    const ended = await app.wait(job.id, { timeoutSeconds: 30 });
    assert.deepEqual(ended.result, { sum: a + 1 });
  }
  assert.ok(!worker.lines.some(({ event }) => event.startsWith("channel.")));
});

Deno.test({
  name: "a worker that is cut off goes on working, delivers its result later, and listens again",
  ignore: !Network.isPossible,
  fn: async () => {
    const { app, startWorker } = await createWorld();
    await using network = new Network();
    await using worker = await startWorker({ url: network.url });
    await worker.waitFor("realtime.listening");
    const job = await app.submit({ type: "test.sleep", payload: { seconds: 1.5 } });
    await worker.waitFor("job.started");

    network.cut();
    await worker.waitFor("control_plane.unreachable");
    await worker.waitFor("job.succeeded");
    network.mend();

    const ended = await app.wait(job.id, { timeoutSeconds: 30 });
    assert.equal(ended.status, "succeeded");
    assert.equal(ended.attempts, 1);
    await until(
      "listening again",
      () => Promise.resolve(worker.lines.filter(({ event }) => event === "realtime.listening").length === 2),
    );
  },
});

Deno.test({
  name: "a job that was pushed while the worker was cut off is not lost",
  ignore: !Network.isPossible,
  fn: async () => {
    const { app, startWorker } = await createWorld();
    await using network = new Network();
    await using worker = await startWorker({ url: network.url });
    await worker.waitFor("realtime.listening");

    network.cut();
    const job = await app.submit({ type: "calc.add", payload: { a: 2, b: 2 } });
    await worker.waitFor("channel.lost");
    network.mend();

    assert.deepEqual((await app.wait(job.id, { timeoutSeconds: 60 })).result, { sum: 4 });
  },
});
