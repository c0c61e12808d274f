import { submit } from "../../tests/support/actors.ts";
import { service, TestDatabase } from "../../tests/support/database.ts";
import { fillFleet } from "../fill-fleet.ts";
import { useRealClock } from "../muster-core.ts";
import { figureOf } from "../statistics.ts";
import { repeat, rolledBack } from "../tick.ts";
import type { Context } from "./context.ts";

/** What a large fleet costs while nothing happens, and what it costs to ask why a job waits. */
export async function control(context: Context): Promise<void> {
  const { tickWorkers, tickJobs, explainWorkers } = context.sizes;
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", context.cluster.adminUrl);
  {
    context.say(`filling: ${tickWorkers} workers, ${tickJobs} jobs`);
    await using db = await fleetDatabase(tickWorkers, tickJobs);
    await db.call(service, "tick");
    context.say("tick");
    const ticks = await repeat(() => rolledBack(db, () => Promise.resolve()));
    context.add({
      id: "tick",
      measure: `tick with ${tickWorkers} workers and nothing to do, ${tickJobs} jobs in the tables`,
      aim: { text: "≤ 50 ms", of: "figure", atMost: 50 },
      unit: "ms",
      figure: figureOf(ticks.flat().map(({ milliseconds }) => milliseconds)),
    });
  }
  context.say("explain");
  await using db = await TestDatabase.create();
  context.add({
    id: "explain",
    measure: `explain over ${explainWorkers} workers`,
    aim: { text: "≤ 100 ms", of: "figure", atMost: 100 },
    unit: "ms",
    ...await explain(db, explainWorkers),
  });
}

async function fleetDatabase(workers: number, jobs: number): Promise<TestDatabase> {
  const db = await TestDatabase.create();
  await useRealClock(db);
  await fillFleet(db, { workers, jobs });
  return db;
}

async function explain(db: TestDatabase, workers: number) {
  const [there] = await db.sql`
    select from pg_proc where pronamespace = 'muster'::regnamespace and proname = 'explain_job'`;
  if (there === undefined) return { figure: null, note: "not there yet: there is no muster.explain_job()" };
  await useRealClock(db);
  const { tenant } = await fillFleet(db, { workers, jobs: 10 * workers });
  const [job] = await submit(db, tenant, { requires: ["compute/basic", "gpu/cuda"], labels: { room: "lab" } });
  const times = await repeat(async () => {
    const began = performance.now();
    await db.call(service, "explain_job", { caller: tenant.caller, job_id: job.id });
    return performance.now() - began;
  });
  return { figure: figureOf(times) };
}
