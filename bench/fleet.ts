import { parseArgs } from "node:util";
import postgres from "postgres";
import type { LocalStack } from "../local/stack.ts";
import { defaultLimits } from "../local/realtime/limits.ts";
import { startBenchStack } from "./bench-stack.ts";
import { createTenant } from "./bench-tenant.ts";
import { cpuSeconds } from "./cpu.ts";
import type { HolderReport } from "./fleet-protocol.ts";
import { Holder } from "./holder.ts";
import { memoryOf } from "./memory.ts";
import { percentile } from "./statistics.ts";
import type { MusterClient } from "../worker/index.ts";

const perHolder = 250;
const idleSeconds = 15;
const single = 100;
/** A session of Postgres that does nothing tells what it has written after so long, at the latest. */
const statisticsSeconds = 11;

/** Many real workers against one local stack: what their heartbeats cost, and how they fare when things break. */
export async function fleet(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workers: { type: "string", default: "1000" },
      seconds: { type: "string", default: "60" },
      storms: { type: "string", default: "3" },
      joins: { type: "string", default: String(defaultLimits.maxJoinsPerSecond) },
    },
  });
  const count = Number(values.workers);
  const victims = Math.ceil(count / 10);
  const maxJoinsPerSecond = Number(values.joins);
  // Each worker joins two channels, and shall not meet the limit yet.
  const perSecond = Math.min(20, maxJoinsPerSecond / 3);
  await using stack = await startBenchStack({
    // The service would let in 200 sockets. Joins and presence calls stay limited as they are there.
    realtime: { limits: { maxConnectedUsers: 4 * count, maxMessagesPerSecond: 1_000_000, maxJoinsPerSecond } },
  });
  const sql = postgres(stack.adminDbUrl, { max: 2, onnotice: () => {} });
  const { app, token } = await createTenant(stack);
  const holders: Holder[] = [];
  const hold = (name: string, holds: boolean): Holder => {
    const holder = new Holder({ ...{ name, url: stack.url, token, holds } });
    holders.push(holder);
    return holder;
  };
  try {
    console.log(`\n${count} workers, ${perHolder} a process at most; ${victims} of them hold a job for good`);
    const atRest = await measureCpu(stack, () => pause(idleSeconds));

    const began = performance.now();
    const joining: HolderReport[] = [];
    const doomed = hold("doomed", true);
    joining.push(await doomed.tell({ kind: "start", count: victims, perSecond }));
    await listeners(sql, victims);
    const held = await submit(app, victims, "bench.hold");
    await until(async () => (await sql`select from muster.jobs where status = 'running'`).length === victims);
    for (let left = count - victims; left > 0; left -= perHolder) {
      const holder = hold(`group-${holders.length}`, false);
      joining.push(await holder.tell({ kind: "start", count: Math.min(left, perHolder), perSecond }));
    }
    await listeners(sql, count);
    joining.push(...await reports(holders));
    console.log(`started and listening after ${seconds(performance.now() - began)}`);
    tellFrames("while they joined", joining, count);
    const { resident } = await memoryOf(holders.map(({ pid }) => pid));
    console.log(`memory: ${(resident / count).toFixed(1)} MB a worker`);

    await measureBeats(stack, sql, holders, { seconds: Number(values.seconds), count, atRest });
    await measureMessages(sql, app, holders, count);
    await measureVanishing(doomed, holders.filter((holder) => holder !== doomed), held);
    holders.shift();
    const left = count - victims;
    await until(async () => (await online(sql)) === left);
    for (let n = 1; n <= Number(values.storms); n++) await measureStorm(stack, sql, holders, left, n);
  } finally {
    for (const holder of holders) await holder.kill();
    await sql.end();
  }
}

