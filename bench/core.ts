import process from "node:process";
import { parseArgs } from "node:util";
import { serverSettings, startCluster } from "./bench-cluster.ts";
import { cpuSeconds } from "./cpu.ts";
import { type BenchWorker, MusterCore } from "./muster-core.ts";
import { percentile } from "./statistics.ts";

/** The scheduling core in SQL alone, for who works on it: submit and drain, with what a job costs Postgres in CPU. */
export async function core(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      jobs: { type: "string", default: "10000" },
      singles: { type: "string", default: "2000" },
      workers: { type: "string", default: "4" },
      runs: { type: "string", default: "3" },
      // Something worth looking at afterwards, such as pg_stat_user_functions with --set track_functions=all.
      sql: { type: "string" },
      set: { type: "string", multiple: true, default: [] },
    },
  });
  const [jobs, singles, workerCount] = [Number(values.jobs), Number(values.singles), Number(values.workers)];
  const extra = Object.fromEntries(values.set.map((each) => each.split("=", 2) as [string, string]));
  await using cluster = await startCluster({ ...serverSettings, ...extra });
  await using muster = await MusterCore.create(cluster);
  const workers = await muster.createWorkers(workerCount, 100);
  console.log(`
${workerCount} workers, a connection each; medians of ${values.runs} runs after one to warm up, ranges in parentheses

| ${"".padEnd(34)} | ${"jobs a second".padEnd(24)} | ${"Postgres CPU µs a job".padEnd(24)} | client CPU µs a job |
| ${"-".repeat(34)} | ${"-".repeat(24)} | ${"-".repeat(24)} | ------------------: |`);

  const phases: Record<string, { jobs: number; act: () => Promise<void> }> = {
    "submit, 1,000 a call": { jobs, act: async () => void await muster.submit(jobs) },
    "drain, 100 a call": { jobs, act: () => drainAll(muster, workers, 100, jobs) },
    "submit, 1 a call": {
      jobs: singles,
      act: async () => void await muster.submit(singles, { batch: 1, connections: workerCount }),
    },
    "drain, 1 a call": { jobs: singles, act: () => drainAll(muster, workers, 1, singles) },
  };
  const figures = new Map(Object.keys(phases).map((name) => [name, [] as [number, number, number][]]));
  for (let run = -1; run < Number(values.runs); run++) {
    for (const [name, phase] of Object.entries(phases)) {
      const [server, client, began] = [await cpuSeconds(cluster.pid), process.cpuUsage(), performance.now()];
      await phase.act();
      const seconds = (performance.now() - began) / 1000;
      const { user, system } = process.cpuUsage(client);
      const microseconds = (await cpuSeconds(cluster.pid) - server) * 1e6;
      if (run < 0) continue;
      figures.get(name)!.push([
        phase.jobs / seconds,
        microseconds / phase.jobs,
        (user + system) / phase.jobs,
      ]);
    }
  }
  for (const [name, runs] of figures) {
    const [rate, server, client] = [0, 1, 2].map((column) => runs.map((run) => run[column]!));
    console.log(
      `| ${name.padEnd(34)} | ${spread(rate!).padEnd(24)} | ${spread(server!).padEnd(24)} | ${
        percentile(client!, 0.5).toFixed(0).padStart(19)
      } |`,
    );
  }
  if (values.sql) console.table([...await muster.db.sql.unsafe(values.sql)]);
}

async function drainAll(
  muster: MusterCore,
  workers: readonly BenchWorker[],
  batch: number,
  jobs: number,
): Promise<void> {
  const drained = await muster.drain(workers, batch);
  if (drained.jobs !== jobs) throw new Error(`Drained ${drained.jobs} of ${jobs} jobs`);
}

function spread(values: readonly number[]): string {
  const [median, least, most] = [percentile(values, 0.5), Math.min(...values), Math.max(...values)];
  return `${median.toFixed(0)} (${least.toFixed(0)} to ${most.toFixed(0)})`;
}
