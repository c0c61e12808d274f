import assert from "node:assert/strict";
import { createMember, createTenant, refused, submit, type TestTenant } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("list_audit() answers the tenant's entries newest first, by admins and the secret key alone", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await note(db, tenant, "test.first", 1);
  await db.advance(1);
  await note(db, tenant, "test.second", 1);
  await note(db, other, "test.other", 1);
  const { caller: admin } = await createMember(db, tenant, "admin");
  const { entries, next_cursor } = await list(db, tenant, { caller: admin });
  assert.deepEqual(entries.map(({ action }: Answer) => action), [
    "test.second",
    "test.first",
    "api_key.created",
    "tenant.created",
  ]);
  assert.equal(next_cursor, null);
  assert.deepEqual(Object.keys(entries[0]).sort(), [
    "action",
    "actor",
    "created_at",
    "data",
    "hash",
    "previous_hash",
    "seq",
    "subject",
  ]);
  assert.deepEqual([entries[0].created_at, entries[0].previous_hash], ["2026-01-01T00:00:01.000000Z", entries[1].hash]);
  for (const role of ["editor", "publisher", "viewer"] as const) {
    await refused(list(db, tenant, { caller: (await createMember(db, tenant, role)).caller }), "MU002", role);
  }
  await refused(list(db, tenant, { caller: tenant.caller }), "MU002", "an API key");
});

Deno.test("list_audit() filters by action and its prefix, actor, subject and time", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await note(db, tenant, "worker.enrolled", 1, { kind: "enrollment_token", id: "t" });
  await db.advance(10);
  await note(db, tenant, "worker.revoked", 2, { kind: "member", id: "m" });
  await db.advance(10);
  await note(db, tenant, "workers.counted", 3, { kind: "member", id: "n" });
  await submit(db, tenant, {});
  const found = async (filters: Args) =>
    (await list(db, tenant, { filters })).entries.map(({ action }: Answer) => action).sort();
  const cases: [Args, string[]][] = [
    [{ action: "worker.revoked" }, ["worker.revoked"]],
    [{ action: "worker." }, ["worker.enrolled", "worker.revoked"]],
    [{ action: "worker" }, []],
    [{ action: "jobs." }, ["jobs.changed"]],
    [{ action: "jobs.changed" }, ["jobs.changed"]],
    [{ action: "%." }, []],
    [{ actor_kind: "member" }, ["worker.revoked", "workers.counted"]],
    [{ actor_kind: "member", actor_id: "m" }, ["worker.revoked"]],
    [{ actor_id: "t" }, ["worker.enrolled"]],
    [{ subject: "subject 3" }, ["workers.counted"]],
    [{ since: "2026-01-01T00:00:10Z", actor_kind: "member" }, ["worker.revoked", "workers.counted"]],
    [{ since: "2026-01-01T00:00:10Z", until: "2026-01-01T00:00:20Z" }, ["worker.revoked"]],
    [{ until: "2026-01-01T00:00:00Z" }, []],
  ];
  for (const [filters, actions] of cases) assert.deepEqual(await found(filters), actions, JSON.stringify(filters));
  const bad: Args[] = [{ color: "red" }, { action: "" }, { action: 1 }, { subject: "x".repeat(256) }];
  for (const filters of bad) await refused(list(db, tenant, { filters }), "MU004", JSON.stringify(filters));
  await refused(list(db, tenant, { filters: { since: "yesterday-ish" } }), "22007");
  await refused(list(db, tenant, { filters: [] }), "MU004");
  await refused(list(db, tenant, { cursor: "1" }), "MU004");
  await refused(list(db, tenant, { cursor: "2026-01-01T00:00:00.000000Z_1; --" }), "MU004");
});

Deno.test("list_audit() pages through everything once, also where entries share a time", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (let n = 0; n < 25; n++) {
    await note(db, tenant, n % 2 === 0 ? "test.even" : "test.odd", n);
    if (n % 10 === 9) await db.advance(1);
  }
  for (const [filters, count] of [[{}, 27], [{ action: "test." }, 25], [{ action: "test.odd" }, 12]] as const) {
    for (const page_size of [1, 5, 12, 25, 26, 27]) {
      const seqs: number[] = [];
      for (let cursor: string | null = null, pages = 0; pages === 0 || cursor !== null; pages++) {
        const page: Answer = await list(db, tenant, { filters, page_size, cursor });
        assert.ok(page.entries.length <= page_size);
        seqs.push(...page.entries.map(({ seq }: Answer) => seq));
        cursor = page.next_cursor;
      }
      assert.equal(seqs.length, count, `${JSON.stringify(filters)} by ${page_size}`);
      assert.deepEqual(seqs, [...new Set(seqs)].sort((a, b) => b - a));
    }
  }
});

