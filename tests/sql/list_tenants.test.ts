import assert from "node:assert/strict";
import { createMember, createTenant, createUser, refused } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

const list = (db: TestDatabase, caller: unknown, args: Args = {}) =>
  db.call(service, "list_tenants", { caller, ...args });
const ids = (answer: Answer): string[] => answer.tenants.map((tenant: Answer) => tenant.id).sort();

Deno.test("list_tenants() shows a user the tenants it is a member of with its role, and nobody else's", async () => {
  await using db = await TestDatabase.create();
  const [one, two] = [await createTenant(db), await createTenant(db), await createTenant(db)];
  const { userId } = await createMember(db, one, "viewer");
  await createMember(db, one, "admin");
  await db.sql`insert into muster.members (tenant_id, user_id, role) values (${two.id}, ${userId}, 'admin')`;
  const answer = await list(db, { kind: "member", user_id: userId });
  assert.deepEqual(ids(answer), [one.id, two.id].sort());
  const roles = Object.fromEntries(answer.tenants.map((tenant: Answer) => [tenant.id, tenant.role]));
  assert.deepEqual(roles, { [one.id]: "viewer", [two.id]: "admin" });
  assert.deepEqual(ids(await list(db, { kind: "member", user_id: userId, tenant_id: two.id })), [two.id]);
});

Deno.test("list_tenants() shows a user without a membership nothing, and an API key its own tenant", async () => {
  await using db = await TestDatabase.create();
  const [one, two] = [await createTenant(db), await createTenant(db)];
  for (const user_id of [await createUser(db), null]) {
    assert.deepEqual(ids(await list(db, { kind: "member", user_id })), []);
    assert.deepEqual(ids(await list(db, { kind: "member", user_id, tenant_id: one.id })), []);
  }
  assert.deepEqual(ids(await list(db, one.caller)), [one.id]);
  assert.deepEqual(ids(await list(db, { kind: "service", tenant_id: two.id })), [two.id]);
  await refused(list(db, { kind: "service", tenant_id: crypto.randomUUID() }), "MU003");
  for (const caller of [null, {}, [], { kind: "root" }, { kind: "api_key", hash: "0".repeat(64) }]) {
    await refused(list(db, caller), "MU001", JSON.stringify(caller));
  }
});

Deno.test("list_tenants() counts a user's requests, with or without a membership", async () => {
  await using db = await TestDatabase.create();
  const caller = { kind: "member", user_id: await createUser(db) };
  const answers = await Promise.allSettled(Array.from({ length: 510 }, () => list(db, caller)));
  const refusals = answers.flatMap((answer) => answer.status === "rejected" ? [answer.reason.code] : []);
  assert.deepEqual([refusals.length >= 10, new Set(refusals)], [true, new Set(["MU018"])]);
});

Deno.test("list_tenants() pages through all tenants by name, and finds one", async () => {
  await using db = await TestDatabase.create();
  const names = ["b", "a", "c", "e", "d"];
  for (const name of names) await db.call(service, "create_tenant", { name });
  const seen: string[] = [];
  for (let cursor: string | null = null;;) {
    const page: Answer = await list(db, { kind: "service" }, { page_size: 2, cursor });
    assert.ok(page.tenants.length <= 2);
    seen.push(...page.tenants.map((tenant: Answer) => tenant.name));
    if ((cursor = page.next_cursor) === null) break;
  }
  assert.deepEqual(seen, [...names].sort());
  const found = await list(db, { kind: "service" }, { filters: { name: "c" } });
  assert.deepEqual(found.tenants.map((tenant: Answer) => tenant.name), ["c"]);
});
