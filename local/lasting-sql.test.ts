import assert from "node:assert/strict";
import postgres from "postgres";
import { lasting, lastingWithoutArrays, transaction } from "./lasting-sql.ts";
import { silent } from "./log.ts";
import { startPostgres } from "./postgres.ts";
import { forgetData } from "./stack.ts";
import { until } from "./testing/wait.ts";

Deno.test("transaction() rejects when its connection is gone without a word, and the process and the pool live on", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-lasting-" });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  const sql = postgres(database.adminDbUrl, { ...lasting, max: 1, onnotice: () => {} });
  const broken = transaction(sql, async (tx) => {
    const [row] = await tx`select pg_backend_pid() as pid`;
    Deno.kill(row!.pid, "SIGKILL");
    await tx`select pg_sleep(60)`;
  });
  await assert.rejects(broken, { code: "CONNECTION_CLOSED" });
  await until("the pool answers again", async () => {
    const rows = await sql`select 1 as one`.catch(() => []);
    return rows.length === 1;
    // A connection that was spoilt by the rollback comes back, too, after many attempts that time out.
  }, 25_000);
  const failing = transaction(sql, (tx) => tx`select 1 / 0`);
  await assert.rejects(failing, { code: "22012" });
  assert.equal(await transaction(sql, async (tx) => (await tx`select 2 as two`)[0]!.two), 2);
  await sql.end();
  await database.stop();
  await forgetData(dataDir);
});

Deno.test("a client without arrays lives on when a connection is lost during its first query", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-lasting-" });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  const admin = postgres(database.adminDbUrl, { ...lasting, max: 1, onnotice: () => {} });
  const connection = { application_name: "first query" };
  const sql = postgres(database.adminDbUrl, { ...lastingWithoutArrays, max: 1, connection });
  await transaction(admin, async (tx) => {
    await tx`lock table pg_catalog.pg_type in access exclusive mode`;
    const refused = assert.rejects(sql`select count(*) from pg_catalog.pg_type`);
    await until("the first query waits", async () => {
      await tx`select pg_stat_clear_snapshot()`;
      const ended = await tx`
        select pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
        where application_name = ${connection.application_name} and wait_event_type = 'Lock'`;
      return ended.length === 1;
    });
    await refused;
  });
  await until("it answers again", () => sql`select 1`.then(() => true, () => false));
  await sql.end();
  await admin.end();
  await database.stop();
  await forgetData(dataDir);
});
