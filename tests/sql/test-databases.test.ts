import assert from "node:assert/strict";
import { createTenant, createWorker, submit, succeeded, tick } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

/** All rows that a test can see, but for the times at which the platform made its own; and where sequences stand. */
async function contents(db: TestDatabase): Promise<Record<string, unknown>> {
  const tables = await db.sql<{ name: string }[]>`
    select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'test_support') order by 1`;
  const found: Record<string, unknown> = {};
  for (const { name } of tables) {
    const [row] = await db.sql.unsafe(
      `select jsonb_agg(to_jsonb(t) - 'log_cnt' order by t::text) as rows from (select * from ${name}) t`,
    );
    if (row!.rows !== null) found[name] = row!.rows;
  }
  return found;
}

Deno.test("a test gets its database as it was made, whatever the one before did with its rows", async () => {
  let made;
  {
    await using db = await TestDatabase.create({ fresh: true });
    made = await contents(db);
  }
  for (let time = 0; time < 3; time++) {
    await using db = await TestDatabase.create();
    assert.deepEqual(await contents(db), made);
    const tenant = await createTenant(db);
    const worker = await createWorker(db, tenant, { listening: true });
    await submit(db, tenant, { concurrency_key: "one" }, { concurrency_key: "one" }, { delay_seconds: 60 });
    for (const job of await worker.claim()) await worker.complete([succeeded(job)]);
    await db.advance(100);
    await tick(db);
    await db.sql`delete from cron.job where true`;
    await db.sql`set session_replication_role = replica`;
    await db.sql`delete from muster_private.scheduler_state where true`;
    assert.notDeepEqual(await contents(db), made);
  }
  await using db = await TestDatabase.create();
  const [row] = await db.sql`show session_replication_role`;
  assert.equal(row!.session_replication_role, "origin");
});

Deno.test("a database whose functions, tables or statistics were changed is nobody's any more", async () => {
  for (
    const change of [
      "create or replace function muster_private.now() returns timestamptz language sql as 'select clock_timestamp()'",
      "create table public.left_over ()",
      "alter table muster.jobs disable trigger user",
      "grant select on muster.jobs to muster_worker",
      "analyze muster.jobs",
    ]
  ) {
    let changed;
    {
      await using db = await TestDatabase.create();
      changed = db.url;
      await db.sql.unsafe(change);
    }
    await using db = await TestDatabase.create();
    assert.notEqual(db.url, changed, change);
  }
});

Deno.test("a test that leaves a transaction open or a connection unreturned does not hold up the next", async () => {
  {
    await using db = await TestDatabase.create();
    const tenant = await createTenant(db);
    const { id } = tenant;
    await (await db.transaction()).query(`select from muster.tenants where id = '${id}' for update`);
    await db.sql.reserve();
  }
  await using db = await TestDatabase.create();
  await createTenant(db);
  const others = await Promise.all([1, 2, 3, 4].map(() => db.transaction()));
  assert.equal(new Set(others.map(({ pid }) => pid)).size, 4);
  for (const tx of others) await tx.rollback();
});

Deno.test("tests that want databases at the same time get different ones", async () => {
  {
    await using _one = await TestDatabase.create();
    await using _two = await TestDatabase.create();
  }
  const both = await Promise.all([1, 2, 3].map(() => TestDatabase.create()));
  assert.equal(new Set(both.map(({ url }) => url)).size, 3);
  await both[0]!.call(service, "create_tenant", { name: "only here" });
  const [row] = await both[1]!.sql`select count(*)::integer as count from muster.tenants`;
  assert.equal(row!.count, 0);
  for (const db of both) await db[Symbol.asyncDispose]();
});
