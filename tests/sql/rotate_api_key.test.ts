import assert from "node:assert/strict";
import {
  auditEntries,
  createMember,
  createTenant,
  eachRefused,
  refused,
  sha256,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

type Keys = {
  tenant: TestTenant;
  caller: Args;
  create(args?: Args): Promise<Answer>;
  rotate(id: string, args?: Args): Promise<Answer>;
};

/** An admin's hands on keys; the hash of a key made here is that of its prefix. */
async function keysOf(db: TestDatabase): Promise<Keys> {
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  const named = () => {
    const key_prefix = `msk_${crypto.randomUUID()}`;
    return { key_prefix, key_hash: sha256(key_prefix) };
  };
  return {
    tenant,
    caller,
    create: (args = {}) => db.call(service, "issue_api_key", { caller, executor_name: "shop", ...named(), ...args }),
    rotate: (key_id, args = {}) => db.call(service, "rotate_api_key", { caller, key_id, ...named(), ...args }),
  };
}

const callerOf = (key: Answer): Args => ({ kind: "api_key", hash: sha256(key.prefix) });
const works = (db: TestDatabase, key: Answer) => db.call(service, "list_jobs", { caller: callerOf(key) });
const isVoid = (db: TestDatabase, key: Answer) => refused(works(db, key), "MU001");

Deno.test("rotate_api_key() makes a key with executor and scopes of the old one, and both are good for the overlap", async () => {
  await using db = await TestDatabase.create();
  const { create, rotate } = await keysOf(db);
  const old = await create({ scopes: ["submit", "read", "operate", "read"] });
  assert.deepEqual(old.scopes, ["operate", "read", "submit"]);
  const made = await rotate(old.id, { overlap_seconds: 60 });
  assert.deepEqual([made.executor_id, made.scopes, made.expires_at], [old.executor_id, old.scopes, null]);
  assert.equal(made.replaces.replaced_by, made.id);
  assert.equal(Date.parse(made.replaces.expires_at), (await db.now()).getTime() + 60_000);
  assert.ok(!JSON.stringify(made).match(/[0-9a-f]{64}/));
  await db.advance(59);
  await works(db, old);
  await works(db, made);
  await db.advance(1);
  await isVoid(db, old);
  await works(db, made);
});

Deno.test("rotate_api_key() lets the old key live for a day by default, and never longer than it would have", async () => {
  await using db = await TestDatabase.create();
  const { create, rotate } = await keysOf(db);
  const start = (await db.now()).getTime();
  const forever = await rotate((await create()).id);
  assert.equal(Date.parse(forever.replaces.expires_at), start + 86_400_000);
  const hourly = await create({ expires_at: new Date(start + 3_600_000).toISOString() });
  await db.advance(600);
  const made = await rotate(hourly.id);
  assert.equal(made.replaces.expires_at, hourly.expires_at);
  // The new one is made for as long as the old one was.
  assert.equal(Date.parse(made.expires_at), start + 600_000 + 3_600_000);
  await isVoid(db, (await rotate(made.id, { overlap_seconds: 0 })).replaces);
});

Deno.test("rotate_api_key() refuses a key that was replaced, revoked or has expired, and an overlap beyond its bounds", async () => {
  await using db = await TestDatabase.create();
  const { caller, create, rotate } = await keysOf(db);
  const [replaced, revoked] = [await create(), await create()];
  const expired = await create({ expires_at: (await db.now()).toISOString() });
  const { id } = await rotate(replaced.id);
  await db.call(service, "revoke_api_key", { caller, key_id: revoked.id });
  assert.match((await refused(rotate(replaced.id), "MU008")).message, new RegExp(id));
  await refused(rotate(revoked.id), "MU008");
  await refused(rotate(expired.id), "MU008");
  const overlaps = { "a negative one": -1, "over 30 days": 2_592_001, "null": null };
  await eachRefused<number | null>(overlaps, (overlap_seconds) => rotate(id, { overlap_seconds }));
});

Deno.test("of two rotations of a key at once, one makes a key and the other is told", async () => {
  await using db = await TestDatabase.create();
  const { caller, create } = await keysOf(db);
  const { id: key_id } = await create();
  const rotation = (text: string) => ({ caller, key_id, key_prefix: "msk", key_hash: sha256(text) });
  await using first = await db.transaction();
  await first.call(service, "rotate_api_key", rotation("a"));
  await using second = await db.transaction();
  const waiting = refused(second.call(service, "rotate_api_key", rotation("b")), "MU008");
  await db.untilBlocked(second.pid);
  await first.commit();
  await waiting;
  assert.equal((await db.sql`select from muster.api_keys where hash in (${sha256("a")}, ${sha256("b")})`).length, 1);
});

Deno.test("revoke_api_key() makes a key void at once, also one in its overlap, and twice is once", async () => {
  await using db = await TestDatabase.create();
  const { tenant, caller, create, rotate } = await keysOf(db);
  const old = await create();
  const made = await rotate(old.id);
  const revoke = (key: Answer) => db.call(service, "revoke_api_key", { caller, key_id: key.id });
  const revoked = await revoke(old);
  await isVoid(db, old);
  await works(db, made);
  await db.advance(5);
  assert.deepEqual(await revoke(old), revoked);
  const audited = await auditEntries(db, tenant, "api_key.");
  const actions = audited.slice(1).map(({ action, actor }) => `${actor.kind} ${action}`);
  assert.deepEqual(actions, ["member api_key.created", "member api_key.rotated", "member api_key.revoked"]);
});

Deno.test("a key does what its scopes say, and nothing else", async () => {
  await using db = await TestDatabase.create();
  const { create } = await keysOf(db);
  const calls: Record<string, [string, Args]> = {
    read: ["list_jobs", {}],
    submit: ["submit_jobs", { jobs: [{ type: "test" }] }],
    operate: ["list_enrollment_tokens", {}],
    administer: ["revoke_api_key", { key_id: crypto.randomUUID() }],
  };
  for (const scopes of [["read"], ["submit"], ["operate"], ["publish"], ["read", "operate"]]) {
    const key = await create({ scopes });
    for (const [need, [name, args]] of Object.entries(calls)) {
      const call = db.call(service, name, { caller: callerOf(key), ...args });
      if (scopes.includes(need)) await call;
      else await refused(call, "MU002", `${name} with the scopes ${scopes}`);
    }
  }
});

Deno.test("issue_api_key() gives read and submit by default, and refuses scopes that no key has", async () => {
  await using db = await TestDatabase.create();
  const { create } = await keysOf(db);
  assert.deepEqual((await create()).scopes, ["read", "submit"]);
  const bad: Record<string, unknown> = {
    "administer": ["read", "administer"],
    "none": [],
    "null": null,
    "a list with null": ["read", null],
    "another case": ["READ"],
  };
  await eachRefused(bad, (scopes) => create({ scopes }));
});

Deno.test("issue_api_key() stops at 100 good keys an executor and 1,000 executors a tenant", async () => {
  await using db = await TestDatabase.create();
  const { tenant, caller, create } = await keysOf(db);
  const { executor_id, id } = await create();
  await db.sql`
    insert into muster.api_keys (tenant_id, executor_id, prefix, hash)
    select ${tenant.id}, ${executor_id}, 'msk', md5(n::text) || md5(n::text) from generate_series(1, 99) n`;
  await refused(create(), "MU015");
  await create({ executor_name: "another" });
  await db.call(service, "revoke_api_key", { caller, key_id: id });
  await create();
  await db.sql`
    insert into muster.executors (tenant_id, name)
    select ${tenant.id}, n::text from generate_series(1, 1000 - (select count(*)::int from muster.executors where tenant_id = ${tenant.id})) n`;
  await refused(create({ executor_name: "one more" }), "MU015");
  await create({ executor_name: "another" });
});

Deno.test("list_api_keys() pages through a tenant's keys, newest first, and shows no hash", async () => {
  await using db = await TestDatabase.create();
  const { tenant, caller, create } = await keysOf(db);
  await keysOf(db);
  const made: string[] = [];
  for (let n = 0; n < 5; n++) {
    made.unshift((await create()).id);
    if (n % 2) await db.advance(1);
  }
  await db.call(service, "revoke_api_key", { caller, key_id: made[0] });
  const list = (args: Args) => db.call(service, "list_api_keys", { caller, ...args });
  const seen: string[] = [];
  for (let cursor: string | null = null;;) {
    const page: Answer = await list({ filters: { executor_name: "shop" }, page_size: 2, cursor });
    seen.push(...page.api_keys.map((key: Answer) => key.id));
    if ((cursor = page.next_cursor) === null) break;
  }
  assert.deepEqual([...seen].sort(), [...made].sort());
  assert.deepEqual(new Set(seen).size, 5);
  const usable = await list({ filters: { executor_name: "shop", usable: true } });
  assert.ok(!usable.api_keys.some((key: Answer) => key.id === made[0]));
  const all = await list({});
  assert.equal(all.api_keys.length, 6);
  assert.ok(all.api_keys.every((key: Answer) => key.tenant_id === tenant.id));
  assert.ok(!JSON.stringify(all).match(/[0-9a-f]{64}/));
  const cursors = {
    "nonsense": "x",
    "an injection": "2026-01-01T00:00:00.000000Z_' or true",
    "no time": "9999-99-99T99:99:99.999999Z_00000000-0000-0000-0000-000000000000",
  };
  await eachRefused<string>(cursors, (cursor) => list({ cursor }));
});
