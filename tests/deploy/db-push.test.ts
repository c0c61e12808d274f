import assert from "node:assert/strict";
import { join } from "node:path";
import { allFiles } from "../check/source-files.ts";
import { databaseUrl, openDatabase, remoteFlag } from "./database.ts";
import { copyProject } from "./project-copy.ts";
import { supabaseOk } from "./supabase-cli.ts";

const ignore = databaseUrl === undefined;

Deno.test({ name: "db push finds every migration in the history and nothing left to do", ignore }, async () => {
  await using project = await copyProject();
  await using sql = openDatabase();
  const versions = (await allFiles(join(project.root, "migrations"), [".sql"])).map((file) => file.split("_")[0]);
  const history = await sql`select version from supabase_migrations.schema_migrations order by version`;
  assert.deepEqual(history.map(({ version }) => version), versions);

  const { stdout } = await supabaseOk(project.root, ["db", "push", "--dry-run", "--yes", remoteFlag()]);
  assert.match(stdout, /up to date/);
});

Deno.test({ name: "db push would apply a migration that was added, through the linked folder", ignore }, async () => {
  await using project = await copyProject();
  await Deno.writeTextFile(join(project.root, "migrations/29990101000000_later.sql"), "select 1;\n");
  const { stdout, stderr } = await supabaseOk(project.root, ["db", "push", "--dry-run", "--yes", remoteFlag()]);
  assert.match(stdout + stderr, /29990101000000_later\.sql/);
});
