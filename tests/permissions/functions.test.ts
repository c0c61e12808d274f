import assert from "node:assert/strict";
import { type Actor, type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { createEverybody, createWorld, type World } from "./actors.ts";
import { functionArguments } from "./arguments.ts";
import { functions } from "./matrix.ts";

Deno.test("everybody may call every function that the matrix says, and no other", async (t) => {
  await using db = await TestDatabase.create();
  const [own, foreign] = [await createWorld(db), await createWorld(db)];
  const { actors, callers } = await createEverybody(db, own, foreign);
  const all = await functionsOf(db);

  await t.step("the matrix has a row for every function", () => {
    assert.deepEqual([...functions.rows.keys()].sort(), all.map(({ name }) => name));
    assert.deepEqual(Object.keys(functionArguments).sort(), all.map(({ name }) => name), "arguments");
  });
  for (const column of functions.columns) {
    await t.step(column, async () => {
      const found: Record<string, string> = {};
      const written: Record<string, string> = {};
      for (const { name, takesCaller } of all) {
        written[name] = functions.rows.get(name)?.get(column) ?? "no row";
        const caller = takesCaller ? callers[column] ?? null : undefined;
        const actor = caller ? service : actors[column];
        const args = functionArguments[name]?.(own, column.endsWith("worker"));
        found[name] = actor === undefined
          ? "-"
          : await outcome(db, actor, name, own, { ...(caller !== undefined && { caller }), ...args });
      }
      assert.deepEqual(found, written);
    });
  }

  await t.step("no token of a visitor, a user or an app opens a function directly", async () => {
    for (const name of ["anon", "outsider", "viewer", "publisher", "editor", "admin", "client"]) {
      for (const each of all) {
        const args = {
          ...(each.takesCaller && { caller: callers["service"] }),
          ...functionArguments[each.name]?.(own, false),
        };
        assert.equal(await outcome(db, actors[name]!, each.name, own, args), "-", `${name} calls ${each.name}`);
      }
    }
  });
});

/** What a call comes to, in the matrix's words. What it did is undone. */
async function outcome(db: TestDatabase, actor: Actor, name: string, own: World, args: Args): Promise<string> {
  const foreign = isForeign(actor, args, own);
  const before = foreign ? await rowsOfTenant(db, own) : "";
  const undone = { changes: false };
  try {
    await db.sql.begin(async (tx) => {
      await db.callIn(tx as unknown as typeof db.sql, actor, name, args);
      if (foreign) undone.changes = await rowsOfTenant(db, own, tx as unknown as typeof db.sql) !== before;
      throw undone;
    });
    throw new assert.AssertionError({ message: "unreachable" });
  } catch (error) {
    if (error === undone) return foreign ? (undone.changes ? "CHANGES" : "none") : "ok";
    const { code } = error as { code?: string };
    if (code === "42501") return "-";
    if (code?.startsWith("MU")) return code;
    throw error;
  }
}

/** Whether the call is made for another tenant than the one whose things it names. */
function isForeign(actor: Actor, { caller }: Args, { tenant }: World): boolean {
  const id = (caller as Args | undefined)?.tenant_id ?? actor.claims?.tenant_id;
  return id !== undefined && id !== tenant.id;
}

/** Every row of the tenant, as one text. */
async function rowsOfTenant(db: TestDatabase, { tenant }: World, sql = db.sql): Promise<string> {
  const tables = await sql`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
    where c.relnamespace = 'muster'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1`;
  const texts = await Promise.all(tables.map(async ({ name }) => {
    const rows = await sql.unsafe(`select t::text as row from muster.${name} t where tenant_id = $1`, [tenant.id]);
    return [name, ...rows.map(({ row }) => row).sort()].join("\n");
  }));
  return texts.join("\n\n");
}

async function functionsOf(db: TestDatabase): Promise<{ name: string; takesCaller: boolean }[]> {
  const rows: Answer[] = await db.sql`
    select p.proname as name, coalesce(p.proargnames[1] = 'caller', false) as takes_caller
    from pg_proc p where p.pronamespace = 'muster'::regnamespace order by 1`;
  assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length, "no function has two signatures");
  return rows.map(({ name, takes_caller }) => ({ name, takesCaller: takes_caller }));
}
