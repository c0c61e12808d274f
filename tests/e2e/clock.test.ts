import assert from "node:assert/strict";
import { createWorld } from "./world.ts";

for (const [minutes, said] of [[10, "10 minutes ahead of"], [-10, "10 minutes behind"]] as const) {
  Deno.test(`a worker whose clock is ${said} the project's says so, and works`, async () => {
    const { app, startWorker } = await createWorld();
    const worker = await startWorker({ preload: "tests/e2e/wrong-clock.ts", env: { CLOCK_MINUTES: String(minutes) } });
    await using _ = worker;
    assert.ok((await worker.waitFor("clock.skewed")).message.includes(`clock is ${said} the project's`));
    await worker.waitFor("realtime.listening");
    const job = await app.submit({ type: "test.talk", payload: { chunks: 2 } });
    const ended = await app.wait(job.id, { timeoutSeconds: 30 });
    assert.deepEqual([ended.status, ended.attempts], ["succeeded", 1]);
  });
}

Deno.test("a worker whose clock jumps while it works goes on", async () => {
  const { app, startWorker } = await createWorld();
  const folder = await Deno.makeTempDir();
  const file = `${folder}/minutes`;
  await using worker = await startWorker({ preload: "tests/e2e/wrong-clock.ts", env: { CLOCK_MINUTES_FILE: file } });
  await worker.waitFor("realtime.listening");
  const job = await app.submit({ type: "test.sleep", payload: { seconds: 4 } });
  await worker.waitFor("job.started");
  await Deno.writeTextFile(file, "30");
  await worker.waitFor("worker.was_away");
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });
  assert.deepEqual([ended.status, ended.attempts], ["succeeded", 1]);
  await worker.waitFor("clock.skewed");
  await Deno.remove(folder, { recursive: true });
});
