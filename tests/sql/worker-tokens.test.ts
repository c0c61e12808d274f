import assert from "node:assert/strict";
import { createTenant, createWorker, refused, submit, workerOf } from "../support/actors.ts";
import { type Actor, type Answer, service, TestDatabase } from "../support/database.ts";
import { workerCalls } from "../support/worker-calls.ts";

Deno.test("every function that a worker may call is in the table of calls", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select p.proname as name from pg_proc p
    where p.pronamespace = 'muster'::regnamespace and has_function_privilege('muster_worker', p.oid, 'execute')`;
  assert.deepEqual(rows.map((row) => row.name).sort(), Object.keys(workerCalls).sort());
});

Deno.test("a revoked worker is refused at once on every call", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {});
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id });
  await eachCall(db, worker.actor, "MU014");
});

Deno.test("a token that names another key, another tenant or no enrolled device is refused on every call", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant);
  const fingerprint = (worker.actor.claims as Answer).cnf.jkt;
  await eachCall(db, workerOf(db, worker.id, tenant.id, "0".repeat(64)).actor, "MU001");
  await eachCall(db, workerOf(db, worker.id, other.id, fingerprint).actor, "MU001");
  await eachCall(db, workerOf(db, crypto.randomUUID(), tenant.id, fingerprint).actor, "MU001");
  for (const missing of ["sub", "tenant_id", "cnf"]) {
    const claims = { ...worker.actor.claims, [missing]: undefined };
    await eachCall(db, { role: "muster_worker", claims }, "MU001");
  }
});

Deno.test("a token whose claims are not a worker's is refused on every call, also with the worker's role", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  for (const role of [undefined, "service_role", "authenticated"]) {
    await eachCall(db, { role: "muster_worker", claims: { ...worker.actor.claims, role } }, "MU001");
  }
  await eachCall(db, { role: "muster_worker", claims: {} }, "MU001");
});

Deno.test("a worker cannot pass for an app by sending a caller along", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const artifact = { name: "a", size_bytes: 1, sha256: "0".repeat(64) };
  const own = await db.call(service, "create_artifact", { caller: tenant.caller, artifact });
  for (const caller of [tenant.caller, { kind: "service", tenant_id: tenant.id }]) {
    await refused(db.call(worker.actor, "create_artifact", { caller, artifact }), "MU006");
    await refused(db.call(worker.actor, "get_artifact", { caller, artifact_id: own.id }), "MU003");
    await refused(db.call(worker.actor, "authorize_artifact_finish", { caller, artifact_id: own.id }), "MU003");
  }
});

async function eachCall(db: TestDatabase, actor: Actor, sqlState: string): Promise<void> {
  for (const [name, args] of Object.entries(workerCalls)) await refused(db.call(actor, name, args), sqlState, name);
}
