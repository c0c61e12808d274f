import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createWorld } from "./world.ts";

Deno.test("file.digest reads an input by a presigned URL and uploads its report", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();
  const text = "one two\nthree – four\n\nfive";

  const input = await app.upload("words.txt", text, { contentType: "text/plain" });
  const job = await app.submit({ type: "file.digest", inputs: [input.id] });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "succeeded", JSON.stringify(ended.error));
  const { report, ...found } = ended.result as Record<string, unknown> & { report: string };
  assert.deepEqual(found, {
    name: "words.txt",
    sha256: createHash("sha256").update(text).digest("hex"),
    bytes: new TextEncoder().encode(text).length,
    lines: 4,
    words: 6,
  });
  assert.deepEqual(JSON.parse(await (await app.download(report)).text()), found);
  assert.deepEqual((await app.artifacts(job.id)).map(({ name }) => name).sort(), ["report.json", "words.txt"]);
});

Deno.test("file.digest without an input says what is missing, and is not tried again", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker();

  const job = await app.submit({ type: "file.digest", maxAttempts: 5 });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "failed");
  assert.equal(ended.attempts, 1);
  assert.equal(ended.error?.code, "missing_input");
});
