import assert from "node:assert/strict";
import { auditEntries, createTenant, createWorker, getJob, refused, submit } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("revoke_worker() shuts a worker out and gives its jobs to another, at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const jobs = await submit(db, tenant, {}, {});
  await worker.claim(2);
  const other = await createWorker(db, tenant, { slots: 2, listening: true });
  const shown = await db.call(service, "revoke_worker", {
    caller: { kind: "service", tenant_id: tenant.id },
    worker_id: worker.id,
  });
  assert.deepEqual([shown.status, shown.held_count, shown.current_jobs], ["revoked", 0, []]);
  await refused(worker.heartbeat(), "MU014");
  for (const job of jobs) {
    const moved = await getJob(db, tenant, job.id);
    assert.deepEqual([moved.status, moved.worker_id], ["assigned", other.id]);
  }
});

Deno.test("revoke_worker() fails a job whose attempts are spent", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  await worker.claim();
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id });
  const ended = await getJob(db, tenant, job.id);
  assert.deepEqual([ended.status, ended.error.code], ["failed", "worker_lost"]);
});

Deno.test("revoke_worker() may be repeated, and is noted in the audit log", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const args = { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id };
  assert.deepEqual(await db.call(service, "revoke_worker", args), await db.call(service, "revoke_worker", args));
  assert.equal((await auditEntries(db, tenant, "worker.revoked"))[0].subject, worker.id);
});
