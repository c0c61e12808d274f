import assert from "node:assert/strict";
import { auditEntries, createTenant, createWorker, getJob, refused, submit } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("set_measured_capabilities() records what was measured, pushes what waited for it, and is in the audit log", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { capabilities: ["gpu/a100"], listening: true });
  const [job] = await submit(db, tenant, { requires: ["gpu/a100@measured"] });
  assert.equal(job.status, "queued");
  const args = { caller: tenant.caller, worker_id: worker.id };
  const shown = await db.call(service, "set_measured_capabilities", { ...args, capabilities: ["z", "gpu/a100", "z"] });
  assert.deepEqual(shown.measured_capabilities, ["gpu/a100", "z"]);
  assert.deepEqual([shown.capabilities, shown.current_jobs], [["gpu/a100"], [job.id]]);
  assert.equal((await getJob(db, tenant, job.id)).status, "assigned");
  const [entry] = await auditEntries(db, tenant, "worker.measured");
  assert.deepEqual([entry.subject, entry.data], [worker.id, { capabilities: ["gpu/a100", "z"] }]);
});

Deno.test("set_measured_capabilities() puts the new list in the place of the old one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { capabilities: ["a", "b"] });
  const set = (capabilities: string[]) =>
    db.call(service, "set_measured_capabilities", { caller: tenant.caller, worker_id: worker.id, capabilities });
  await set(["a"]);
  await set(["b"]);
  await submit(db, tenant, { requires: ["a@measured"] });
  assert.deepEqual(await worker.claim(), []);
  await submit(db, tenant, { requires: ["b@measured"] });
  assert.equal((await worker.claim()).length, 1);
  assert.deepEqual((await set([])).measured_capabilities, []);
});

Deno.test("set_measured_capabilities() refuses what is no list of capabilities, and a revoked worker", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const caller = { kind: "service", tenant_id: tenant.id };
  const set = (capabilities: unknown) =>
    db.call(service, "set_measured_capabilities", { caller, worker_id: worker.id, capabilities });
  for (const bad of [null, [""], ["A"], [null], ["a@granted"]]) await refused(set(bad), "MU004", JSON.stringify(bad));
  await refused(set(Array.from({ length: 101 }, (_, n) => `c${n}`)), "MU015");
  await db.call(service, "revoke_worker", { caller, worker_id: worker.id });
  await refused(set(["a"]), "MU014");
});
