import assert from "node:assert/strict";
import { createApp, createEnrollmentToken } from "../support/tenant.ts";
import { startWorker } from "../support/worker-process.ts";
import { MusterClient } from "../../worker/index.ts";
import { project } from "../support/project.ts";

Deno.test("a job travels from an app to a worker process and back", async () => {
  const { tenant, key } = await createApp();
  const { enrollmentToken: token } = await createEnrollmentToken(tenant.id);
  await using worker = await startWorker({ token, capabilities: ["compute/basic"] });
  const app = new MusterClient({ url: project.url, apiKey: key.apiKey });

  const job = await app.submit({ type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"] });
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });

  assert.equal(ended.status, "succeeded");
  assert.deepEqual(ended.result, { sum: 5 });
  assert.equal(ended.attempts, 1);
  await worker.waitFor("realtime.listening");
});
