import assert from "node:assert/strict";
import { createWorld, until } from "./world.ts";

const canStop = { ignore: Deno.build.os === "windows" };

Deno.test(
  "a worker that was stopped for a while asks what is still its own, and goes on with it",
  canStop,
  async () => {
    const { app, startWorker } = await createWorld();
    await using worker = await startWorker();
    await worker.waitFor("realtime.listening");
    const job = await app.submit({ type: "test.sleep", payload: { seconds: 10 } });
    await worker.waitFor("job.started");

    await worker.pause(7_000);

    await worker.waitFor("worker.was_away");
    const ended = await app.wait(job.id, { timeoutSeconds: 60 });
    assert.deepEqual([ended.status, ended.attempts], ["succeeded", 1]);
    await until("it listens again", () => Promise.resolve(worker.count("realtime.listening") === 2));
  },
);

Deno.test(
  "a worker that was away past its lease lets go of its job, which another has done meanwhile",
  canStop,
  async () => {
    const { app, startWorker } = await createWorld();
    await using sleeper = await startWorker();
    const job = await app.submit({ type: "test.sleep", payload: { seconds: 4 } });
    await sleeper.waitFor("job.started");
    // Before the heir starts, which may take as long as the job.
    sleeper.signal("SIGSTOP");
    await using heir = await startWorker();

    const ended = await app.wait(job.id, { timeoutSeconds: 90 });
    assert.deepEqual([ended.status, ended.attempts, ended.workerId], ["succeeded", 2, heir.id]);
    sleeper.signal("SIGCONT");

    await sleeper.waitFor("worker.was_away");
    // Its own timer was over as well: whichever comes first, its answer or the order to stop, changes nothing.
    await sleeper.waitFor(({ event }) => event === "job.stopped" || event === "result.stale");
    const after = await app.get(job.id);
    assert.deepEqual([after.status, after.attempts, after.result], ["succeeded", 2, { attempt: 2 }]);
  },
);
