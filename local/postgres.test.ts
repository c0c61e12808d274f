import assert from "node:assert/strict";
import postgres from "postgres";
import { silent } from "./log.ts";
import { startPostgres } from "./postgres.ts";
import { forgetData } from "./stack.ts";

Deno.test("startPostgres() tells Postgres what the caller sets in place of what the stack would", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-postgres-" });
  const settings = { work_mem: "7MB", fsync: "on" };
  const database = await startPostgres({ dataDir, port: 0, ephemeral: true, settings, log: silent });
  const sql = postgres(database.adminDbUrl, { max: 1 });
  try {
    const rows = await sql`
      select name, current_setting(name) as value from unnest(array['work_mem', 'fsync', 'wal_level']) name`;
    assert.deepEqual(rows.map(({ name, value }) => [name, value]), [
      ["work_mem", "7MB"],
      ["fsync", "on"],
      ["wal_level", "logical"],
    ]);
  } finally {
    await sql.end();
    await database.stop();
    await forgetData(dataDir);
  }
});
