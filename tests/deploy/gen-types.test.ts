import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runDeno } from "../check/run-deno.ts";
import { type Database, databaseUrl, openDatabase, remoteFlag } from "./database.ts";
import { copyProject } from "./project-copy.ts";
import { supabaseOk } from "./supabase-cli.ts";

const ignore = databaseUrl === undefined;
const packages = fileURLToPath(new URL("../../node_modules", import.meta.url));

Deno.test(
  { name: "gen types prints types of muster's tables and functions that a client can use", ignore },
  async () => {
    await using project = await copyProject();
    await using sql = openDatabase();
    const { stdout } = await supabaseOk(project.root, ["gen", "types", "--schema", "muster", remoteFlag()]);

    await Deno.writeTextFile(join(project.root, "database.ts"), stdout);
    await Deno.writeTextFile(join(project.root, "user.ts"), await programUsing(sql));
    await Deno.symlink(packages, join(project.root, "node_modules"), {
      type: Deno.build.os === "windows" ? "junction" : "dir",
    });
    const { ok, stderr } = await runDeno(["check", "--quiet", "user.ts"], project.root);
    assert.ok(ok, stderr);
  },
);

/** A program that names every column of every table, and every function, so that it compiles only if all are typed. */
async function programUsing(sql: Database): Promise<string> {
  const columns = await sql`
    select c.relname as table, a.attname as column
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'muster'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by 1, a.attnum`;
  const functions = await sql`
    select distinct p.proname as function
    from pg_catalog.pg_proc p
    where p.pronamespace = 'muster'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
    order by 1`;
  assert.ok(columns.length > 0, "muster has no tables");
  const lines = [
    `import { createClient } from "@supabase/supabase-js";`,
    `import type { Database } from "./database.ts";`,
    `type Muster = Database["muster"];`,
    `export const client = createClient<Database, "muster">("http://localhost", "key", { db: { schema: "muster" } });`,
    ...columns.map(({ table, column }, index) =>
      `export type Column${index} = Muster["Tables"][${JSON.stringify(table)}]["Row"][${JSON.stringify(column)}];`
    ),
    ...functions.map(({ function: name }, index) =>
      `export type Function${index} = Muster["Functions"][${JSON.stringify(name)}]["Returns"];`
    ),
    `export const rows = client.from(${JSON.stringify(columns[0]!.table)}).select(${
      JSON.stringify(columns[0]!.column)
    });`,
  ];
  return lines.join("\n") + "\n";
}
