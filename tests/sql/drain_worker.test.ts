import assert from "node:assert/strict";
import { auditEntries, createTenant, createWorker, getJob, submit, succeeded } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("drain_worker() gives a worker nothing new and lets it finish what it holds", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2, listening: true });
  await submit(db, tenant, {});
  const [held] = await worker.claim(0);
  const shown = await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual([shown.status, shown.drain_requested_at], ["draining", "2026-01-01T00:00:00.000000Z"]);
  const [next] = await submit(db, tenant, {});
  assert.equal(next.status, "queued");
  assert.deepEqual(await worker.claim(2), []);
  assert.equal((await worker.complete([succeeded(held!)], 1)).outcomes[0].outcome, "accepted");
  assert.equal((await getJob(db, tenant, next.id)).status, "queued");
});

Deno.test("drain_worker() keeps the time of the first request, and leaves an offline or revoked worker as it is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const caller = { kind: "service", tenant_id: tenant.id };
  const drain = () => db.call(service, "drain_worker", { caller, worker_id: worker.id });
  await drain();
  await db.advance(5);
  assert.equal((await drain()).drain_requested_at, "2026-01-01T00:00:00.000000Z");
  await db.call(worker.actor, "goodbye");
  assert.equal((await drain()).status, "offline");
  await db.call(service, "revoke_worker", { caller, worker_id: worker.id });
  assert.equal((await drain()).status, "revoked");
});

Deno.test("drain_worker() is noted in the audit log with who asked", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  const [entry] = await auditEntries(db, tenant, "worker.drained");
  assert.deepEqual([entry.actor.kind, entry.actor.executor_id, entry.subject], [
    "api_key",
    tenant.executorId,
    worker.id,
  ]);
});
