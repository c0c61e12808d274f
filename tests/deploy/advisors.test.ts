import assert from "node:assert/strict";
import { z } from "zod";
import { databaseUrl, openDatabase, remoteFlag } from "./database.ts";
import { copyProject } from "./project-copy.ts";
import { supabaseOk } from "./supabase-cli.ts";

const ignore = databaseUrl === undefined;
const Findings = z.array(z.object({ name: z.string(), detail: z.string() }));

Deno.test({ name: "db advisors finds nothing but indexes that are not used yet", ignore }, async () => {
  const findings = (await advise()).filter(({ name }) => name !== "unused_index");
  assert.deepEqual(findings.map(({ name, detail }) => `${name}: ${detail}`), []);
});

Deno.test(
  { name: "db advisors finds a table of muster on which row level security was forgotten", ignore },
  async () => {
    await using sql = openDatabase();
    await sql`create table muster.planted_by_a_test (id uuid primary key)`;
    try {
      const found = (await advise()).filter(({ detail }) => detail.includes("`muster.planted_by_a_test`"));
      assert.deepEqual(found.map(({ name }) => name), ["rls_disabled_in_public"]);
    } finally {
      await sql`drop table muster.planted_by_a_test`;
    }
  },
);

Deno.test(
  { name: "db advisors finds a function of muster whose search path a caller can change", ignore },
  async () => {
    await using sql = openDatabase();
    await sql`create function muster.planted_by_a_test() returns int language sql as 'select 1'`;
    try {
      const found = (await advise()).filter(({ detail }) => detail.includes("`muster.planted_by_a_test`"));
      assert.deepEqual(found.map(({ name }) => name), ["function_search_path_mutable"]);
    } finally {
      await sql`drop function muster.planted_by_a_test()`;
    }
  },
);

async function advise(): Promise<z.infer<typeof Findings>> {
  await using project = await copyProject();
  const { stdout, stderr } = await supabaseOk(
    project.root,
    ["db", "advisors", "--level", "info", "--fail-on", "none", "-o", "json", remoteFlag()],
  );
  // Without findings the CLI prints a sentence instead of an empty list.
  if (stdout.trim() === "") assert.match(stderr, /No issues found/);
  return Findings.parse(JSON.parse(stdout.trim() || "[]"));
}
