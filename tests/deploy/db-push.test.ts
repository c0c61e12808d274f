import assert from "node:assert/strict";
import { join } from "node:path";
import type postgres from "postgres";
import { allFiles } from "../check/source-files.ts";
import { until } from "../support/database.ts";
import { databaseUrl, openDatabase, remoteFlag } from "./database.ts";
import { createEmptyProject } from "./empty-project.ts";
import { copyProject } from "./project-copy.ts";
import { startSupabase, supabaseOk } from "./supabase-cli.ts";

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

Deno.test({ name: "db push again changes nothing", ignore }, async () => {
  await using project = await copyProject();
  await using empty = await createEmptyProject();
  const push = () => supabaseOk(project.root, ["db", "push", "--yes", remoteFlag(empty.url)]);
  await push();
  const before = await catalog(empty.sql);
  assert.ok(before.length > 100);
  const { stdout } = await push();
  assert.match(stdout, /up to date/);
  assert.deepEqual(await catalog(empty.sql), before);
});

Deno.test(
  { name: "db push that is killed in the middle of a migration resumes with that migration", ignore },
  async () => {
    await using project = await copyProject();
    await using empty = await createEmptyProject();
    const { sql } = empty;
    const pushing = ["db", "push", "--yes", remoteFlag(empty.url)];

    // The migration of artifacts makes a bucket: it gets as far as that.
    const holding = await sql.reserve();
    await holding`begin`;
    await holding`lock table storage.buckets in exclusive mode`;
    const cli = await startSupabase(project.root, pushing);
    await until(async () => (await waiting(sql)).length > 0, "the push waits for the bucket", 120_000);
    await cli.kill();
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres' and datname = current_database()`;
    await until(async () => (await waiting(sql)).length === 0, "its connection is gone");
    await holding`rollback`;
    holding.release();

    const applied = await history(sql);
    const files = (await allFiles(join(project.root, "migrations"), [".sql"])).map((file) => file.split("_")[0]!);
    assert.deepEqual(applied, files.slice(0, applied.length));
    const next = (await allFiles(join(project.root, "migrations"), [".sql"]))[applied.length]!;
    assert.match(next, /_artifacts\.sql$/);
    const [half] = await sql`select to_regprocedure('muster.create_artifact(jsonb,jsonb)') as found`;
    assert.equal(half!.found, null, "nothing of the migration that was cut off is there");

    await supabaseOk(project.root, pushing);
    assert.deepEqual(await history(sql), files);
    const [whole] = await sql`select to_regprocedure('muster.create_artifact(jsonb,jsonb)') as found`;
    assert.notEqual(whole!.found, null);
  },
);

async function waiting(sql: postgres.Sql): Promise<unknown[]> {
  return [
    ...await sql`
    select from pg_locks l join pg_stat_activity a using (pid)
    where a.datname = current_database() and a.usename = 'postgres' and not l.granted`,
  ];
}

async function history(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql`select version from supabase_migrations.schema_migrations order by version`;
  return rows.map(({ version }) => version);
}

/** Every object of ours, by its identity and the transaction that last changed it. */
async function catalog(sql: postgres.Sql): Promise<unknown[]> {
  const rows = await sql`
    select 'relation' as kind, oid::bigint, xmin::text from pg_class
    where relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace)
    union all
    select 'function', oid::bigint, xmin::text from pg_proc
    where pronamespace in ('muster'::regnamespace, 'muster_private'::regnamespace)
    union all
    select 'policy', oid::bigint, xmin::text from pg_policy
    union all
    select 'migration', version::bigint, xmin::text from supabase_migrations.schema_migrations
    order by 1, 2`;
  return [...rows];
}
