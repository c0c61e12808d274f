import assert from "node:assert/strict";
import { databaseUrl, openDatabase, remoteFlag } from "./database.ts";
import { copyProject } from "./project-copy.ts";
import { supabase } from "./supabase-cli.ts";

// The lint is done by the extension plpgsql_check: every Supabase project has it, the embedded Postgres does not.
const ignore = databaseUrl === undefined || !await hasPlpgsqlCheck();

Deno.test({ name: "db lint finds no error and no warning in the functions", ignore }, async () => {
  await using project = await copyProject();
  const { code, stdout, stderr } = await supabase(
    project.root,
    ["db", "lint", "--schema", "muster,muster_private", "--level", "warning", "--fail-on", "warning", remoteFlag()],
  );
  assert.equal(code, 0, stdout + stderr);
});

async function hasPlpgsqlCheck(): Promise<boolean> {
  await using sql = openDatabase();
  return (await sql`select from pg_catalog.pg_available_extensions where name = 'plpgsql_check'`).length > 0;
}
