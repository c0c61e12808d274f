import assert from "node:assert/strict";
import { createTenant, refused, type TestTenant } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

const length = 20;
const ownHash = `muster_private.audit_hash(tenant_id, seq, created_at, actor, action, subject, data, previous_hash)`;

Deno.test("verify_audit() finds an untouched log intact and answers its head, and seals first", async () => {
  await using db = await TestDatabase.create();
  const { tenant, head } = await createLog(db);
  assert.equal(head.seq, length);
  const answer = await verify(db, tenant, { head });
  assert.deepEqual([answer.intact, answer.checked, answer.broken, answer.next_seq], [true, length, null, null]);
  assert.deepEqual([answer.head, answer.checkpoint], [head, { seq: 0, hash: "0".repeat(64) }]);
  await db.sql`select muster_private.audit(${tenant.id}, '{}', 'test.more', '')`;
  const later = await verify(db, tenant, { head });
  assert.deepEqual([later.intact, later.checked, later.head.seq], [true, length + 1, length + 1]);
  const empty = await verify(db, { ...tenant, id: (await db.call(service, "create_tenant", { name: "empty" })).id });
  assert.deepEqual([empty.intact, empty.checked, empty.head.seq], [true, 1, 1]);
});

/** What somebody who may do everything does to the log, the first entry that shows it, and how. */
const tamperings: Record<string, { sql: string; seq: number; how: string }> = {
  "an entry says something else": {
    sql: `update muster.audit_log set data = '{"n": 0}' where seq = 7`,
    seq: 7,
    how: "changed",
  },
  "an entry names somebody else": {
    sql: `update muster.audit_log set actor = '{"kind": "member"}' where seq = 7`,
    seq: 7,
    how: "changed",
  },
  "an entry has another time": {
    sql: `update muster.audit_log set created_at = created_at - interval '1 microsecond' where seq = 1`,
    seq: 1,
    how: "changed",
  },
  "an entry has another action": {
    sql: `update muster.audit_log set action = 'test.other' where seq = ${length}`,
    seq: length,
    how: "changed",
  },
  "an entry has another subject": {
    sql: `update muster.audit_log set subject = subject || ' ' where seq = 8`,
    seq: 8,
    how: "changed",
  },
  "an entry has another hash": {
    sql: `update muster.audit_log set hash = sha256('x') where seq = 9`,
    seq: 9,
    how: "changed",
  },
  "an entry is linked elsewhere": {
    sql: `update muster.audit_log set previous_hash = sha256('x') where seq = 9`,
    seq: 9,
    how: "changed",
  },
  "an entry was changed and given the hash that fits": {
    sql: `update muster.audit_log set data = '{"n": 0}' where seq = 7;
      update muster.audit_log set hash = ${ownHash} where seq = 7`,
    seq: 7,
    how: "rewritten",
  },
  "the last entry was changed and given the hash that fits": {
    sql: `update muster.audit_log set data = '{"n": 0}' where seq = ${length};
      update muster.audit_log set hash = ${ownHash} where seq = ${length}`,
    seq: length,
    how: "rewritten",
  },
  "an entry was deleted": { sql: `delete from muster.audit_log where seq = 7`, seq: 7, how: "missing" },
  "several entries were deleted": {
    sql: `delete from muster.audit_log where seq between 7 and 9`,
    seq: 7,
    how: "missing",
  },
  "the oldest entries were deleted": { sql: `delete from muster.audit_log where seq <= 3`, seq: 1, how: "missing" },
  "an entry was deleted and the rest moved up": {
    sql: `delete from muster.audit_log where seq = 7;
      update muster.audit_log set seq = seq - 1000 where seq > 7;
      update muster.audit_log set seq = seq + 999 where seq < 0`,
    seq: 7,
    how: "changed",
  },
  "two entries were swapped": {
    sql: `update muster.audit_log set seq = case seq when 7 then 1008 else 1007 end where seq in (7, 8);
      update muster.audit_log set seq = seq - 1000 where seq > 1000`,
    seq: 7,
    how: "reordered",
  },
  "the newest entries were deleted": {
    sql: `delete from muster.audit_log where seq > 15`,
    seq: 16,
    how: "truncated",
  },
  "an entry was added": {
    sql: `insert into muster.audit_log
      select tenant_id, seq + 1, actor, action, subject, data, created_at, hash, sha256('x') from muster.audit_log where seq = ${length}`,
    seq: length + 1,
    how: "added",
  },
  "all entries were deleted": { sql: `delete from muster.audit_log`, seq: 1, how: "truncated" },
};

for (const [what, { sql, seq, how }] of Object.entries(tamperings)) {
  Deno.test(`verify_audit() notices that ${what}`, async () => {
    await using db = await TestDatabase.create();
    const { tenant } = await createLog(db);
    await tamper(db, sql);
    const answer = await verify(db, tenant);
    assert.deepEqual(
      [answer.intact, answer.broken?.seq, answer.broken?.how],
      [false, seq, how],
      JSON.stringify(answer),
    );
    assert.ok(answer.broken.message.length > 10);
  });
}

