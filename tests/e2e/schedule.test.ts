import assert from "node:assert/strict";
import postgres from "postgres";
import { project } from "../support/project.ts";
import { createWorld, until } from "./world.ts";

Deno.test("a schedule that is due is run by the tick, and its job by a worker, once", async () => {
  const { app, startWorker } = await createWorld();
  await using _worker = await startWorker({});
  const schedule = await app.schedules.create({
    name: "sums",
    cron: "@yearly",
    job: { type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"] },
  });
  const before = schedule.nextRunAt;
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    // Its year goes by at once.
    await sql`update muster.schedules set next_run_at = now() where id = ${schedule.id}`;
  } finally {
    await sql.end();
  }
  await until(
    "the tick has run the schedule",
    async () => (await app.schedules.get(schedule.id)).lastJobId ?? undefined,
  );
  const { lastJobId, runCount, nextRunAt } = await app.schedules.get(schedule.id);
  assert.deepEqual([runCount, nextRunAt], [1, before]);
  const job = await app.wait(lastJobId!, { timeoutSeconds: 60 });
  assert.deepEqual([job.status, job.result], ["succeeded", { sum: 5 }]);
  const { jobs } = await app.list({ correlationId: `schedule:${schedule.id}` });
  assert.deepEqual(jobs.map(({ id }) => id), [job.id]);
});
