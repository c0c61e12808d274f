import assert from "node:assert/strict";
import { auditEntries, ciphertextOf, createSecret, createTenant, refused } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

const toRotate = async (db: TestDatabase, args: Args = {}): Promise<Answer[]> =>
  (await db.call(service, "list_secrets_to_rotate", { key_id: "k2", ...args })).secrets;

const rotate = (db: TestDatabase, secrets: Answer[]): Promise<Answer> =>
  db.call(service, "rotate_secrets", {
    key_id: "k2",
    items: secrets.map(({ id, ciphertext }) => ({ id, ciphertext, new_ciphertext: ciphertextOf(ciphertext) })),
  });

Deno.test("rotate_secrets() replaces the ciphertexts of all tenants, and leaves versions and times as they are", async () => {
  await using db = await TestDatabase.create();
  const tenants = [await createTenant(db), await createTenant(db)];
  for (const tenant of tenants) for (const name of ["A", "B"]) await createSecret(db, tenant, name);
  await db.advance(60);
  const before = await db.sql`select id, version, updated_at, updated_by, ciphertext from muster.secrets order by id`;

  const page = await toRotate(db, { page_size: 3 });
  assert.equal(page.length, 3);
  assert.deepEqual(await rotate(db, page), { rotated_count: 3, left_count: 1 });
  const rest = await toRotate(db);
  assert.deepEqual(rest.map(({ id }) => id), [before[3]!.id]);
  assert.deepEqual(await toRotate(db, { after: before[3]!.id }), []);
  assert.deepEqual(await rotate(db, rest), { rotated_count: 1, left_count: 0 });
  assert.deepEqual(await toRotate(db), []);

  const after = await db.sql`select id, version, updated_at, updated_by, ciphertext from muster.secrets order by id`;
  const kept = ({ id, version, updated_at, updated_by }: Answer) => [id, version, updated_at, updated_by];
  assert.deepEqual(after.map(kept), before.map(kept));
  assert.deepEqual(after.map((row) => row.ciphertext), before.map((row) => ciphertextOf(row.ciphertext)));
  for (const tenant of tenants) {
    const entries = await auditEntries(db, tenant, "master_key.rotated");
    assert.equal(entries.reduce((sum, { data }) => sum + data.secrets, 0), 2);
    assert.ok(entries.every(({ subject }) => subject === "k2"));
  }
});

Deno.test("a secret that was set, deleted or rotated meanwhile is left as it is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (const name of ["SET", "DELETED", "ANEW", "ROTATED"]) await createSecret(db, tenant, name);
  const page = await toRotate(db);
  const caller = { kind: "service", tenant_id: tenant.id };
  await createSecret(db, tenant, "SET");
  await db.call(service, "delete_secret", { caller, name: "DELETED" });
  await db.call(service, "delete_secret", { caller, name: "ANEW" });
  await createSecret(db, tenant, "ANEW");
  await rotate(db, page.filter(({ name }) => name === "ROTATED"));
  const before = [...await db.sql`select * from muster.secrets order by name`];
  assert.deepEqual(await rotate(db, page), { rotated_count: 0, left_count: 2 });
  assert.deepEqual([...await db.sql`select * from muster.secrets order by name`], before);
});

Deno.test("a value that is being set while its secret is rotated stays the new one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createSecret(db, tenant, "KEY");
  const page = await toRotate(db);
  await using admin = await db.transaction();
  await using rotation = await db.transaction();
  const secret = { name: "KEY", version: 2, ciphertext: ciphertextOf("new"), key_id: "k1" };
  await admin.call(service, "set_secret", { caller: { kind: "service", tenant_id: tenant.id }, secret });
  const [{ id, ciphertext }] = page as [Answer];
  const rotating = rotation.call(service, "rotate_secrets", {
    key_id: "k2",
    items: [{ id, ciphertext, new_ciphertext: ciphertextOf("old") }],
  });
  await db.untilBlocked(rotation.pid);
  await admin.commit();
  assert.deepEqual((await rotating).rotated_count, 0);
  await rotation.commit();
  const [row] = await db.sql`select ciphertext, key_id, version from muster.secrets`;
  assert.deepEqual({ ...row }, { ciphertext: ciphertextOf("new"), key_id: "k1", version: 2 });
});

Deno.test("rotate_secrets() takes at most 100 at once, and only what is encrypted", async () => {
  await using db = await TestDatabase.create();
  await refused(db.call(service, "rotate_secrets", { key_id: "k2", items: Array(101).fill({}) }), "MU004");
  await refused(db.call(service, "rotate_secrets", { key_id: "k2", items: {} }), "MU004");
  await createSecret(db, await createTenant(db), "KEY");
  const [{ id, ciphertext }] = await toRotate(db) as [Answer];
  const items = [{ id, ciphertext, new_ciphertext: "plain" }];
  await refused(db.call(service, "rotate_secrets", { key_id: "k2", items }), "23514");
});
