import { succeeded } from "../../tests/support/actors.ts";
import { fillRequirementSets } from "../fill-requirement-sets.ts";
import { multiplyJobs } from "../fill-jobs.ts";
import { type BenchWorker, MusterCore } from "../muster-core.ts";
import { figureOf, median, ratioOf } from "../statistics.ts";
import type { Context } from "./context.ts";
import type { Aim } from "./outcome.ts";

const batch = 100;
const flat: Aim = { text: "≤ 1.15", of: "ratio", atMost: 1.15 };

/** A database with something in it that should not matter. */
type Point = {
  id: string;
  about: string;
  muster: MusterCore;
  workers: BenchWorker[];
  claimer: BenchWorker;
  /** The last job in the queue, so that it is there still when what was taken is filled up. */
  model: string;
  claims: number[];
  rates: number[];
  /** Of Postgres, in microseconds a job drained. */
  cpu: number[];
};

/** Whether backlog, other people's jobs and history cost a claim or a drain anything. */
export async function growth(context: Context): Promise<void> {
  const { sizes } = context;
  await using stack = new AsyncDisposableStack();
  const points: Point[] = [];
  const add = async (id: string, about: string, queued: number, fill?: (point: Point) => Promise<void>) => {
    context.say(`filling: ${about}`);
    const point = await createPoint(stack.use(await MusterCore.create(context.cluster)), { id, about });
    await refill(point, queued);
    await fill?.(point);
    await context.vacuum(point.muster.db.url);
    points.push(point);
  };
  const [least, ...larger] = sizes.backlogs as [number, ...number[]];
  await add("base", `${count(least)} matching jobs queued`, least);
  for (const queued of larger) await add(`queued-${queued}`, `${count(queued)} matching jobs queued`, queued);
  for (const sets of sizes.requirementSets) {
    const about = `${count(sizes.others)} jobs that only others can do, in ${count(sets)} requirement set${
      sets === 1 ? "" : "s"
    }`;
    await add(`others-${sets}`, about, least, ({ muster }) => fillRequirementSets(muster, sizes.others, sets));
  }
  await add(
    "finished",
    `${count(sizes.finished)} finished jobs in the tables`,
    least,
    (point) => fillFinished(point, sizes.finished),
  );

  for (let round = 0; round <= sizes.runs; round++) {
    context.say(`growth, ${round === 0 ? "warming up" : `round ${round} of ${sizes.runs}`}`);
    // Another one goes first each time, as each leaves something for the next to find.
    const turn = round % points.length;
    for (const point of [...points.slice(turn), ...points.slice(0, turn)]) {
      const claims = await point.muster.claimOneByOne(point.claimer, sizes.growthClaims);
      let jobs = 0;
      const drained = await context.measure(async () => {
        const drained = await point.muster.drain(point.workers, batch, sizes.growthDrained);
        jobs = drained.jobs;
        return drained;
      });
      await refill(point, jobs + sizes.growthClaims);
      if (round === 0) continue;
      point.claims.push(median(claims));
      point.rates.push(jobs / drained.ms * 1000);
      point.cpu.push(drained.serverMicroseconds / jobs);
    }
  }
  const [base, ...others] = points as [Point, ...Point[]];
  for (const point of others) tell(context, point, base);
  drawGrowth(context, points);
}

async function refill(point: Point, jobs: number): Promise<void> {
  point.model = await multiplyJobs(point.muster.db, [point.model], jobs);
}

async function createPoint(muster: MusterCore, { id, about }: { id: string; about: string }): Promise<Point> {
  const workers = await muster.createWorkers(4, batch);
  const [claimer] = await muster.createWorkers(1, 256);
  await muster.submit(1);
  const [row] = await muster.db.sql`select id from muster.jobs where status = 'queued'`;
  return { id, about, muster, workers, claimer: claimer!, model: row!["id"], claims: [], rates: [], cpu: [] };
}

/** Jobs that came, were done and left what they leave. */
async function fillFinished({ muster }: Point, jobs: number): Promise<void> {
  const [worker] = await muster.createWorkers(1, 1, ["bench/finished"]);
  await muster.submit(1, { requires: ["bench/finished"] });
  const [assignment] = await worker!.claim(1);
  await worker!.complete([succeeded(assignment!, true)]);
  await multiplyJobs(muster.db, [assignment!.job_id], jobs);
}

function tell(context: Context, { id, about, claims, rates, cpu }: Point, base: Point): void {
  context.add(
    {
      ...{ id: `claim-${id}`, measure: `claim latency with ${about}`, aim: flat, unit: "ms" },
      figure: figureOf(claims),
      beside: { name: base.about, figure: figureOf(base.claims) },
      ratio: ratioOf(claims, base.claims),
    },
    {
      ...{ id: `drain-${id}`, measure: `drain rate with ${about}`, aim: flat, unit: "per second" },
      figure: figureOf(rates),
      beside: { name: base.about, figure: figureOf(base.rates) },
      // How many times slower.
      ratio: ratioOf(base.rates, rates),
      note: `CPU of Postgres ${median(cpu).toFixed(0)} µs a job, ${median(base.cpu).toFixed(0)} with ${base.about}`,
    },
  );
}

function drawGrowth(context: Context, points: readonly Point[]): void {
  const { backlogs, others, requirementSets } = context.sizes;
  const queued = points.slice(0, backlogs.length);
  context.draw(
    {
      plot: "claim",
      name: "Muster, claim of one job",
      points: queued.map(({ claims }, n) => [backlogs[n]!, median(claims)]),
    },
    {
      plot: "growth",
      name: "Muster, drain in batches of 100",
      points: queued.map(({ rates }, n) => [backlogs[n]!, median(rates)]),
    },
    ...requirementSets.map((sets) => ({
      plot: "others",
      name: `Muster, ${count(sets)} requirement set${sets === 1 ? "" : "s"}`,
      points: [points[0]!, points.find(({ id }) => id === `others-${sets}`)!]
        .map(({ rates }, n): [number, number] => [n === 0 ? 1 : others, median(rates)]),
    })),
  );
}

export function count(jobs: number): string {
  if (jobs >= 1_000_000 && jobs % 1_000_000 === 0) return `${jobs / 1_000_000} M`;
  return jobs >= 1000 && jobs % 1000 === 0 ? `${jobs / 1000} k` : String(jobs);
}
