import { type BenchWorker, MusterCore } from "../muster-core.ts";
import { Peer, type PeerName } from "../peers.ts";
import { figureOf, median, ratioOf } from "../statistics.ts";
import { type Context, perSecond, type Spent } from "./context.ts";

const batch = 100;
/** Tried before the runs; the best of them is what is measured. */
const workerCounts = [1, 2, 4, 8];

type System = {
  /** What a run hands in and does. */
  jobs: number;
  submit(): Promise<{ ms?: number; clientCpuMs?: number } | void>;
  drain(): Promise<{ ms?: number; clientCpuMs?: number } | void>;
  url: string;
  submitted: Spent[];
  drained: Spent[];
};

/** Submit and drain in SQL alone, beside the peers in theirs; also what a job writes to the WAL. */
export async function throughput(context: Context): Promise<void> {
  const { sizes } = context;
  await using stack = new AsyncDisposableStack();
  const muster = stack.use(await MusterCore.create(context.cluster));
  const workers = await muster.createWorkers(Math.max(...workerCounts), batch);
  const inBatches = await bestWorkers(context, muster, workers, batch, sizes.drained / 5);
  const oneByOne = await bestWorkers(context, muster, workers, 1, sizes.single / 5);

  const systems: Record<string, System> = {};
  const ours = (name: string, jobs: number, crew: readonly BenchWorker[], perCall: number) => {
    systems[name] = {
      ...{ jobs, url: muster.db.url, submitted: [], drained: [] },
      submit: async () => ({ ms: await muster.submit(jobs) }),
      drain: async () => {
        const drained = await drainAll(muster, crew, perCall, jobs);
        // What a job leaves for the tick is part of its cost, though nobody waits for it.
        await muster.settle();
        return drained;
      },
    };
  };
  ours("Muster, 100 a call", sizes.drained, inBatches, batch);
  ours("Muster, 1 a call", sizes.single, oneByOne, 1);
  for (const name of ["graphile batched", "graphile default", "pg-boss"] satisfies PeerName[]) {
    const jobs = name === "graphile default" ? sizes.single : sizes.drained;
    const url = await context.createDatabase(name.replace(/\W/g, "_"));
    const peer = stack.use(await Peer.start(name, url));
    systems[name] = {
      ...{ jobs, url, submitted: [], drained: [] },
      submit: () => peer.add(jobs, { batch: 1000 }),
      drain: () => peer.drain(jobs),
    };
  }

  // In turn, so that what else the machine does meets all alike; the first round fills caches.
  for (let round = 0; round <= sizes.runs; round++) {
    context.say(`submit and drain, ${round === 0 ? "warming up" : `round ${round} of ${sizes.runs}`}`);
    for (const system of Object.values(systems)) {
      const submitted = await context.measure(system.submit);
      await context.vacuum(system.url);
      const drained = await context.measure(system.drain);
      if (round === 0) continue;
      system.submitted.push(submitted);
      system.drained.push(drained);
    }
  }
  await tell(context, systems, [inBatches.length, oneByOne.length]);
}

async function tell(
  context: Context,
  systems: Record<string, System>,
  [many, few]: [many: number, few: number],
): Promise<void> {
  for (const [name, { jobs, submitted, drained }] of Object.entries(systems)) {
    // Both ways to drain are handed in alike.
    if (!name.endsWith(" 1 a call")) {
      const system = name.replace(/, .*/, "");
      context.cost(`submit, 1,000 a call: ${system}`, jobs, submitted);
      context.draw({
        plot: "submit",
        name: system,
        points: perSecond(jobs, submitted).map((rate, run) => [run, rate]),
      });
    }
    context.cost(`drain: ${name}`, jobs, drained);
    context.draw({ plot: "drain", name, points: perSecond(jobs, drained).map((rate, run) => [run, rate]) });
  }
  const rates = (name: string, what: "submitted" | "drained") => perSecond(systems[name]!.jobs, systems[name]![what]);
  const wal = (name: string) => {
    const { jobs, submitted, drained } = systems[name]!;
    return submitted.map(({ walBytes }, run) => (walBytes + drained[run]!.walBytes) / jobs);
  };
  const beside = (name: PeerName, values: number[]) => ({ name, figure: figureOf(values) });
  const [ours, batched] = ["Muster, 100 a call", "graphile batched"] as const;
  Object.assign(context.results.peers, { drain: rates(batched, "drained"), submit: rates(batched, "submitted") });
  await context.add(
    {
      id: "drain-batches",
      measure: "drain, SQL core called directly, batches of 100",
      aim: { text: "≥ 1.0 × graphile batched", of: "ratio", atLeast: 1 },
      unit: "per second",
      figure: figureOf(rates(ours, "drained")),
      beside: beside(batched, rates(batched, "drained")),
      ratio: ratioOf(rates(ours, "drained"), rates(batched, "drained")),
      note: `${many} workers, each on a connection; pg-boss ${median(rates("pg-boss", "drained")).toFixed(0)} a second`,
    },
    {
      id: "drain-single",
      measure: "drain, SQL core called directly, one job a call",
      aim: { text: "≥ 1.0 × graphile default", of: "ratio", atLeast: 1 },
      unit: "per second",
      figure: figureOf(rates("Muster, 1 a call", "drained")),
      beside: beside("graphile default", rates("graphile default", "drained")),
      ratio: ratioOf(rates("Muster, 1 a call", "drained"), rates("graphile default", "drained")),
      note: `${few} workers, each on a connection`,
    },
    {
      id: "submit-core",
      measure: "submit, SQL core called directly, 1,000 a call",
      aim: { text: "≥ 1.0 × graphile's add_jobs", of: "ratio", atLeast: 1 },
      unit: "per second",
      figure: figureOf(rates(ours, "submitted")),
      beside: beside(batched, rates(batched, "submitted")),
      ratio: ratioOf(rates(ours, "submitted"), rates(batched, "submitted")),
      note: `pg-boss ${median(rates("pg-boss", "submitted")).toFixed(0)} a second`,
    },
    {
      id: "wal",
      measure: "WAL a job, submit to success, in batches",
      aim: { text: "≤ 1.5 × graphile", of: "ratio", atMost: 1.5 },
      unit: "bytes",
      figure: figureOf(wal(ours)),
      beside: beside(batched, wal(batched)),
      ratio: ratioOf(wal(ours), wal(batched)),
      note: `pg-boss ${median(wal("pg-boss")).toFixed(0)} bytes`,
    },
  );
}

async function bestWorkers(
  context: Context,
  muster: MusterCore,
  workers: readonly BenchWorker[],
  perCall: number,
  jobs: number,
): Promise<readonly BenchWorker[]> {
  let best = { rate: 0, crew: workers };
  for (const count of workerCounts) {
    await muster.submit(jobs);
    await context.vacuum(muster.db.url);
    const crew = workers.slice(0, count);
    const { ms } = await drainAll(muster, crew, perCall, jobs);
    context.say(`drain by ${count} workers, ${perCall} a call: ${(jobs / ms * 1000).toFixed(0)} jobs a second`);
    if (jobs / ms > best.rate) best = { rate: jobs / ms, crew };
  }
  return best.crew;
}

async function drainAll(
  muster: MusterCore,
  workers: readonly BenchWorker[],
  perCall: number,
  jobs: number,
): Promise<{ ms: number }> {
  const drained = await muster.drain(workers, perCall);
  if (drained.jobs !== jobs) throw new Error(`Drained ${drained.jobs} of ${jobs} jobs`);
  return drained;
}
