import assert from "node:assert/strict";
import postgres from "postgres";
import { Queue } from "../support/pgmq.ts";
import { project } from "../support/project.ts";
import { createWorld, until } from "./world.ts";

Deno.test("messages of a bridged queue are worked off by real workers and archived, each once", async () => {
  const { tenantId, startWorker } = await createWorld();
  const sql = postgres(project.dbUrl, { max: 2, onnotice: () => {} });
  try {
    const queue = await Queue.create(sql);
    await using _pushed = await startWorker({ slots: 2 });
    await using _called = await startWorker({ slots: 2, args: ["--claim"] });
    await queue.send({ a: 0, b: 1 });
    const options = JSON.stringify({ tenant_id: tenantId, requires: ["compute/basic"], max_attempts: 1 });
    await sql`select muster.bridge_queue(${queue.name}, 'calc.add', ${options}::text::jsonb)`;
    await queue.send(...Array.from({ length: 20 }, (_, n) => ({ a: n, b: 1 })));
    await queue.send("no numbers");

    const archived = await until("all are archived", async () => {
      const messages = await queue.archived();
      return messages.length === 22 && messages;
    });
    assert.deepEqual(await queue.waiting(), []);
    assert.deepEqual(archived.map(({ headers }) => (headers!["muster"] as { status: string }).status), [
      ...Array.from({ length: 21 }, () => "succeeded"),
      "failed",
    ]);
    const rows = await sql`
      select payload, result, attempts from muster.jobs where tenant_id = ${tenantId} and status = 'succeeded'`;
    assert.equal(rows.length, 21);
    for (const { payload, result, attempts } of rows) {
      assert.deepEqual([result, attempts], [{ sum: payload.a + payload.b }, 1]);
    }
    await sql`select muster.unbridge_queue(${queue.name})`;
  } finally {
    await sql.end();
  }
});
