import assert from "node:assert/strict";
import { createTenant, createWorker, getJob, submit } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("resume_worker() ends a drain and pushes what waits, at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const args = { caller: tenant.caller, worker_id: worker.id };
  await db.call(service, "drain_worker", args);
  const [job] = await submit(db, tenant, {});
  const shown = await db.call(service, "resume_worker", args);
  assert.deepEqual([shown.status, shown.drain_requested_at, shown.current_jobs], ["online", null, [job.id]]);
  assert.equal((await getJob(db, tenant, job.id)).status, "assigned");
});

Deno.test("resume_worker() brings back neither an offline nor a revoked worker", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const args = { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id };
  await db.call(service, "drain_worker", args);
  await db.call(worker.actor, "goodbye");
  assert.equal((await db.call(service, "resume_worker", args)).status, "offline");
  assert.equal((await worker.hello()).status, "online");
  await db.call(service, "revoke_worker", args);
  assert.equal((await db.call(service, "resume_worker", args)).status, "revoked");
});
