import assert from "node:assert/strict";
import { createTenant, createWorker, refused, tick } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("refresh_worker() answers what a fresh token says", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2, capabilities: ["a"] });
  const answer = await db.call(service, "refresh_worker", proofOf(worker));
  const { worker_id, tenant_id, capabilities, slots } = answer;
  assert.deepEqual({ worker_id, tenant_id, capabilities, slots }, {
    worker_id: worker.id,
    tenant_id: tenant.id,
    capabilities: ["a"],
    slots: 2,
  });
});

Deno.test("refresh_worker() refuses another device's key, and a worker that is not there, alike", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [worker, peer] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  for (
    const wrong of [
      { ...proofOf(worker), fingerprint: proofOf(peer).fingerprint },
      { ...proofOf(worker), fingerprint: null },
      { ...proofOf(worker), worker_id: crypto.randomUUID() },
      { ...proofOf(worker), worker_id: null },
    ]
  ) {
    await refused(db.call(service, "refresh_worker", wrong), "MU012");
  }
});

Deno.test("refresh_worker() refuses a proof that was used before", async () => {
  await using db = await TestDatabase.create();
  const worker = await createWorker(db, await createTenant(db));
  const proof = proofOf(worker);
  await db.call(service, "refresh_worker", proof);
  await refused(db.call(service, "refresh_worker", proof), "MU013");
  await tick(db);
  await refused(db.call(service, "refresh_worker", proof), "MU013");
});

Deno.test("refresh_worker() refuses a worker that was revoked", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id });
  await refused(db.call(service, "refresh_worker", proofOf(worker)), "MU014");
});

function proofOf(worker: Answer): Answer {
  return {
    worker_id: worker.id,
    fingerprint: worker.actor.claims.cnf.jkt,
    proof_jti: crypto.randomUUID(),
    proof_expires_at: "2026-01-01T00:01:00Z",
  };
}
