import assert from "node:assert/strict";
import { auditEntries, createMember, createTenant, createUser, eachRefused, refused } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";

const projectKey = { kind: "service" };

function bootstrap(db: TestDatabase, args: Args) {
  return db.call(service, "bootstrap_tenant", { caller: projectKey, ...args });
}

Deno.test("bootstrap_tenant() makes a tenant with its first admin, and answers the same when it is called again", async () => {
  await using db = await TestDatabase.create();
  const userId = await createUser(db, "ada@example.com");
  const made = await bootstrap(db, { name: "lab", admin_email: "Ada@Example.COM" });
  assert.deepEqual([made.name, made.created, made.admin_user_id], ["lab", true, userId]);
  const again = await bootstrap(db, { name: "lab", admin_user_id: userId });
  assert.deepEqual(again, { ...made, created: false });
  const members = await db.sql`select user_id, role from muster.members where tenant_id = ${made.id}`;
  assert.deepEqual([...members], [{ user_id: userId, role: "admin" }]);
  const audited = await auditEntries(db, made);
  assert.deepEqual(audited.map(({ actor, action, subject }) => ({ actor, action, subject })), [
    { actor: projectKey, action: "tenant.created", subject: made.id },
    { actor: projectKey, action: "member.added", subject: userId },
  ]);
});

Deno.test("bootstrap_tenant() refuses another admin for a tenant that has one, and names nobody", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { userId: admin } = await createMember(db, tenant, "admin");
  const { userId: viewer } = await createMember(db, tenant, "viewer");
  const [{ name }] = await db.sql`select name from muster.tenants where id = ${tenant.id}` as unknown as [
    { name: string },
  ];
  const before = [...await db.sql`select * from muster.members order by user_id`];
  for (const who of [await createUser(db), viewer, crypto.randomUUID()]) {
    const error = await refused(bootstrap(db, { name, admin_user_id: who }), "MU008");
    assert.ok(!error.message.includes(admin));
  }
  // Before the address is looked up: nobody makes a user for a tenant that it will not get.
  await refused(bootstrap(db, { name, admin_email: "new@example.com" }), "MU008");
  assert.deepEqual([...await db.sql`select * from muster.members order by user_id`], before);
});

Deno.test("bootstrap_tenant() gives an admin to a tenant that has none", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { userId } = await createMember(db, tenant, "viewer");
  const [{ name }] = await db.sql`select name from muster.tenants where id = ${tenant.id}` as unknown as [
    { name: string },
  ];
  assert.equal((await bootstrap(db, { name, admin_user_id: userId })).id, tenant.id);
  const [member] = await db.sql`select role from muster.members where user_id = ${userId}`;
  assert.equal(member!.role, "admin");
});

Deno.test("bootstrap_tenant() leaves nothing behind when the user is unknown, unconfirmed, deleted or of single sign-on", async () => {
  await using db = await TestDatabase.create();
  const deleted = await createUser(db, "gone@example.com");
  await db.sql`update auth.users set deleted_at = now() where id = ${deleted}`;
  const unconfirmed = await createUser(db, "thief@example.com");
  await db.sql`update auth.users set email_confirmed_at = null where id = ${unconfirmed}`;
  const shared = await createUser(db, "sso@example.com");
  await db.sql`update auth.users set is_sso_user = true where id = ${shared}`;
  const cases: Args[] = [
    { admin_user_id: crypto.randomUUID() },
    { admin_user_id: deleted },
    ...["nobody@example.com", "gone@example.com", "thief@example.com", "sso@example.com", "", "%"].map((
      admin_email,
    ) => ({
      admin_email,
    })),
  ];
  const messages = new Set<string>();
  for (const who of cases) messages.add((await refused(bootstrap(db, { name: "lab", ...who }), "MU003")).message);
  assert.equal(messages.size, 1, "all are told the same");
  assert.equal((await db.sql`select from muster.tenants where name = 'lab'`).length, 0);
  assert.ok(await bootstrap(db, { name: "lab", admin_user_id: shared }), "by id it is sure who is meant");
});

Deno.test("bootstrap_tenant() is for the secret key alone", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller: admin, userId } = await createMember(db, tenant, "admin");
  for (const caller of [admin, tenant.caller, { kind: "member", user_id: crypto.randomUUID() }]) {
    await refused(db.call(service, "bootstrap_tenant", { caller, name: "mine", admin_user_id: userId }), "MU002");
  }
  for (const caller of [null, {}, [], "service", { kind: "SERVICE" }, { kind: ["service"] }]) {
    await refused(db.call(service, "bootstrap_tenant", { caller, name: "mine" }), "MU001");
  }
  assert.equal((await db.sql`select from muster.tenants where name = 'mine'`).length, 0);
});

Deno.test("bootstrap_tenant() refuses a bad name, and an admin named twice", async () => {
  await using db = await TestDatabase.create();
  const admin_user_id = await createUser(db, "a@example.com");
  const bad: Record<string, Args> = {
    "no name": { name: null },
    "an empty name": { name: "" },
    "101 characters": { name: "x".repeat(101) },
    "an id and an address": { name: "lab", admin_user_id, admin_email: "a@example.com" },
  };
  await eachRefused(bad, (args) => bootstrap(db, args));
});

Deno.test("of two bootstraps of one name with different admins, one wins and the other is refused", async () => {
  await using db = await TestDatabase.create();
  const [one, two] = [await createUser(db), await createUser(db)];
  await using first = await db.transaction();
  await first.call(service, "bootstrap_tenant", { caller: projectKey, name: "lab", admin_user_id: one });
  await using second = await db.transaction();
  const waiting = refused(
    second.call(service, "bootstrap_tenant", { caller: projectKey, name: "lab", admin_user_id: two }),
    "MU008",
  );
  await db.untilBlocked(second.pid);
  await first.commit();
  await waiting;
  const members = await db.sql`select user_id from muster.members`;
  assert.deepEqual([...members], [{ user_id: one }]);
});
