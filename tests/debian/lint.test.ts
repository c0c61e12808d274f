import assert from "node:assert/strict";
import type postgres from "postgres";
import { z } from "zod";
import { asPostgres, databaseUrl, openDatabase, remoteFlag } from "../deploy/database.ts";
import { copyProject } from "../deploy/project-copy.ts";
import { supabaseOk } from "../deploy/supabase-cli.ts";
import { TestDatabase } from "../support/database.ts";
import { lintFaults, unseenByDefault } from "./planted-lint.ts";

// The lint is done by the extension plpgsql_check, which every Supabase project has and the embedded Postgres has not.
const Report = z.array(z.object({ function: z.string(), issues: z.array(z.object({ message: z.string() })) }));

Deno.test("db lint finds no error and no warning in the functions", async () => {
  assert.deepEqual(await lint(databaseUrl!), []);
});

Deno.test("db lint finds a planted fault of every kind", async () => {
  await using db = await TestDatabase.create();
  await db.sql.begin(async (tx) => {
    await tx`set local role postgres`;
    for (const { text } of Object.values(lintFaults)) await tx.unsafe(text);
  });
  const found = await lint(asPostgres(db.url));
  const unseen = Object.entries(lintFaults).filter(([name, { says }]) =>
    !found.some((line) => line.startsWith(`muster_private.planted_${name}: `) && line.includes(says))
  );
  assert.deepEqual(unseen.map(([name]) => name), [], found.join("\n"));
});

// `db lint` looks at no trigger, as each needs a table to be looked at with, and warns of no SQL made from arguments.
Deno.test("no trigger has a fault, and no function makes SQL of what a caller says", async () => {
  await using sql = openDatabase();
  assert.deepEqual(await checkAll(sql), []);
});

Deno.test("a planted fault of a trigger and of security is found", async () => {
  await using db = await TestDatabase.create();
  for (const { text } of Object.values(unseenByDefault)) await db.sql.unsafe(text);
  const found = await checkAll(db.sql);
  for (const [name, { says }] of Object.entries(unseenByDefault)) {
    assert.ok(found.some((line) => line.includes(`planted_${name}`) && line.includes(says)), `${name}: ${found}`);
  }
});

async function lint(url: string): Promise<string[]> {
  await using project = await copyProject();
  const { stdout } = await supabaseOk(
    project.root,
    ["db", "lint", "--schema", "muster,muster_private", "--level", "warning", "-o", "json", remoteFlag(url)],
  );
  const report = Report.parse(JSON.parse(stdout.trim() || "[]"));
  return report.flatMap(({ function: name, issues }) => issues.map(({ message }) => `${name}: ${message}`));
}

async function checkAll(sql: postgres.Sql): Promise<string[]> {
  const undo = new Error("Undo");
  let lines: string[] = [];
  await sql.begin(async (tx) => {
    await tx`create extension if not exists plpgsql_check with schema extensions`;
    const rows = await tx<{ name: string; message: string }[]>`
      select p.oid::regprocedure::text as name, c.message
      from pg_catalog.pg_proc p
      join pg_catalog.pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
      left join pg_catalog.pg_trigger t on t.tgfoid = p.oid
      cross join lateral extensions.plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, 0), oldtable => t.tgoldtable, newtable => t.tgnewtable,
        security_warnings => true, other_warnings => true) c
      where p.pronamespace in ('muster'::regnamespace, 'muster_private'::regnamespace)
        and (t.oid is not null or p.prorettype <> 'trigger'::regtype)
      order by 1`;
    lines = rows.map(({ name, message }) => `${name}: ${message}`);
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return lines;
}
