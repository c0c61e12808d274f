import assert from "node:assert/strict";
import {
  auditEntries,
  ciphertextOf,
  createSecret,
  createTenant,
  eachRefused,
  refused,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

const by = (tenant: TestTenant) => ({ kind: "service", tenant_id: tenant.id });

function set(db: TestDatabase, tenant: TestTenant, secret: Args): Promise<Answer> {
  return db.call(service, "set_secret", {
    caller: by(tenant),
    secret: { name: "KEY", version: 1, ciphertext: ciphertextOf(), key_id: "k1", allowed_types: ["a"], ...secret },
  });
}

async function auditOf(db: TestDatabase, tenant: TestTenant): Promise<Answer[]> {
  return (await auditEntries(db, tenant, "secret.")).map(({ action, subject, data }) => [action, subject, data]);
}

Deno.test("set_secret() stores a new secret, and answers all but the ciphertext", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const answer = await set(db, tenant, { allowed_types: ["mail.*", "a", "a"] });
  assert.deepEqual([answer.name, answer.version, answer.key_id], ["KEY", 1, "k1"]);
  assert.deepEqual(answer.allowed_types, ["a", "mail.*"]);
  assert.deepEqual(answer.updated_by, { kind: "service" });
  assert.equal(answer.ciphertext, undefined);
  assert.deepEqual(await auditOf(db, tenant), [
    ["secret.set", "KEY", { version: 1, allowed_types: ["a", "mail.*"] }],
  ]);
});

Deno.test("set_secret() replaces a value by the next version; types left out stay", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const first = await set(db, tenant, { allowed_types: ["a", "b"] });
  await db.advance(5);
  const second = await set(db, tenant, { version: 2, allowed_types: null, key_id: "k2" });
  assert.deepEqual([second.version, second.allowed_types, second.key_id], [2, ["a", "b"], "k2"]);
  assert.equal(second.created_at, first.created_at);
  assert.notEqual(second.updated_at, first.updated_at);
  const third = await set(db, tenant, { version: 3, allowed_types: ["c"] });
  assert.deepEqual([third.version, third.allowed_types], [3, ["c"]]);
});

Deno.test("set_secret() refuses a version that is not the next one: the value was encrypted for another place", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await refused(set(db, tenant, { version: 2 }), "MU008");
  await set(db, tenant, { version: 1 });
  for (const version of [1, 3, null]) await refused(set(db, tenant, { version }), "MU008", `version ${version}`);
});

Deno.test("of two that set a secret at once, one is told to prepare again", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await using one = await db.transaction();
  await using two = await db.transaction();
  const secret = { name: "KEY", version: 1, ciphertext: ciphertextOf(), key_id: "k1", allowed_types: ["a"] };
  await one.call(service, "set_secret", { caller: by(tenant), secret });
  const waiting = two.call(service, "set_secret", { caller: by(tenant), secret });
  waiting.catch(() => {});
  await db.untilBlocked(two.pid);
  await one.commit();
  await refused(waiting, "MU008");
});

Deno.test("set_secret() refuses what is not encrypted, misnamed or for strange types, and never quotes the value", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const value = "sk-planted-value";
  await eachRefused<Args>({
    "a plain value": { ciphertext: value },
    "an encrypted key": { ciphertext: "a.b.c.d.e" },
    "no ciphertext": { ciphertext: null },
    "a huge ciphertext": { ciphertext: `a..b.${"c".repeat(33_000)}.d` },
    "a value as the name": { name: value },
    "no name": { name: null },
    "a long name": { name: "K".repeat(101) },
    "a key id that begins with a digit": { key_id: "1" },
    "no key id": { key_id: null },
    "no type": { allowed_types: [] },
    "no types for a new secret": { allowed_types: null },
    "types that are a text": { allowed_types: "a" },
    "21 types": { allowed_types: Array.from({ length: 21 }, (_, index) => `t${index}`) },
    "a pattern with a star in the middle": { allowed_types: ["a.*.b"] },
    "a pattern without a separator": { allowed_types: ["mail*"] },
    "an empty type": { allowed_types: [""] },
    "a version that is a text": { version: "1" },
  }, async (secret) => {
    const call = set(db, tenant, secret);
    await call.catch((error) => assert.ok(!`${error.message} ${error.hint}`.includes(value), error.message));
    await call;
  });
  assert.deepEqual([...await db.sql`select from muster.secrets`], []);
});

Deno.test("a tenant has at most 1000 secrets, and the last place goes to one of two", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`
    insert into muster.secrets (tenant_id, name, allowed_types, ciphertext, key_id, version, updated_by, created_at, updated_at)
    select ${tenant.id}, 'S' || n, '{a}', ${ciphertextOf()}, 'k1', 1, '{}', now(), now() from generate_series(1, 999) n`;
  await using one = await db.transaction();
  await using two = await db.transaction();
  const last = (name: string) => ({
    caller: by(tenant),
    secret: { name, version: 1, ciphertext: ciphertextOf(), key_id: "k1", allowed_types: ["a"] },
  });
  await one.call(service, "set_secret", last("ONE"));
  const waiting = two.call(service, "set_secret", last("TWO"));
  waiting.catch(() => {});
  await db.untilBlocked(two.pid);
  await one.commit();
  await refused(waiting, "MU015");
  await set(db, tenant, { name: "ONE", version: 2 });
});

Deno.test("list_secrets() pages by name and shows no other tenant's", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  for (const name of ["C", "A", "B"]) await createSecret(db, tenant, name);
  await createSecret(db, other, "A");
  const list = (args: Args = {}) => db.call(service, "list_secrets", { caller: by(tenant), ...args });
  const all = await list();
  assert.deepEqual([all.secrets.map((secret: Answer) => secret.name), all.next_cursor], [["A", "B", "C"], null]);
  assert.ok(all.secrets.every((secret: Answer) => secret.ciphertext === undefined));
  const first = await list({ page_size: 2 });
  assert.deepEqual([first.secrets.map((secret: Answer) => secret.name), first.next_cursor], [["A", "B"], "B"]);
  const rest = await list({ page_size: 2, cursor: first.next_cursor });
  assert.deepEqual([rest.secrets.map((secret: Answer) => secret.name), rest.next_cursor], [["C"], null]);
  await refused(list({ cursor: "b" }), "MU004");
});

Deno.test("delete_secret() forgets a secret of the tenant, and the name begins anew", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await createSecret(db, tenant, "KEY");
  await createSecret(db, tenant, "KEY");
  const forget = (whose: TestTenant, name = "KEY") => db.call(service, "delete_secret", { caller: by(whose), name });
  await refused(forget(other), "MU003");
  assert.equal((await forget(tenant)).version, 2);
  await refused(forget(tenant), "MU003");
  await refused(forget(tenant, "a value"), "MU004");
  assert.equal((await createSecret(db, tenant, "KEY")).version, 1);
  assert.deepEqual((await auditOf(db, tenant)).map(([action]: Answer) => action), [
    "secret.set",
    "secret.set",
    "secret.deleted",
    "secret.set",
  ]);
});
