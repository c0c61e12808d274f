import assert from "node:assert/strict";
import { queryAs } from "../support/actors.ts";
import { type Actor, TestDatabase } from "../support/database.ts";
import { createEverybody, createWorld, type World } from "./actors.ts";
import { tables } from "./matrix.ts";

/** Tables that have no column tenant_id: how a tenant's rows are found in them. */
const ofTenant: Record<string, string> = { "muster.tenants": "id = $1", "muster.job_classes": "true" };

/** Of an executor: rows of its jobs. */
const ofExecutor: Record<string, string> = { "muster.jobs": "executor_id = $1" };

Deno.test("everybody sees the rows of every table that the matrix says, and no other", async (t) => {
  await using db = await TestDatabase.create();
  const [own, foreign] = [await createWorld(db), await createWorld(db)];
  const { actors } = await createEverybody(db, own, foreign);

  await t.step("the matrix has a row for every table", async () => {
    assert.deepEqual([...tables.rows.keys()].sort(), await tablesOf(db));
  });
  for (const [name, actor] of Object.entries(actors)) {
    await t.step(name, async () => {
      const seen: Record<string, string> = {};
      const written: Record<string, string> = {};
      for (const [table, cells] of tables.rows) {
        written[table] = cells.get(name)!;
        seen[table] = await view(db, actor, table, own, written[table]);
      }
      assert.deepEqual(seen, written);
    });
  }
});

/** What the actor sees of a table, in the matrix's words; what fits none of them in figures. */
async function view(db: TestDatabase, actor: Actor, table: string, own: World, expected: string): Promise<string> {
  const seen = await rowsOf(db, actor, table);
  if (seen === null) return "-";
  if (seen.length === 0) return "none";
  const all = (await db.sql.unsafe(`select t::text as row from ${table} t`)).map(({ row }) => row);
  if (expected === "all") return same(seen, all) ? "all" : `${seen.length} of ${all.length} rows`;
  const where = expected === "mine"
    ? ofExecutor[table] ?? "job_id in (select id from muster.jobs where executor_id = $1)"
    : ofTenant[table] ?? "tenant_id = $1";
  const id = expected === "mine" ? own.tenant.executorId : own.tenant.id;
  const owned = (await db.sql.unsafe(`select t::text as row from ${table} t where ${where}`, [id])).map(({ row }) =>
    row
  );
  assert.ok(owned.length > 0 && owned.length < all.length, `both tenants have rows in ${table}`);
  return same(seen, owned) ? expected : `${seen.length} of ${owned.length} rows`;
}

/** Null where the actor may not select. */
async function rowsOf(db: TestDatabase, actor: Actor, table: string): Promise<string[] | null> {
  try {
    return (await queryAs(db, actor, `select t::text as row from ${table} t`)).map(({ row }) => row);
  } catch (error) {
    if ((error as { code?: string }).code === "42501") return null;
    throw error;
  }
}

function same(left: string[], right: string[]): boolean {
  return JSON.stringify(left.toSorted()) === JSON.stringify(right.toSorted());
}

async function tablesOf(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql`
    select c.oid::regclass::text as name from pg_class c
    where c.relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition`;
  return rows.map(({ name }) => name).filter((name) => name !== "muster_private.test_clock").sort();
}
