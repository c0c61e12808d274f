import assert from "node:assert/strict";
import { createTenant, createWorker, fileOf, refused, submit } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("authorize_artifact_finish() lets an app finish its inputs and not a job's outputs", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const input = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("x") });
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...fileOf("x"), job_id: job.id, attempt: 1 },
  });
  const authorize = (artifact_id: string) =>
    db.call(service, "authorize_artifact_finish", { caller: tenant.caller, artifact_id });
  assert.deepEqual(await authorize(input.id), input);
  await refused(authorize(output.id), "MU002");
});

Deno.test("authorize_artifact_finish() lets a worker finish its own outputs while the attempt is current", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [worker, peer] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...fileOf("x"), job_id: job.id, attempt: 1 },
  });
  const input = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("x") });
  const authorize = (who: typeof worker, id: string) =>
    db.call(who.actor, "authorize_artifact_finish", { caller: null, artifact_id: id });
  assert.equal((await authorize(worker, output.id)).id, output.id);
  await refused(authorize(peer, output.id), "MU003");
  await refused(authorize(worker, input.id), "MU003");
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  await refused(authorize(worker, output.id), "MU006");
});

Deno.test("authorize_artifact_finish() refuses what was rejected with conflict", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { id } = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("x") });
  await db.call(service, "reject_artifact", { artifact_id: id, reason: "not the bytes" });
  const error = await refused(
    db.call(service, "authorize_artifact_finish", { caller: tenant.caller, artifact_id: id }),
    "MU008",
  );
  assert.ok(error.hint);
});
