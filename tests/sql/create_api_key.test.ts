import assert from "node:assert/strict";
import { createTenant, eachRefused, refused, sha256 } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("create_api_key() makes the executor it names when that is new, and never shows the hash", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const create = (executor_name: string) =>
    db.call(service, "create_api_key", {
      tenant_id: tenant.id,
      executor_name,
      key_prefix: "msk_abcd",
      key_hash: sha256(crypto.randomUUID()),
      expires_at: "2027-01-01T00:00:00Z",
    });
  const [one, two, other] = [await create("shop"), await create("shop"), await create("blog")];
  assert.equal(one.executor_id, two.executor_id);
  assert.notEqual(one.executor_id, other.executor_id);
  assert.notEqual(one.id, two.id);
  assert.deepEqual([one.prefix, one.expires_at], ["msk_abcd", "2027-01-01T00:00:00.000000Z"]);
  assert.ok(!JSON.stringify(one).match(/[0-9a-f]{64}/));
});

Deno.test("create_api_key() says not_found for a tenant that is not there", async () => {
  await using db = await TestDatabase.create();
  const key = { executor_name: "app", key_prefix: "msk", key_hash: sha256("x") };
  for (const tenant_id of [crypto.randomUUID(), null]) {
    await refused(db.call(service, "create_api_key", { tenant_id, ...key }), "MU003");
  }
});

Deno.test("create_api_key() refuses what is no name and no hash", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const good = { tenant_id: tenant.id, executor_name: "app", key_prefix: "msk", key_hash: sha256("x") };
  const bad: Record<string, Args> = {
    "no executor": { ...good, executor_name: null },
    "an empty executor": { ...good, executor_name: "" },
    "an executor of 101 characters": { ...good, executor_name: "x".repeat(101) },
    "no hash": { ...good, key_hash: null },
    "a plain key": { ...good, key_hash: "msk_secret" },
    "no prefix": { ...good, key_prefix: null },
  };
  await eachRefused(bad, (args) => db.call(service, "create_api_key", args));
});
