import assert from "node:assert/strict";
import postgres from "postgres";
import { silent } from "./log.ts";
import { applyMigrations } from "./migrations.ts";
import { applyPlatform } from "./platform.ts";
import { startPostgres } from "./postgres.ts";
import { forgetData } from "./stack.ts";
import { makeProject } from "./testing/project.ts";
import { until } from "./testing/wait.ts";

// Waits for whoever holds the lock, in the middle of the migration.
const migration = `
create table public.first (n int);
select pg_advisory_xact_lock(1);
create table public.second (n int);
`;

Deno.test("applyMigrations() goes on when Postgres is killed in the middle", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-migrations-" });
  await using tiny = await makeProject({ "supabase/migrations/20260101000001_slow.sql": migration });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  await applyPlatform(database.adminDbUrl);
  const sql = postgres(database.dbUrl, { max: 1, onnotice: () => {} });
  await sql`select pg_advisory_lock(1)`;
  const killed = (async () => {
    await until("the migration waits", async () => {
      const waiting = await sql`select from pg_locks where locktype = 'advisory' and not granted`;
      return waiting.length === 1;
    });
    // The lock goes with the server.
    await database.restart("immediate");
  })();
  await applyMigrations({ project: tiny.path, dataDir, dbUrl: database.dbUrl, log: silent });
  await killed;
  const history = await sql`select name from supabase_migrations.schema_migrations order by version`;
  assert.deepEqual(history.map(({ name }) => name), ["tiny", "slow"]);
  await sql`select from public.first, public.second`;
  await sql.end();
  await database.stop();
  await forgetData(dataDir);
});

Deno.test("applyMigrations() says what a migration does wrong", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-migrations-" });
  await using tiny = await makeProject({ "supabase/migrations/20260101000001_wrong.sql": "select 1 / 0;" });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  await applyPlatform(database.adminDbUrl);
  const applied = applyMigrations({ project: tiny.path, dataDir, dbUrl: database.dbUrl, log: silent });
  await assert.rejects(applied, /Cannot migrate the database: [^]*division by zero/);
  await database.stop();
  await forgetData(dataDir);
});
