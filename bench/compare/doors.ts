import postgres from "postgres";
import type { LocalStack } from "../../local/stack.ts";
import type { MusterClient } from "../../worker/index.ts";
import { startBenchStack } from "../bench-stack.ts";
import { createTenant } from "../bench-tenant.ts";
import { cpuSeconds } from "../cpu.ts";
import { Holder } from "../holder.ts";
import { measureLatency, withWorker } from "../latency.ts";
import { listenNotify } from "../listen-notify.ts";
import { distributionOf, type Figure, figureOf, median, percentile, ratioOf } from "../statistics.ts";
import type { Context } from "./context.ts";

const slots = 100;
const crowd = 10;

/** The same through the public doors: a local stack, whose Postgres has the same settings, and real workers. */
export async function doors(context: Context): Promise<void> {
  context.say("starting a local stack");
  await using stack = await startBenchStack({ postgresSettings: context.settings });
  const sql = postgres(stack.adminDbUrl, { max: 2, onnotice: () => {} });
  try {
    const { app, token } = await createTenant(stack);
    // Counted as always, and never refused.
    await sql`insert into muster.tenant_limits (tenant_id, api_key_rate, api_key_burst, worker_rate, worker_burst)
      select id, 100000, 100000, 100000, 100000 from muster.tenants`;
    await oneAtATime(context, stack, sql, app, token);
    await manyAtOnce(context, stack, sql, app, token);
    await saturated(context, stack, sql, app, token);
  } finally {
    await sql.end();
  }
}

/** An idle worker that listens, and one job after the other. */
async function oneAtATime(
  ...[context, stack, sql, app, token]: [Context, LocalStack, postgres.Sql, MusterClient, string]
): Promise<void> {
  const { runs, samples } = context.sizes;
  const rounds: { floor: number[]; started: number[]; messages: number }[] = [];
  await withWorker(stack, token, [], async () => {
    await measureLatency(app, 1, 20);
    for (let round = 1; round <= runs; round++) {
      context.say(`one job at a time, round ${round} of ${runs}`);
      const floor = await listenNotify(stack.dbUrl, samples);
      const before = await messages(sql);
      const { started } = await measureLatency(app, samples, 0);
      rounds.push({ floor, started, messages: (await messages(sql) - before) / samples });
    }
    return {};
  });
  const p50 = (of: "floor" | "started") => rounds.map((round) => percentile(round[of], 0.5));
  const bound = 5 * median(p50("floor")) + 10;
  await context.add({
    id: "latency",
    measure: "submit → handler start, idle worker, through function and Realtime, p50",
    aim: { text: `≤ 5 × the LISTEN/NOTIFY floor + 10 ms (${bound.toFixed(1)} ms)`, of: "figure", atMost: bound },
    unit: "ms",
    figure: figureOf(p50("started")),
    beside: { name: "LISTEN/NOTIFY, there and back", figure: figureOf(p50("floor")) },
    note: `p95 ${percentile(rounds.flatMap(({ started }) => started), 0.95).toFixed(1)} ms`,
  }, {
    id: "messages-idle",
    measure: "Realtime messages a job, one at a time to an idle worker",
    aim: { text: "≤ 2", of: "figure", atMost: 2 },
    unit: "messages",
    figure: figureOf(rounds.map((round) => round.messages)),
  });
  for (
    const [name, of] of [["LISTEN/NOTIFY, there and back", "floor"], [
      "Muster, submit → handler start",
      "started",
    ]] as const
  ) {
    context.draw({ plot: "latency", name, points: distributionOf(rounds.flatMap((round) => round[of])) });
  }
}

