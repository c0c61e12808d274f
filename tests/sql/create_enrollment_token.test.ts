import assert from "node:assert/strict";
import { createTenant, eachRefused, refused, sha256 } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("create_enrollment_token() stores what a token allows and never shows the hash", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await db.call(service, "create_enrollment_token", {
    tenant_id: tenant.id,
    name: "lab",
    token_hash: sha256("x"),
    capabilities: ["gpu/a100"],
    labels: { site: "lab" },
    max_uses: 5,
    expires_at: "2026-02-01T00:00:00Z",
    ephemeral: true,
  });
  const { name, capabilities, labels, max_uses, use_count, ephemeral } = token;
  assert.deepEqual({ name, capabilities, labels, max_uses, use_count, ephemeral }, {
    name: "lab",
    capabilities: ["gpu/a100"],
    labels: { site: "lab" },
    max_uses: 5,
    use_count: 0,
    ephemeral: true,
  });
  assert.equal(Date.parse(token.expires_at), Date.parse("2026-02-01T00:00:00Z"));
  assert.ok(!JSON.stringify(token).includes(sha256("x")));
});

Deno.test("create_enrollment_token() makes by default a token for one machine with any capability, without an end", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const args = { tenant_id: tenant.id, name: "x", token_hash: sha256("x") };
  const { capabilities, labels, max_uses, expires_at, ephemeral } = await db.call(
    service,
    "create_enrollment_token",
    args,
  );
  assert.deepEqual([capabilities, labels, max_uses, expires_at, ephemeral], [null, {}, 1, null, false]);
  const unlimited = { ...args, token_hash: sha256("y"), max_uses: null };
  assert.equal((await db.call(service, "create_enrollment_token", unlimited)).max_uses, null);
});

Deno.test("create_enrollment_token() says not_found for a tenant that is not there", async () => {
  await using db = await TestDatabase.create();
  const args = { tenant_id: crypto.randomUUID(), name: "x", token_hash: sha256("x") };
  await refused(db.call(service, "create_enrollment_token", args), "MU003");
});

Deno.test("create_enrollment_token() refuses misuse", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const good = { tenant_id: tenant.id, name: "x", token_hash: sha256("x") };
  const bad: Record<string, Args> = {
    "no name": { ...good, name: null },
    "no hash": { ...good, token_hash: null },
    "a plain token": { ...good, token_hash: "mse_secret" },
    "no uses": { ...good, max_uses: 0 },
    "negative uses": { ...good, max_uses: -1 },
    "labels as an array": { ...good, labels: [] },
    "a capability that none can have": { ...good, capabilities: ["Not One"] },
  };
  await eachRefused(bad, (args) => db.call(service, "create_enrollment_token", args));
});