// Who may write everything can make all hashes anew, the chain's end included. Only what was noted elsewhere tells.
const rewriteAll = (from: number) => `
  do $$
  declare
    v_entry muster.audit_log;
    v_previous bytea;
  begin
    for v_entry in select * from muster.audit_log where seq >= ${from} order by seq loop
      select coalesce((select hash from muster.audit_log where seq = v_entry.seq - 1), v_entry.previous_hash) into v_previous;
      update muster.audit_log set previous_hash = v_previous where seq = v_entry.seq;
      update muster.audit_log set hash = ${ownHash} where seq = v_entry.seq returning hash into v_previous;
    end loop;
    update muster_private.audit_chains set (seq, hash) = (select seq, hash from muster.audit_log order by seq desc limit 1);
  end $$`;

Deno.test("verify_audit() notices by a head noted earlier that the whole chain was written anew", async () => {
  await using db = await TestDatabase.create();
  const { tenant, head } = await createLog(db);
  await tamper(db, `update muster.audit_log set data = '{"n": 0}' where seq = 7; ${rewriteAll(7)}`);
  assert.equal((await verify(db, tenant)).intact, true);
  const { intact, broken } = await verify(db, tenant, { head });
  assert.deepEqual([intact, broken?.seq, broken?.how], [false, length, "rewritten"]);
});

Deno.test("verify_audit() notices by a head noted earlier that the end is gone, and the chain shortened with it", async () => {
  await using db = await TestDatabase.create();
  const { tenant, head } = await createLog(db);
  await tamper(db, `delete from muster.audit_log where seq > 15; ${rewriteAll(15)}`);
  assert.equal((await verify(db, tenant)).intact, true);
  const { intact, broken } = await verify(db, tenant, { head });
  assert.deepEqual([intact, broken?.seq, broken?.how], [false, 16, "truncated"]);
});

Deno.test("verify_audit() walks a long log in pieces, and finds in a later one what is wrong there", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`select muster_private.audit(${tenant.id}, '{}', 'test.done', n::text) from generate_series(1, 20998) n`;
  await seal(db, tenant, 21_000);
  const pieces: [number, number | null][] = [];
  for (let from: number | null = null, first = true; first || from !== null; first = false) {
    const answer: Answer = await verify(db, tenant, { from_seq: from });
    assert.equal(answer.intact, true);
    pieces.push([answer.checked, from = answer.next_seq]);
  }
  assert.deepEqual(pieces, [[10_000, 10_001], [10_000, 20_001], [1000, null]]);
  await tamper(db, `update muster.audit_log set data = '{"n": 0}' where seq = 20001`);
  assert.equal((await verify(db, tenant, { from_seq: 10_001 })).intact, true);
  assert.equal((await verify(db, tenant, { from_seq: 20_001 })).broken.seq, 20_001);
  await tamper(db, `delete from muster.audit_log where seq between 19990 and 20001`);
  assert.equal((await verify(db, tenant, { from_seq: 20_001 })).broken.seq, 19_990);
});

Deno.test("verify_audit() refuses a place and a head that cannot be", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const heads = [
    "x",
    1,
    [],
    {},
    { seq: 1 },
    { seq: "1", hash: "0".repeat(64) },
    { seq: -1, hash: "0".repeat(64) },
    {
      seq: 1,
      hash: "0",
    },
    { seq: 1.5, hash: "0".repeat(64) },
    { seq: 1e30, hash: "0".repeat(64) },
  ];
  for (const head of heads) await refused(verify(db, tenant, { head }), "MU004", JSON.stringify(head));
  for (const from_seq of [0, -1]) await refused(verify(db, tenant, { from_seq }), "MU004", String(from_seq));
  assert.equal((await verify(db, tenant, { from_seq: 1_000_000 })).intact, true);
});

/** A log of that length, the first two of which the tenant and its key have made. */
async function createLog(db: TestDatabase): Promise<{ tenant: TestTenant; head: Answer }> {
  const tenant = await createTenant(db);
  await db
    .sql`select muster_private.audit(${tenant.id}, '{"kind": "system"}', 'test.done', 'x', jsonb_build_object('n', n))
    from generate_series(3, ${length}::integer) n`;
  return { tenant, head: (await verify(db, tenant)).head };
}

function verify(db: TestDatabase, tenant: TestTenant, args: Answer = {}): Promise<Answer> {
  return db.call(service, "verify_audit", { caller: { kind: "service", tenant_id: tenant.id }, ...args });
}

/** As a superuser who has switched the triggers off. */
async function tamper(db: TestDatabase, statements: string): Promise<void> {
  await db.sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx`alter table muster.audit_log drop constraint if exists seqs_start_at_1`;
    await tx.unsafe(statements);
  });
}

async function seal(db: TestDatabase, tenant: TestTenant, count: number): Promise<void> {
  await db.sql`select muster_private.seal_audit(${tenant.id}, true, ${count}::integer)`;
}
