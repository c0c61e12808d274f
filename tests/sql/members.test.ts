import assert from "node:assert/strict";
import {
  auditEntries,
  createMember,
  createTenant,
  createUser,
  eachRefused,
  refused,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

async function rolesOf(db: TestDatabase, tenant: TestTenant): Promise<Record<string, string>> {
  const rows = await db.sql`select user_id, role from muster.members where tenant_id = ${tenant.id}`;
  return Object.fromEntries(rows.map((row) => [row.user_id, row.role]));
}

Deno.test("add_member() makes a user a member by id or confirmed address, and notes who did it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller, userId: adminId } = await createMember(db, tenant, "admin");
  const [byId, byEmail] = [await createUser(db), await createUser(db, "bea@example.com")];
  const one = await db.call(service, "add_member", { caller, role: "editor", user_id: byId });
  const two = await db.call(service, "add_member", { caller, role: "viewer", email: "BEA@example.com" });
  assert.deepEqual([one.user_id, one.role, one.email], [byId, "editor", null]);
  assert.deepEqual([two.user_id, two.role, two.email], [byEmail, "viewer", "bea@example.com"]);
  assert.deepEqual(await db.call(service, "add_member", { caller, role: "viewer", user_id: byEmail }), two, "again");
  await refused(db.call(service, "add_member", { caller, role: "admin", user_id: byEmail }), "MU008");
  assert.deepEqual(await rolesOf(db, tenant), { [adminId]: "admin", [byId]: "editor", [byEmail]: "viewer" });
  const audited = await auditEntries(db, tenant, "member.added");
  assert.deepEqual(audited.map(({ actor, subject, data }) => ({ actor, subject, data })), [
    { actor: { kind: "member", id: adminId }, subject: byId, data: { role: "editor" } },
    { actor: { kind: "member", id: adminId }, subject: byEmail, data: { role: "viewer" } },
  ]);
});

Deno.test("add_member() tells an unknown user from an unconfirmed one by nothing", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  await db.sql`insert into auth.users (id, email) values (${crypto.randomUUID()}, 'unconfirmed@example.com')`;
  const errors = [];
  for (const email of ["unconfirmed@example.com", "nobody@example.com"]) {
    errors.push(await refused(db.call(service, "add_member", { caller, role: "viewer", email }), "MU003"));
  }
  assert.deepEqual(errors.map(({ message, hint }) => [message, hint])[0], [errors[1].message, errors[1].hint]);
});

Deno.test("add_member() refuses what is no role, no user, or two", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  const user_id = await createUser(db, "a@example.com");
  const bad: Record<string, Args> = {
    "no role": { role: null, user_id },
    "an unknown role": { role: "owner", user_id },
    "a role in capitals": { role: "ADMIN", user_id },
    "nobody": { role: "viewer" },
    "a user named twice": { role: "viewer", user_id, email: "a@example.com" },
  };
  await eachRefused(bad, (args) => db.call(service, "add_member", { caller, ...args }));
});

Deno.test("add_member() stops at 1,000 members", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  await db.sql`insert into auth.users (id) select gen_random_uuid() from generate_series(1, 1000)`;
  await db.sql`
    insert into muster.members (tenant_id, user_id, role)
    select ${tenant.id}, u.id, 'viewer' from auth.users u
    where not exists (select from muster.members m where m.user_id = u.id) limit 999`;
  await refused(db.call(service, "add_member", { caller, role: "viewer", user_id: await createUser(db) }), "MU015");
});

Deno.test("nobody raises itself, and no API key changes members whatever its scopes", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createMember(db, tenant, "admin");
  const outsider = await createUser(db);
  const hash = "a".repeat(64);
  const scopes = ["read", "submit", "operate", "publish"];
  const key = { tenant_id: tenant.id, executor_name: "app", key_prefix: "msk", key_hash: hash, scopes };
  await db.call(service, "create_api_key", key);
  const callers: [Args, string][] = [[{ kind: "api_key", hash }, outsider]];
  for (const role of ["editor", "publisher", "viewer"] as const) {
    const { caller, userId } = await createMember(db, tenant, role);
    callers.push([caller, userId]);
  }
  const before = await rolesOf(db, tenant);
  for (const [caller, user_id] of callers) {
    await refused(db.call(service, "change_member_role", { caller, user_id, role: "admin" }), "MU002");
    await refused(db.call(service, "add_member", { caller, role: "admin", user_id: outsider }), "MU002");
    await refused(db.call(service, "remove_member", { caller, user_id }), "MU002");
  }
  assert.deepEqual(await rolesOf(db, tenant), before);
});

Deno.test("the last admin of a tenant is neither demoted nor removed, by nobody; another one is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller, userId } = await createMember(db, tenant, "admin");
  // An admin of another tenant does not count.
  await createMember(db, await createTenant(db), "admin");
  for (const by of [caller, { kind: "service", tenant_id: tenant.id }]) {
    await refused(db.call(service, "remove_member", { caller: by, user_id: userId }), "MU008");
    await refused(db.call(service, "change_member_role", { caller: by, user_id: userId, role: "viewer" }), "MU008");
  }
  await db.call(service, "change_member_role", { caller, user_id: userId, role: "admin" });
  const { userId: second } = await createMember(db, tenant, "viewer");
  await db.call(service, "change_member_role", { caller, user_id: second, role: "admin" });
  const demoted = await db.call(service, "change_member_role", { caller, user_id: userId, role: "editor" });
  assert.equal(demoted.role, "editor");
  await refused(db.call(service, "change_member_role", { caller, user_id: userId, role: "admin" }), "MU002");
  assert.deepEqual(await rolesOf(db, tenant), { [userId]: "editor", [second]: "admin" });
});

