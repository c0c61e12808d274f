import { cpuSeconds } from "../cpu.ts";
import { MusterCore } from "../muster-core.ts";
import type { Figure } from "../statistics.ts";
import type { Context } from "./context.ts";

const batch = 100;

/** Part of a cycle: how long it took, and what Postgres used. */
type Slice = { seconds: number; cpuSeconds: number };

/** Jobs that come and go without a pause, from an empty database on: does it get slower? */
export async function cycle(context: Context): Promise<void> {
  const jobs = context.sizes.cycled;
  // Each of some tens of calls at least.
  const count = jobs >= 500_000 ? 100 : 20;
  const slice = jobs / count;
  await using muster = await MusterCore.create(context.cluster);
  const workers = await muster.createWorkers(2, batch);
  context.say(`${jobs} jobs in a cycle`);
  // Plans and caches are there when it begins.
  await muster.submit(2000);
  await muster.drain(workers, batch);

  const slices: Slice[] = [];
  let [since, used] = [performance.now(), await cpuSeconds(context.cluster.pid)];
  // Enough in the queue that no worker runs dry, and never more.
  const ahead = 5_000;
  await muster.cycle(workers, { jobs, ahead, batch, slice }, async () => {
    const [at, usedNow] = [performance.now(), await cpuSeconds(context.cluster.pid)];
    slices.push({ seconds: (at - since) / 1000, cpuSeconds: usedNow - used });
    [since, used] = [at, usedNow];
    if (slices.length % (count / 10) !== 0) return;
    context.say(
      `${100 * slices.length / count}%: ${(slice / slices.at(-1)!.seconds).toFixed(0)} jobs a second`,
    );
  });

  const [first, last] = [slices.slice(0, count / 10), slices.slice(-count / 10)];
  const [before, after] = [rateOf(first, slice), rateOf(last, slice)];
  const ratio = after.median / before.median;
  await context.add({
    id: "cycle",
    measure: `submit and drain, ${jobs} jobs cycled without a pause: last tenth against the first`,
    aim: { text: "≥ 0.9", of: "ratio", atLeast: 0.9 },
    unit: "per second",
    figure: after,
    beside: { name: "first tenth", figure: before },
    ratio: { median: ratio, min: ratio, max: ratio },
    note: `one cycle, ranges over its slices of ${slice} jobs; CPU of Postgres ${cpuOf(last, slice)} µs a job, ${
      cpuOf(first, slice)
    } in the first tenth`,
  });
  context.draw({
    ...{ plot: "cycle", name: "Muster" },
    points: slices.map(({ seconds }, n) => [(n + 1) * slice, slice / seconds]),
  });
}

/** Over all of them, with the slowest and the fastest. */
function rateOf(slices: readonly Slice[], jobs: number): Figure {
  const rates = slices.map(({ seconds }) => jobs / seconds);
  const whole = slices.length * jobs / slices.reduce((sum, { seconds }) => sum + seconds, 0);
  return { median: whole, min: Math.min(...rates), max: Math.max(...rates) };
}

function cpuOf(slices: readonly Slice[], jobs: number): string {
  return (slices.reduce((sum, slice) => sum + slice.cpuSeconds, 0) * 1e6 / slices.length / jobs).toFixed(0);
}
