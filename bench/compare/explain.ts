import { TestDatabase } from "../../tests/support/database.ts";
import { explainCases, fillUnlikeWorkers, timeExplanation } from "../explain.ts";
import { useRealClock } from "../muster-core.ts";
import { type Figure, figureOf } from "../statistics.ts";
import type { Context } from "./context.ts";

/** What it costs to ask why a job waits: of several kinds of jobs, the one that costs most counts. */
export async function explain(context: Context): Promise<void> {
  const workers = context.sizes.explainWorkers;
  context.say(`explain over ${workers} workers`);
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", context.cluster.adminUrl);
  await using db = await TestDatabase.create({ fresh: true });
  await useRealClock(db);
  const tenant = await fillUnlikeWorkers(db, workers);
  const figures: [what: string, figure: Figure][] = [];
  for (const [what, job] of Object.entries(explainCases)) {
    figures.push([what, figureOf(await timeExplanation(db, tenant, job))]);
  }
  figures.sort(([, a], [, b]) => b.median - a.median);
  const [[worst, figure], ...others] = figures as [[string, Figure], ...[string, Figure][]];
  await context.add({
    id: "explain",
    measure: `explain over ${workers} unlike workers`,
    aim: { text: "≤ 100 ms", of: "figure", atMost: 100 },
    unit: "ms",
    figure,
    note: `for a job that asks for ${worst}; ${
      others.map(([what, { median }]) => `${median.toFixed(1)} ms for ${what}`).join(", ")
    }`,
  });
}
