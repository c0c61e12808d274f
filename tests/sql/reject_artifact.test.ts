import assert from "node:assert/strict";
import { createInput, createTenant, fileOf } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("reject_artifact() marks a pending artifact with the reason, kept short", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { id } = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("x") });
  const rejected = await db.call(service, "reject_artifact", { artifact_id: id, reason: "x".repeat(10_000) });
  assert.deepEqual([rejected.status, rejected.error.length], ["rejected", 500]);
});

Deno.test("reject_artifact() changes nothing that is ready, rejected or not there", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ready = await createInput(db, tenant);
  const { id } = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("x") });
  await db.call(service, "reject_artifact", { artifact_id: id, reason: "first" });
  for (const artifact_id of [ready.id, id, crypto.randomUUID(), null]) {
    assert.equal(await db.call(service, "reject_artifact", { artifact_id, reason: "second" }), null);
  }
  const rows = await db.sql`select status, error from muster.artifacts order by status`;
  assert.deepEqual([...rows], [{ status: "ready", error: null }, { status: "rejected", error: "first" }]);
});
