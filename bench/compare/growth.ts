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

/** Whether a longer queue costs a claim or a drain anything. */
export async function queued(context: Context): Promise<void> {
  const { backlogs } = context.sizes;
  const [base, ...larger] = backlogs.map((jobs) => ({ id: `queued-${jobs}`, about: queue(jobs), queued: jobs }));
  await compareGrowth(context, base!, larger, (points) => {
    const line = (of: "claims" | "rates") =>
      points.map((point, n): [number, number] => [backlogs[n]!, median(point[of])]);
    context.draw(
      { plot: "claim", name: "Muster, claim of one job", points: line("claims") },
      { plot: "growth", name: "Muster, drain in batches of 100", points: line("rates") },
    );
  });
}

/** Whether jobs that only others can do cost anything. */
export async function others(context: Context): Promise<void> {
  const { backlogs, others: jobs, requirementSets } = context.sizes;
  const least = backlogs[0]!;
  const fillings = requirementSets.map((sets): Filling => ({
    id: `others-${sets}`,
    about: `${count(jobs)} jobs that only others can do, in ${setsOf(sets)}`,
    queued: least,
    fill: ({ muster }) => fillRequirementSets(muster, jobs, sets),
  }));
  await compareGrowth(context, { id: "base", about: queue(least), queued: least }, fillings, ([base, ...points]) => {
    context.draw(...points.map(({ rates }, n) => ({
      plot: "others",
      name: `Muster, ${setsOf(requirementSets[n]!)}`,
      points: [[1, median(base!.rates)], [jobs, median(rates)]] as [number, number][],
    })));
  });
}

/** Whether what has been costs anything. */
export async function finished(context: Context): Promise<void> {
  const { backlogs, finished: jobs } = context.sizes;
  const least = backlogs[0]!;
  await compareGrowth(context, { id: "base", about: queue(least), queued: least }, [{
    id: "finished",
    about: `${count(jobs)} finished jobs in the tables`,
    queued: least,
    fill: (point) => fillFinished(context, point, jobs),
  }]);
}

type Filling = {
  id: string;
  about: string;
  /** Jobs that its workers can do. */
  queued: number;
  /** What should not matter. */
  fill?: (point: Point) => Promise<void>;
};

/** The points take turns, and are held against the base, which is beside them in each round. */
async function compareGrowth(
  context: Context,
  base: Filling,
  others: readonly Filling[],
  draw: (points: Point[]) => void = () => {},
): Promise<void> {
  const { sizes } = context;
  await using stack = new AsyncDisposableStack();
  const points: Point[] = [];
  // Each in a database of its own, so they are filled side by side.
  const left = [base, ...others].map((filling, n) => ({ ...filling, n }));
  const fill = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const { id, about, queued, fill, n } = next;
      context.say(`filling: ${about}`);
      const point = await createPoint(stack.use(await MusterCore.create(context.cluster)), { id, about });
      await refill(point, queued);
      await fill?.(point);
      await context.vacuum(point.muster.db.url);
      points[n] = point;
    }
  };
  await Promise.all([fill(), fill()]);

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
  draw(points);
  for (const point of points.slice(1)) await tell(context, point, points[0]!);
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
async function fillFinished(context: Context, { muster }: Point, jobs: number): Promise<void> {
  const [worker] = await muster.createWorkers(1, 1, ["bench/finished"]);
  await muster.submit(1, { requires: ["bench/finished"] });
  const [assignment] = await worker!.claim(1);
  await worker!.complete([succeeded(assignment!, true)]);
  await multiplyJobs(muster.db, [assignment!.job_id], jobs, (made) => {
    if (made % 1_000_000 === 0) context.say(`${count(made)} finished jobs`);
  });
}

async function tell(context: Context, { id, about, claims, rates, cpu }: Point, base: Point): Promise<void> {
  await context.add(
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

function queue(jobs: number): string {
  return `${count(jobs)} matching jobs queued`;
}

function setsOf(sets: number): string {
  return `${count(sets)} requirement set${sets === 1 ? "" : "s"}`;
}

function count(jobs: number): string {
  if (jobs >= 1_000_000 && jobs % 1_000_000 === 0) return `${jobs / 1_000_000} M`;
  return jobs >= 1000 && jobs % 1000 === 0 ? `${jobs / 1000} k` : String(jobs);
}
