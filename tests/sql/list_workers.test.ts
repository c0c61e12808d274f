import assert from "node:assert/strict";
import { createTenant, createWorker } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("list_workers() shows the workers of the tenant, by name, and filters them", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const online = await createWorker(db, tenant, { capabilities: ["a", "b"] });
  const offline = await createWorker(db, tenant, { capabilities: ["a"], online: false });
  await createWorker(db, other, { capabilities: ["a"] });
  const list = async (filters?: unknown) =>
    (await db.call(service, "list_workers", { caller: tenant.caller, ...(filters === undefined ? {} : { filters }) }))
      .workers;
  const ids = async (filters?: unknown) => (await list(filters)).map((worker: Answer) => worker.id).sort();
  assert.deepEqual(await ids(), [online.id, offline.id].sort());
  const names = (await list()).map((worker: Answer) => worker.name);
  assert.deepEqual(names, [...names].sort());
  assert.deepEqual(await ids({ status: "online" }), [online.id]);
  assert.deepEqual(await ids({ capability: "b" }), [online.id]);
  assert.deepEqual(await ids({ status: "offline", capability: "b" }), []);
  assert.deepEqual(await ids(null), [online.id, offline.id].sort());
});
