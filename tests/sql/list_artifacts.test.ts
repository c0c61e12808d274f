import assert from "node:assert/strict";
import {
  createInput,
  createTenant,
  createWorker,
  fileOf,
  submit,
  succeeded,
  type TestWorker,
} from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("list_artifacts() shows the inputs and the finished outputs of the winning attempt only", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const input = await createInput(db, tenant);
  await createInput(db, tenant, "of nobody");
  const [job] = await submit(db, tenant, { inputs: [input.id] });
  const list = async () =>
    (await db.call(service, "list_artifacts", { caller: tenant.caller, job_id: job.id })).artifacts
      .map((artifact: Answer) => [artifact.name, artifact.attempt]);
  await worker.claim();
  await write(db, worker, job, 1, "dead.txt");
  assert.deepEqual(await list(), [["in.txt", null], ["dead.txt", 1]]);
  await worker.hello({});
  const [again] = await worker.claim();
  await write(db, worker, job, 2, "live.txt");
  await write(db, worker, job, 2, "pending.txt", false);
  await worker.complete([succeeded(again!)]);
  assert.deepEqual(await list(), [["in.txt", null], ["live.txt", 2]]);
});

async function write(
  db: TestDatabase,
  worker: TestWorker,
  job: Answer,
  attempt: number,
  name: string,
  finish = true,
): Promise<void> {
  const file = fileOf("x", name);
  const { id } = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...file, job_id: job.id, attempt },
  });
  if (finish) {
    await db.call(service, "finish_artifact", { artifact_id: id, size_bytes: file.size_bytes, sha256: file.sha256 });
  }
}
