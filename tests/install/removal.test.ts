import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { applyPlatform } from "../../local/platform.ts";
import { removeCluster, startPostgres } from "../../local/postgres.ts";
import { remoteFlag } from "../deploy/database.ts";
import { type CliResult, supabase, supabaseOk } from "../deploy/supabase-cli.ts";
import { Queue } from "../support/pgmq.ts";
import { catalogOf } from "./catalog.ts";
import { TestProject } from "./project.ts";

Deno.test("Muster gets into a database after a project's own migrations, and remove.sql leaves nothing of it", async (test) => {
  // Later than any migration of Muster, as those of a project that is older than a release of Muster are.
  await using project = await TestProject.create({
    "supabase/migrations/20990101000000_ours.sql":
      "create schema ours;\ncreate table ours.notes (id int primary key);\n",
  });
  await using database = await startDatabase();
  const { dbUrl, adminDbUrl } = database;
  const cli = (...args: string[]): Promise<CliResult> => supabase(project.root, [...args, "--yes", remoteFlag(dbUrl)]);
  const run = async (statement: string) => {
    const sql = postgres(dbUrl, { max: 1, onnotice() {} });
    await sql.unsafe(statement).finally(() => sql.end());
  };
  const removal = ["db", "query", "--file", join(project.root, "supabase/muster/remove.sql")];

  await supabaseOk(project.root, ["db", "push", "--yes", remoteFlag(dbUrl)]);
  await run("insert into ours.notes values (1)");
  const before = await catalogOf(adminDbUrl);
  assert.equal((await project.install()).code, 0);

  await test.step("db push wants to be told that older migrations came", async () => {
    const { code, stdout, stderr } = await cli("db", "push");
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /--include-all/);
    const { code: included, stderr: complaints } = await cli("db", "push", "--include-all");
    assert.equal(included, 0, complaints);
    const { history } = await catalogOf(adminDbUrl);
    assert.ok(history!.length > 10);
  });

  await test.step("remove.sql does not drop what others have built on Muster", async () => {
    await run(
      "create view ours.watched as select id from muster.jobs; " +
        "create table ours.links (job uuid references muster.jobs (id));",
    );
    const { code, stdout, stderr } = await cli(...removal);
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /ours\.links.*ours\.watched|ours\.watched.*ours\.links/);
    await run("select from muster.jobs; drop view ours.watched; drop table ours.links;");
  });

  await test.step("remove.sql gives bridged queues back to their readers", async () => {
    const sql = postgres(dbUrl, { max: 1, onnotice() {} });
    try {
      const queue = await Queue.create(sql, "orders");
      const [tenant] = await sql`insert into muster.tenants (name) values ('lab') returning id`;
      const options = JSON.stringify({ tenant_id: tenant!.id });
      await queue.send("before");
      await sql`select muster.bridge_queue('orders', 'test', ${options}::text::jsonb)`;
      await sql`select muster.create_realtime_trigger('orders')`;
      await queue.send("after");
      assert.deepEqual(await queue.read(), []);
      // Removed in a transaction that is taken back: a schema of the test's own is not to be left either.
      const text = await Deno.readTextFile(join(project.root, "supabase/muster/remove.sql"));
      await sql.begin(async (tx) => {
        await tx.unsafe(text);
        await tx`select pgmq.send('orders', '"later"'::jsonb)`;
        const seen = await tx`select message from pgmq.read('orders', 30, 10) order by msg_id`;
        assert.deepEqual(seen.map(({ message }) => message), ["before", "after", "later"]);
        throw new Error("Undo");
      }).catch((error) => assert.equal(error.message, "Undo"));
      await sql`select muster.unbridge_queue('orders')`;
      await sql`drop schema pgmq cascade`;
    } finally {
      await sql.end();
    }
  });

  await test.step("remove.sql takes all of it out, however often", async () => {
    // On a project Storage does this: docs/guides/deploy.md.
    await run("delete from storage.buckets where id = 'muster-artifacts'");
    for (let time = 0; time < 2; time++) {
      const { code, stdout, stderr } = await cli(...removal);
      assert.equal(code, 0, stdout + stderr);
      const { schemas, ...after } = await catalogOf(adminDbUrl);
      const { schemas: schemasBefore, ...others } = before;
      assert.deepEqual(after, others);
      // Rights on schema public are the same; they are also written down role by role.
      const names = (list: readonly unknown[]) =>
        (list as { nspname: string; nspacl: string }[]).map((row) => row.nspname === "public" ? "public" : { ...row });
      assert.deepEqual(names(schemas!), names(schemasBefore!));
    }
    const sql = postgres(dbUrl, { max: 1 });
    const rights = await sql`select has_schema_privilege('public', 'public', 'usage') as open`.finally(() => sql.end());
    assert.equal(rights[0]!.open, true);
  });

  await test.step("what is left is a project as it was", async () => {
    assert.equal((await project.install("--remove")).code, 0);
    const { stdout } = await supabaseOk(project.root, ["db", "push", "--dry-run", "--yes", remoteFlag(dbUrl)]);
    assert.match(stdout, /up to date/);
    assert.equal((await project.install()).code, 0);
    assert.equal((await cli("db", "push", "--include-all")).code, 0);
  });
});

/** A cluster of its own, for roles belong to all databases of one. */
async function startDatabase(): Promise<AsyncDisposable & { dbUrl: string; adminDbUrl: string }> {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-install-" });
  if (Deno.build.os !== "windows") await Deno.chmod(dataDir, 0o711);
  const { dbUrl, adminDbUrl, stop } = await startPostgres({ dataDir, port: 0, ephemeral: true, log: () => {} });
  await applyPlatform(adminDbUrl);
  return {
    dbUrl,
    adminDbUrl,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await removeCluster(dataDir);
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}