Deno.test("list_audit() looks at no more than 10,000 entries a call, and passes over the changes of jobs by an index", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await note(db, tenant, "test.needle", 1);
  await db.sql`select muster_private.audit(${tenant.id}, '{}', 'test.hay', n::text) from generate_series(1, 15000) n`;
  await db.sql`select muster_private.seal_audit(${tenant.id}, true, 100000)`;
  const first = await list(db, tenant, { filters: { action: "test.needle" } });
  assert.deepEqual(first.entries, []);
  assert.match(first.next_cursor, /_5004$/);
  const second = await list(db, tenant, { filters: { action: "test.needle" }, cursor: first.next_cursor });
  assert.deepEqual([second.entries.length, second.next_cursor], [1, null]);

  const busy = await createTenant(db);
  await note(db, busy, "test.needle", 1);
  await db.sql`
    insert into muster_private.audit_inbox (tenant_id, actor, action, subject, data, job_ids, created_at)
    select ${busy.id}, jsonb_build_object('kind', 'worker', 'id', n), 'jobs.changed', 'jobs', '{}', array[gen_random_uuid()],
      muster_private.now()
    from generate_series(1, 15000) n`;
  await db.sql`select muster_private.seal_audit(${busy.id}, true, 100000)`;
  const found = await list(db, busy, { filters: { action: "test.needle" } });
  assert.deepEqual([found.entries.length, found.next_cursor], [1, null]);
});

Deno.test("list_audit() ends a page at about a megabyte", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = Array.from({ length: 1000 }, () => crypto.randomUUID());
  for (let n = 0; n < 40; n++) {
    await db.sql`select muster_private.audit(${tenant.id}, ${
      db.sql.json({ kind: "worker", id: String(n) })
    }, 'worker.counted',
      'jobs', ${db.sql.json({ jobs })})`;
  }
  const seqs: number[] = [];
  for (let cursor: string | null = null, pages = 0; pages === 0 || cursor !== null; pages++) {
    const page: Answer = await list(db, tenant, { page_size: 200, cursor });
    const bytes = JSON.stringify(page).length;
    assert.ok(bytes < 1_200_000, `a page of ${bytes} bytes`);
    seqs.push(...page.entries.map(({ seq }: Answer) => seq));
    cursor = page.next_cursor;
  }
  assert.deepEqual(seqs, Array.from({ length: 42 }, (_, n) => 42 - n));
});

Deno.test("sealing looks at as many blocks in a long log as in a short one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const seal = async (): Promise<number> => {
    await db.sql`select muster_private.audit(${tenant.id}, '{}', 'test.done', n::text) from generate_series(1, 10) n`;
    const [row] = await db.sql`
      explain (analyze, buffers, format json) select muster_private.seal_audit(${tenant.id}, true)`;
    const { Plan: plan } = row!["QUERY PLAN"][0];
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  };
  await seal();
  const short = await seal();
  await db.sql`select muster_private.audit(${tenant.id}, '{}', 'test.done', n::text) from generate_series(1, 30000) n`;
  await db.sql`select muster_private.seal_audit(${tenant.id}, true, 100000)`;
  await db.sql`vacuum muster_private.audit_inbox`;
  await seal();
  const long = await seal();
  // Its indexes have grown by a level or two.
  assert.ok(long <= 2.5 * short, `${short} blocks became ${long}`);
});

function list(db: TestDatabase, tenant: TestTenant, args: Args = {}): Promise<Answer> {
  return db.call(service, "list_audit", { caller: { kind: "service", tenant_id: tenant.id }, ...args });
}

function note(
  db: TestDatabase,
  tenant: TestTenant,
  action: string,
  n: number,
  actor: Record<string, string> = { kind: "system" },
) {
  return db.sql`select muster_private.audit(${tenant.id}, ${db.sql.json(actor)}, ${action}, ${`subject ${n}`})`;
}