/** What the whole fleet does when most of it is idle and nothing happens. */
async function measureBeats(
  stack: LocalStack,
  sql: postgres.Sql,
  holders: Holder[],
  { seconds, count, atRest }: { seconds: number; count: number; atRest: Record<string, number> },
): Promise<void> {
  await pause(statisticsSeconds);
  await reports(holders);
  const before = await tables(sql);
  const cpu = await measureCpu(stack, () => pause(seconds));
  const counted = await reports(holders);
  const written = difference(before, await tables(sql));
  const calls = sums(counted.map((report) => report.calls));
  const beats = calls.heartbeat ?? 0;
  console.log(`\nin ${seconds} s without new work`);
  console.log(`heartbeats: ${(beats / seconds).toFixed(1)} a second, ${(beats / seconds / count).toFixed(3)} a worker`);
  console.log(`calls: ${JSON.stringify(calls)}`);
  for (const [name, used] of Object.entries(cpu)) {
    const more = used - atRest[name]!;
    console.log(
      `CPU of ${name}: ${(100 * used).toFixed(1)}% of a core (${(100 * atRest[name]!).toFixed(1)}% without workers), ` +
        `${(1000 * more * seconds / beats).toFixed(2)} ms more a heartbeat`,
    );
  }
  console.log(
    `rows written a heartbeat: ${
      Object.entries(written).map(([table, rows]) => [table, rows / beats] as const).filter(([, rows]) => rows >= 0.005)
        .map(([table, rows]) => `${table} ${rows.toFixed(2)}`).join(", ")
    }`,
  );
  tellFrames("meanwhile", counted, count);
}

/** How many messages a job takes: one at a time to an idle fleet, and in a burst of five for each worker. */
async function measureMessages(sql: postgres.Sql, app: MusterClient, holders: Holder[], count: number): Promise<void> {
  const measure = async (title: string, jobs: number, act: () => Promise<unknown>) => {
    await reports(holders);
    const before = await messages(sql);
    const began = performance.now();
    await act();
    const tookMs = performance.now() - began;
    const sent = difference(before, await messages(sql));
    console.log(
      `\n${title}: ${(jobs / tookMs * 1000).toFixed(0)} jobs a second; messages a job: ${
        Object.entries(sent).map(([event, number]) => `${event} ${(number / jobs).toFixed(3)}`).join(", ")
      }`,
    );
    tellFrames("meanwhile", await reports(holders), count);
  };
  await measure(`${single} jobs, one after the other`, single, async () => {
    for (let n = 0; n < single; n++) await app.wait((await submit(app, 1, "bench.now"))[0]!, { timeoutSeconds: 60 });
  });
  const jobs = 5 * count;
  await measure(`${jobs} jobs at once`, jobs, async () => {
    await submit(app, jobs, "bench.now");
    await until(async () =>
      (await sql`select from muster.jobs where type = 'bench.now' and finished_at is null limit 1`).length === 0
    );
    const failed = await sql`select error ->> 'code' as code, count(*)::integer as jobs from muster.jobs
      where type = 'bench.now' and status <> 'succeeded' group by 1`;
    for (const { code, jobs } of failed) console.log(`${jobs} jobs failed: ${code}`);
  });
}

/** A process with a tenth of the fleet is killed, while each of its workers holds a job. */
async function measureVanishing(doomed: Holder, others: Holder[], jobs: readonly string[]): Promise<void> {
  await reports(others);
  const killed = performance.timeOrigin + performance.now();
  await doomed.kill();
  const times = new Map<string, number>();
  await until(async () => {
    for (const report of await reports(others)) {
      for (const { jobId, at } of report.started) if (!times.has(jobId)) times.set(jobId, at - killed);
    }
    return jobs.every((jobId) => times.has(jobId));
  });
  console.log(
    `\n${jobs.length} workers vanish at once; until their jobs start elsewhere: ${spread([...times.values()])}`,
  );
}

/** Realtime is killed and started again; all workers have to find their way back. */
async function measureStorm(
  stack: LocalStack,
  sql: postgres.Sql,
  holders: Holder[],
  count: number,
  run: number,
): Promise<void> {
  await reports(holders);
  const before = await messages(sql);
  const killed = performance.timeOrigin + performance.now();
  Deno.kill(stack.pids.realtime, "SIGKILL");
  const seen: HolderReport[] = [];
  let listened: number[] = [];
  const cpu = await measureCpu(stack, () =>
    until(async () => {
      const now = await reports(holders);
      seen.push(...now);
      listened = now.flatMap((report) => report.listened).filter((at) => at > killed);
      return listened.length >= count;
    }));
  seen.push(...await reports(holders));
  const joined = seen.flatMap((report) => report.joined);
  const lasted = (Math.max(...listened) - killed) / 1000;
  const bySecond = new Map<number, number>();
  for (const at of joined) {
    bySecond.set(Math.floor((at - killed) / 1000), (bySecond.get(Math.floor((at - killed) / 1000)) ?? 0) + 1);
  }
  console.log(`
restart ${run} of Realtime: listening again after ${spread(listened.map((at) => at - killed))}
joins: ${joined.length}, ${(joined.length / lasted).toFixed(0)} a second on average, ${
    Math.max(...bySecond.values())
  } in the fullest
lost: ${JSON.stringify(sums(seen.map((report) => report.lost)))}
calls: ${JSON.stringify(sums(seen.map((report) => report.calls)))}
messages: ${JSON.stringify(difference(before, await messages(sql)))}
CPU: ${Object.entries(cpu).map(([name, used]) => `${name} ${(100 * used).toFixed(0)}%`).join(", ")} of a core`);
  tellFrames("meanwhile", seen, count);
}