for (const name of ["remove_member", "change_member_role"]) {
  Deno.test(`of two admins who ${name === "remove_member" ? "remove" : "demote"} each other at once, one stays`, async () => {
    await using db = await TestDatabase.create();
    const tenant = await createTenant(db);
    const [one, two] = [await createMember(db, tenant, "admin"), await createMember(db, tenant, "admin")];
    const role = name === "remove_member" ? {} : { role: "viewer" };
    await using first = await db.transaction();
    await first.call(service, name, { caller: one.caller, user_id: two.userId, ...role });
    await using second = await db.transaction();
    // It was an admin when it called, and is none any more when its turn comes.
    const waiting = refused(second.call(service, name, { caller: two.caller, user_id: one.userId, ...role }), "MU002");
    await db.untilBlocked(second.pid);
    await first.commit();
    await waiting;
    assert.equal((await rolesOf(db, tenant))[one.userId], "admin");
  });
}

Deno.test("two admins who both leave at once leave one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [one, two] = [await createMember(db, tenant, "admin"), await createMember(db, tenant, "admin")];
  await using first = await db.transaction();
  await first.call(service, "remove_member", { caller: one.caller, user_id: one.userId });
  await using second = await db.transaction();
  const waiting = refused(second.call(service, "remove_member", { caller: two.caller, user_id: two.userId }), "MU008");
  await db.untilBlocked(second.pid);
  await first.commit();
  await waiting;
  assert.deepEqual(await rolesOf(db, tenant), { [two.userId]: "admin" });
});

Deno.test("an admin who was removed and names no tenant does not act in another one meanwhile", async () => {
  await using db = await TestDatabase.create();
  const [first, second] = [await createTenant(db), await createTenant(db)];
  const { userId } = await createMember(db, first, "admin");
  const { caller: other } = await createMember(db, first, "admin");
  await db.advance(1);
  await db.sql`insert into muster.members (tenant_id, user_id, role) values (${second.id}, ${userId}, 'admin')`;
  const target = await createUser(db);
  await using removing = await db.transaction();
  await removing.call(service, "remove_member", { caller: other, user_id: userId });
  await using adding = await db.transaction();
  const caller = { kind: "member", user_id: userId };
  const waiting = refused(adding.call(service, "add_member", { caller, role: "admin", user_id: target }), "MU002");
  await db.untilBlocked(adding.pid);
  await removing.commit();
  await waiting;
  assert.equal((await rolesOf(db, second))[target], undefined);
});

Deno.test("remove_member() ends what the member may do at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  const { caller: editor, userId } = await createMember(db, tenant, "editor");
  await db.call(service, "list_jobs", { caller: editor });
  assert.equal((await db.call(service, "remove_member", { caller, user_id: userId })).role, "editor");
  await refused(db.call(service, "list_jobs", { caller: editor }), "MU002");
  await refused(db.call(service, "remove_member", { caller, user_id: userId }), "MU003");
});

Deno.test("list_members() shows everybody who is a member, and addresses to admins only", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller: admin } = await createMember(db, tenant, "admin");
  const { caller: viewer, userId } = await createMember(db, tenant, "viewer");
  await db.sql`update auth.users set email = 'viewer@example.com' where id = ${userId}`;
  await createMember(db, await createTenant(db), "admin");
  const emails = async (caller: Args) => {
    const { members } = await db.call(service, "list_members", { caller });
    assert.equal(members.length, 2);
    return members.map((member: Answer) => member.email).filter((email: unknown) => email !== null);
  };
  assert.deepEqual(await emails(admin), ["viewer@example.com"]);
  assert.deepEqual(await emails({ kind: "service", tenant_id: tenant.id }), ["viewer@example.com"]);
  for (const caller of [viewer, tenant.caller]) assert.deepEqual(await emails(caller), []);
});

Deno.test("a user who is deleted in Supabase Auth leaves its tenants, and the audit log says so", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { userId } = await createMember(db, tenant, "admin");
  await db.sql.begin(async (tx) => {
    // Who deletes users on the platform has no rights in schema muster.
    await tx`set local role supabase_auth_admin`;
    await tx`delete from auth.users where id = ${userId}`;
  });
  assert.deepEqual(await rolesOf(db, tenant), {});
  const audited = await auditEntries(db, tenant, "member.removed");
  assert.deepEqual(audited.map(({ actor, subject, data }) => ({ actor, subject, data })), [{
    actor: { kind: "system" },
    subject: userId,
    data: { role: "admin", reason: "user deleted" },
  }]);
  const { userId: other } = await createMember(db, tenant, "viewer");
  await db.sql`delete from muster.tenants where id = ${tenant.id}`;
  assert.equal((await db.sql`select from auth.users where id = ${other}`).length, 1);
});
