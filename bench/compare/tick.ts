import { service, TestDatabase } from "../../tests/support/database.ts";
import { fillFleet } from "../fill-fleet.ts";
import { useRealClock } from "../muster-core.ts";
import { figureOf } from "../statistics.ts";
import { repeat, rolledBack } from "../tick.ts";
import type { Context } from "./context.ts";

/** What a large fleet costs while nothing happens. */
export async function tick(context: Context): Promise<void> {
  const { tickWorkers: workers, tickJobs: jobs } = context.sizes;
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", context.cluster.adminUrl);
  context.say(`filling: ${workers} workers, ${jobs} jobs`);
  await using db = await TestDatabase.create({ fresh: true });
  await useRealClock(db);
  await fillFleet(db, { workers, jobs });
  await db.call(service, "tick");
  context.say("tick");
  const ticks = await repeat(() => rolledBack(db, () => Promise.resolve()));
  await context.add({
    id: "tick",
    measure: `tick with ${workers} workers and nothing to do, ${jobs} jobs in the tables`,
    aim: { text: "≤ 50 ms", of: "figure", atMost: 50 },
    unit: "ms",
    figure: figureOf(ticks.flat().map(({ milliseconds }) => milliseconds)),
  });
}
