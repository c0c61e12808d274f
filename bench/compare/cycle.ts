import { cpuSeconds } from "../cpu.ts";
import { MusterCore } from "../muster-core.ts";
import { figureOf, ratioOf } from "../statistics.ts";
import type { Context } from "./context.ts";

const slices = 100;
const batch = 100;

/** Jobs that come and go without a pause, from an empty database on: does it get slower? */
export async function cycle(context: Context): Promise<void> {
  const jobs = context.sizes.cycled;
  await using muster = await MusterCore.create(context.cluster);
  const workers = await muster.createWorkers(2, batch);
  context.say(`${jobs} jobs in a cycle`);
  // Enough in the queue that no worker runs dry, and never more.
  const ahead = Math.min(10_000, jobs / 10);
  const rates: number[] = [];
  const cpu: number[] = [];
  let [since, used] = [performance.now(), await cpuSeconds(context.cluster.pid)];
  await muster.cycle(workers, { jobs, ahead, batch, slice: jobs / slices }, async () => {
    const [at, usedNow] = [performance.now(), await cpuSeconds(context.cluster.pid)];
    rates.push(jobs / slices / (at - since) * 1000);
    cpu.push((usedNow - used) * 1e6 / (jobs / slices));
    [since, used] = [at, usedNow];
    if (rates.length % 10 === 0) context.say(`${rates.length}%: ${rates.at(-1)!.toFixed(0)} jobs a second`);
  });
  const [first, last] = [rates.slice(0, slices / 10), rates.slice(-slices / 10)];
  const mean = (values: number[]) => values.length / values.reduce((sum, rate) => sum + 1 / rate, 0);
  context.add({
    id: "cycle",
    measure: `submit and drain, ${jobs} jobs cycled without a pause: last tenth against the first`,
    aim: { text: "≥ 0.9", atLeast: 0.9 },
    unit: "per second",
    figure: { ...figureOf(last), median: mean(last) },
    beside: { name: "first tenth", figure: { ...figureOf(first), median: mean(first) } },
    ratio: { ...ratioOf(last, first), median: mean(last) / mean(first) },
    note: `CPU of Postgres ${mean(cpu.slice(-slices / 10)).toFixed(0)} µs a job, ${
      mean(cpu.slice(0, slices / 10)).toFixed(0)
    } in the first tenth`,
  });
  context.draw({
    plot: "cycle",
    name: "Muster",
    points: rates.map((rate, slice) => [(slice + 1) * jobs / slices, rate]),
  });
}
