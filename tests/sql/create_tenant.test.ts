import assert from "node:assert/strict";
import { eachRefused } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("create_tenant() makes a tenant, or answers the one that has the name", async () => {
  await using db = await TestDatabase.create();
  const first = await db.call(service, "create_tenant", { name: "acme" });
  assert.deepEqual(await db.call(service, "create_tenant", { name: "acme" }), first);
  assert.notEqual((await db.call(service, "create_tenant", { name: "Acme" })).id, first.id);
});

Deno.test("create_tenant() refuses a name that is missing, empty or over 100 characters", async () => {
  await using db = await TestDatabase.create();
  const bad = { "null": null, "an empty name": "", "101 characters": "x".repeat(101), "a name with NUL": "\u0000" };
  await eachRefused<string | null>(bad, (name) => db.call(service, "create_tenant", { name }));
});
