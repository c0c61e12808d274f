import assert from "node:assert/strict";
import { auditEntries, createTenant, createWorker, type TestTenant, tick } from "../support/actors.ts";
import { type OpenTransaction, service, TestDatabase } from "../support/database.ts";

Deno.test("writers of a tenant's audit log do not wait for each other, nor for who seals it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [one, two, three] = [
    await createWorker(db, tenant),
    await createWorker(db, tenant),
    await createWorker(db, tenant),
  ];
  await using first = await db.transaction();
  await using second = await db.transaction();
  await using sealer = await db.transaction();
  await drain(first, tenant, one.id);
  await sealer.call(service, "list_audit", { caller: callerOf(tenant) });
  // Neither of these could end if it waited for one of the open transactions.
  await drain(second, tenant, two.id);
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: three.id });
  await sealer.commit();
  await second.commit();
  await first.commit();
  const drained = await auditEntries(db, tenant, "worker.drained");
  assert.deepEqual(drained.map(({ subject }) => subject).sort(), [one.id, two.id, three.id].sort());
  await intact(db, tenant);
});

Deno.test("an entry that commits after later ones were sealed comes behind them, and is not lost", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [early, late] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  await using tx = await db.transaction();
  await drain(tx, tenant, early.id);
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: late.id });
  await tick(db);
  assert.equal((await auditEntries(db, tenant, "worker.drained")).length, 1);
  await tx.commit();
  await tick(db);
  const drained = await auditEntries(db, tenant, "worker.drained");
  assert.deepEqual(drained.map(({ subject }) => subject), [late.id, early.id]);
  await intact(db, tenant);
});

Deno.test("of two that seal one log the second waits, and goes on where the first ended", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await using first = await db.transaction();
  await using second = await db.transaction();
  const sealed = await first.call(service, "verify_audit", { caller: callerOf(tenant) });
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  const waiting = second.call(service, "verify_audit", { caller: callerOf(tenant) });
  await db.untilBlocked(second.pid);
  await first.commit();
  const more = await waiting;
  await second.commit();
  assert.deepEqual([more.intact, more.head.seq], [true, sealed.head.seq + 1]);
  await intact(db, tenant);
});

Deno.test("tick() does not wait for who reads the log: it leaves the sealing to them", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await tick(db);
  const worker = await createWorker(db, tenant);
  await createWorker(db, other);
  await using reader = await db.transaction();
  await reader.call(service, "list_audit", { caller: callerOf(tenant) });
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.equal((await tick(db)).ran, true);
  const left = await db.sql`select tenant_id, action from muster_private.audit_inbox where action like 'worker.%'`;
  // What the reader has sealed is still there for all but it; of the other tenant nothing is.
  assert.deepEqual([...new Set(left.map(({ tenant_id }) => tenant_id))], [tenant.id]);
  await reader.commit();
  assert.equal((await auditEntries(db, tenant, "worker.drained")).length, 1);
  await intact(db, tenant);
});

Deno.test("a sealing that is rolled back leaves every entry to the next", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant);
  await using tx = await db.transaction();
  const seen = await tx.call(service, "verify_audit", { caller: callerOf(tenant) });
  await tx.rollback();
  const again = await db.call(service, "verify_audit", { caller: callerOf(tenant) });
  assert.deepEqual(again, seen);
});

function callerOf(tenant: TestTenant) {
  return { kind: "service", tenant_id: tenant.id };
}

function drain(tx: OpenTransaction, tenant: TestTenant, worker_id: string): Promise<unknown> {
  return tx.call(service, "drain_worker", { caller: callerOf(tenant), worker_id });
}

async function intact(db: TestDatabase, tenant: TestTenant): Promise<void> {
  const { intact, broken } = await db.call(service, "verify_audit", { caller: callerOf(tenant) });
  assert.ok(intact, JSON.stringify(broken));
}