/** Batches through the function `jobs`, and one worker script that does them, a hundred at a time. */
async function manyAtOnce(
  ...[context, stack, sql, app, token]: [Context, LocalStack, postgres.Sql, MusterClient, string]
): Promise<void> {
  const { runs, throughDoors } = context.sizes;
  const [submitted, drained, cpu]: [number[], number[], string[]] = [[], [], []];
  for (let round = 0; round <= runs; round++) {
    context.say(`through function and Data API, ${round === 0 ? "warming up" : `round ${round} of ${runs}`}`);
    const [row] = await sql`select last_value::integer as at from muster.job_positions`;
    const began = performance.now();
    const last = await submit(app, throughDoors);
    const rate = throughDoors / (performance.now() - began) * 1000;
    await sql`vacuum (analyze)`;
    const before = await partsCpu(stack);
    await withWorker(stack, token, ["--slots", String(slots)], async () => {
      await untilDone(sql, last);
      return {};
    });
    const after = await partsCpu(stack);
    const [times] = await sql`
      select count(*)::integer as jobs, extract(epoch from max(finished_at) - min(started_at))::float8 as seconds
      from muster.jobs where position > ${row!["at"]} and status = 'succeeded'`;
    if (times!["jobs"] !== throughDoors) throw new Error(`Did ${times!["jobs"]} of ${throughDoors} jobs`);
    if (round === 0) continue;
    submitted.push(rate);
    drained.push(throughDoors / times!["seconds"]);
    cpu.push(
      Object.keys(after).map((part) => `${part} ${((after[part]! - before[part]!) * 1e6 / throughDoors).toFixed(0)}`)
        .join(", "),
    );
  }
  await context.add({
    id: "submit-function",
    measure: "submit through the function, 1,000 a call",
    aim: { text: "≥ 0.3 × graphile's add_jobs", of: "ratio", atLeast: 0.3 },
    unit: "per second",
    figure: figureOf(submitted),
    ...against(submitted, context.peerRates("submit"), "graphile batched"),
  }, {
    id: "drain-data-api",
    measure: "drain through the Data API by one worker process, batches of 100",
    aim: { text: "≥ 0.5 × graphile batched", of: "ratio", atLeast: 0.5 },
    unit: "per second",
    figure: figureOf(drained),
    ...against(drained, context.peerRates("drain"), "graphile batched"),
    note: `CPU in µs a job: ${cpu.at(-1)}`,
  });
}

/** More work than idle workers, over and over: each gets its next job with the answer to the last. */
async function saturated(
  ...[context, stack, sql, app, token]: [Context, LocalStack, postgres.Sql, MusterClient, string]
): Promise<void> {
  const { runs, throughDoors } = context.sizes;
  const jobs = Math.min(throughDoors, 2000);
  const holder = new Holder({ name: "crowd", url: stack.url, token, holds: false });
  try {
    await holder.tell({ kind: "start", count: crowd, perSecond: 10 });
    await until(async () => {
      const [row] = await sql`select count(*)::integer as workers from muster.worker_devices
        where status = 'online' and listening and not deaf`;
      return row!["workers"] === crowd;
    });
    const figures: number[] = [];
    for (let round = 1; round <= runs; round++) {
      context.say(`${jobs} jobs at once for ${crowd} workers, round ${round} of ${runs}`);
      const before = await messages(sql);
      await untilDone(sql, await submit(app, jobs));
      figures.push((await messages(sql) - before) / jobs);
    }
    await context.add({
      id: "messages-saturated",
      measure: `Realtime messages a job, saturated: ${jobs} jobs at once for ${crowd} workers`,
      aim: { text: "≤ 0.05", of: "figure", atMost: 0.05 },
      unit: "messages",
      figure: figureOf(figures),
    });
  } finally {
    await holder.kill();
  }
}

function against(ours: readonly number[], theirs: readonly number[] | undefined, name: string): {
  beside?: { name: string; figure: Figure };
  ratio?: Figure;
} {
  return theirs === undefined ? {} : { beside: { name, figure: figureOf(theirs) }, ratio: ratioOf(ours, theirs) };
}

/** Answers the ids of the last batch: those that are done last. */
async function submit(app: MusterClient, jobs: number): Promise<string[]> {
  let last: string[] = [];
  for (let first = 0; first < jobs; first += 1000) {
    const size = Math.min(1000, jobs - first);
    const made = await app.submitMany(Array.from({ length: size }, () => ({ type: "bench.now" })));
    last = made.map(({ job }) => job.id);
  }
  return last;
}

async function untilDone(sql: postgres.Sql, ids: readonly string[]): Promise<void> {
  await until(async () => {
    const [row] = await sql`select exists (
      select from muster.jobs where id = any (${ids as string[]}::uuid[]) and finished_at is null) as is_left`;
    return !row!["is_left"];
  });
}

async function messages(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`select count(*)::integer as sent from realtime.messages`;
  return row!["sent"];
}

async function partsCpu(stack: LocalStack): Promise<Record<string, number>> {
  const parts = ["postgres", "lite", "gateway", "realtime"] as const;
  return Object.fromEntries(
    await Promise.all(parts.map(async (part) => [part, await cpuSeconds(stack.pids[part])] as const)),
  );
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 600_000; !await condition();) {
    if (performance.now() > deadline) throw new Error("Waited ten minutes in vain");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