async function submit(app: MusterClient, count: number, type: string): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const size = Math.min(1000, count - ids.length);
    const jobs = await app.submitMany(Array.from({ length: size }, () => ({ type, requires: ["bench/fleet"] })));
    ids.push(...jobs.map(({ job }) => job.id));
  }
  return ids;
}

async function online(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`select count(*)::integer as workers from muster.worker_devices
    where status = 'online' and listening and not deaf`;
  return row!.workers;
}

async function listeners(sql: postgres.Sql, count: number): Promise<void> {
  await until(async () => await online(sql) === count);
}

function reports(holders: readonly Holder[]): Promise<HolderReport[]> {
  return Promise.all(holders.map((holder) => holder.tell({ kind: "report" })));
}

/** Rows written by table, as Postgres counts them. */
async function tables(sql: postgres.Sql): Promise<Record<string, number>> {
  const rows = await sql`
    select relname, (n_tup_ins + n_tup_upd + n_tup_del)::integer as written from pg_stat_user_tables
    where schemaname in ('muster', 'muster_private', 'realtime')`;
  return Object.fromEntries(rows.map((row) => [row.relname, row.written]));
}

async function messages(sql: postgres.Sql): Promise<Record<string, number>> {
  const rows = await sql`select event, count(*)::integer as sent from realtime.messages group by event`;
  return Object.fromEntries(rows.map((row) => [row.event, row.sent]));
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]).filter(([, value]) =>
      value !== 0
    ),
  );
}

function sums(all: readonly Record<string, number>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const each of all) for (const [name, value] of Object.entries(each)) total[name] = (total[name] ?? 0) + value;
  return total;
}

/** Cores used on average by the parts of the stack while something happens. */
async function measureCpu(stack: LocalStack, act: () => Promise<unknown>): Promise<Record<string, number>> {
  const began = performance.now();
  const parts = ["postgres", "lite", "realtime", "gateway"] as const;
  const used = async () =>
    await Promise.all(parts.map(async (part) => [part, await cpuSeconds(stack.pids[part])] as const));
  const before = Object.fromEntries(await used());
  await act();
  const lasted = (performance.now() - began) / 1000;
  // A part that was started again in between counts from nothing.
  return Object.fromEntries(
    (await used()).map(([part, after]) => [part, (after - (after < before[part]! ? 0 : before[part]!)) / lasted]),
  );
}

function tellFrames(when: string, all: readonly HolderReport[], count: number): void {
  const frames = all.flatMap((report) => Object.entries(report.frames));
  const names = [...new Set(frames.map(([name]) => name))].sort();
  console.log(
    `frames that arrived ${when}, a worker: ${
      names.map((name) => {
        const of = frames.filter(([event]) => event === name).map(([, each]) => each);
        const total = (field: "count" | "bytes") => of.reduce((sum, each) => sum + each[field], 0);
        return `${name} ${(total("count") / count).toFixed(1)} (${(total("bytes") / count / 1024).toFixed(1)} KiB)`;
      }).join(", ")
    }`,
  );
}

function spread(milliseconds: readonly number[]): string {
  const at = (share: number) => seconds(percentile(milliseconds, share));
  return `p50 ${at(0.5)}, p95 ${at(0.95)}, max ${at(1)}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 600_000; !await condition(); await pause(0.25)) {
    if (performance.now() > deadline) throw new Error("Waited ten minutes in vain");
  }
}
