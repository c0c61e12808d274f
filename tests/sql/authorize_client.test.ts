import assert from "node:assert/strict";
import { createMember, createTenant, refused } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("authorize_client() answers the executor behind an API key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const answer = await db.call(service, "authorize_client", { caller: tenant.caller });
  assert.deepEqual(answer, { tenant_id: tenant.id, executor_id: tenant.executorId });
});

Deno.test("authorize_client() refuses everybody who is no executor", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  await refused(db.call(service, "authorize_client", { caller }), "MU002");
  await refused(db.call(service, "authorize_client", { caller: { kind: "service", tenant_id: tenant.id } }), "MU002");
  for (const nobody of [null, {}, { kind: "api_key", hash: "x" }]) {
    await refused(db.call(service, "authorize_client", { caller: nobody }), "MU001");
  }
});
