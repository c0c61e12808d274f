import assert from "node:assert/strict";
import { createTenant, createWorker, submit, type TestTenant } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("get_load() counts who beats and what waits: in the caller's tenant, or in all for the secret key without one", async () => {
  await using db = await TestDatabase.create();
  const tenants: TestTenant[] = [];
  for (const jobs of [2, 3]) {
    const tenant = await createTenant(db);
    const [worker, draining] = [await createWorker(db, tenant), await createWorker(db, tenant)];
    await createWorker(db, tenant, { online: false });
    await submit(db, tenant, ...Array.from({ length: jobs }, () => ({})));
    await worker.claim();
    await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: draining.id });
    tenants.push(tenant);
  }
  const [first, second] = tenants;
  const load = (caller: unknown) => db.call(service, "get_load", { caller });
  assert.deepEqual(await load(first!.caller), { online_workers: 2, queued_jobs: 1 });
  assert.deepEqual(await load(second!.caller), { online_workers: 2, queued_jobs: 2 });
  assert.deepEqual(await load({ kind: "service", tenant_id: second!.id }), { online_workers: 2, queued_jobs: 2 });
  assert.deepEqual(await load({ kind: "service" }), { online_workers: 4, queued_jobs: 3 });
});

Deno.test("get_load() does not count a worker that is past its deadline, also before the tick has seen it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createWorker(db, tenant);
  await db.advance(3600);
  assert.equal((await db.call(service, "get_load", { caller: tenant.caller })).online_workers, 0);
});
