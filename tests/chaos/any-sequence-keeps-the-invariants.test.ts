import assert from "node:assert/strict";
import fc from "fast-check";
import { createTenant, createWorker, type TestTenant } from "../support/actors.ts";
import { TestDatabase } from "../support/database.ts";
import { anyCommand, emptyModel, type Real } from "./model.ts";

const runs = 25;
const longest = 60;

Deno.test("no sequence of calls, lost answers and passing time breaks an invariant", async () => {
  await using db = await TestDatabase.create();
  const seed = Deno.env.get("MUSTER_TEST_SEED");
  let previous: TestTenant | undefined;
  const property = fc.asyncProperty(
    fc.commands([...anyCommand], { maxCommands: longest, size: "max" }),
    async (commands) => {
      // What an earlier run left would only slow the tick down.
      if (previous) {
        await db.sql`delete from muster.jobs where tenant_id = ${previous.id}`;
        await db
          .sql`update muster.worker_devices set held_count = 0, status = 'offline' where tenant_id = ${previous.id}`;
      }
      const tenant = previous = await createTenant(db);
      await db.sql`update muster_private.scheduler_state set last_tick_at = (select at from muster_private.test_clock)`;
      await fc.asyncModelRun(async () => {
        const real: Real = {
          db,
          tenant,
          workers: [
            await createWorker(db, tenant, { slots: 2, listening: true }),
            await createWorker(db, tenant, { slots: 1 }),
          ],
        };
        return { model: emptyModel(real.workers.length), real };
      }, commands);
    },
  );
  // The report of a failure names the seed, the path to it and the shortest sequence found.
  const result = await fc.check(property, {
    numRuns: runs,
    interruptAfterTimeLimit: 60_000,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  });
  const why = result.errorInstance instanceof Error ? result.errorInstance.stack : String(result.errorInstance);
  assert.ok(!result.failed, `${fc.defaultReportMessage(result)}\n${why}`);
});
