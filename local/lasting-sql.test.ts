import assert from "node:assert/strict";
import postgres from "postgres";
import { lasting, transaction } from "./lasting-sql.ts";
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
