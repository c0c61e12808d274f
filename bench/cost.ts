import { parseArgs } from "node:util";
import postgres from "postgres";
import { sleep } from "../shared/sleep.ts";
import type { MusterClient } from "../worker/index.ts";
import { startBenchStack } from "./bench-stack.ts";
import { createTenant } from "./bench-tenant.ts";
import type { HolderReport } from "./fleet-protocol.ts";
import { Holder } from "./holder.ts";
import {
  difference,
  naiveDesigns,
  nothing,
  secondsPerMonth,
  sum,
  type Tally,
  times,
  usageOf,
} from "./monthly-usage.ts";
import { monthlyPrice, type Usage } from "./price-list.ts";

/** Headers of an HTTP answer as the hosted platform sends them, about; bodies and frames are counted. */
const headerBytes = 700;
const perHolder = 250;

/**
 * Counts what a fleet and its jobs use of what Supabase charges for, idle, in steady work and in a burst, and reckons a
 * month of it: with 1,000 workers and a million jobs, beside the obvious designs.
 */
export async function cost(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workers: { type: "string", default: "200" },
      seconds: { type: "string", default: "660" },
      jobs: { type: "string", default: "300" },
      burst: { type: "string", default: "10000" },
    },
  });
  const workers = Number(values.workers);
  const seconds = Number(values.seconds);
  await using stack = await startBenchStack({
    realtime: { limits: { maxConnectedUsers: 4 * workers, maxMessagesPerSecond: 1_000_000 } },
  });
  const sql = postgres(stack.adminDbUrl, { max: 1, onnotice: () => {} });
  const calls = new AppCalls();
  const { app, token } = await createTenant(stack, calls.fetch);
  const holders: Holder[] = [];
  const count = async (act: () => Promise<void>): Promise<Tally> => {
    const stored = await storedBytes(sql);
    const sent = await sentMessages(sql);
    await Promise.all(holders.map((holder) => holder.tell({ kind: "report" })));
    calls.take();
    await act();
    const reports = await Promise.all(holders.map((holder) => holder.tell({ kind: "report" })));
    const grown = await storedBytes(sql) - stored;
    const messages = await sentMessages(sql) - sent;
    return sum({ ...tallyOf(reports), storedBytes: grown }, { ...calls.take(), messages });
  };
  try {
    for (let left = workers; left > 0; left -= perHolder) {
      const holder = new Holder({ name: `group-${holders.length}`, url: stack.url, token, holds: false });
      holders.push(holder);
      await holder.tell({ kind: "start", count: Math.min(left, perHolder), perSecond: 20 });
    }
    await until(async () =>
      (await sql`select from muster.worker_devices where status = 'online' and listening and not deaf`)
        .length === workers
    );
    console.log(`${workers} workers listen; they are left alone for ${seconds} s`);
    const idle = times(await count(() => sleep(seconds * 1000)), 1 / seconds / workers);

    const steadyJobs = Number(values.jobs);
    const steady = await perJob(count, idle, workers, steadyJobs, async () => {
      for (let n = 0; n < steadyJobs; n++) {
        const { id } = await app.submit(job());
        await app.wait(id, { timeoutSeconds: 60 });
      }
    });
    const burstJobs = Number(values.burst);
    const burst = await perJob(count, idle, workers, burstJobs, () => submitBurst(app, sql, burstJobs));
    report({ idle, steady, burst });
  } finally {
    for (const holder of holders) await holder.kill();
    await sql.end();
  }
}

function job() {
  return { type: "bench.now", requires: ["bench/fleet"], payload: { text: "x".repeat(200) } };
}

async function submitBurst(app: MusterClient, sql: postgres.Sql, jobs: number): Promise<void> {
  const ids: string[] = [];
  while (ids.length < jobs) {
    const batch = Array.from({ length: Math.min(1000, jobs - ids.length) }, job);
    ids.push(...(await app.submitMany(batch)).map(({ job }) => job.id));
  }
  await until(async () => (await sql`select from muster.jobs where finished_at is null limit 1`).length === 0);
}

/** What jobs use, without what the fleet would have used anyway in that time. */
async function perJob(
  count: (act: () => Promise<void>) => Promise<Tally>,
  idle: Tally,
  workers: number,
  jobs: number,
  act: () => Promise<void>,
): Promise<Tally> {
  const began = performance.now();
  const counted = await count(act);
  const lasted = (performance.now() - began) / 1000;
  return times(difference(counted, { ...times(idle, workers * lasted), storedBytes: 0 }), 1 / jobs);
}

/** What the app's own calls come to. */
class AppCalls {
  #tally = nothing;

  readonly fetch: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    const { byteLength } = await answer.clone().arrayBuffer();
    const call = { ...nothing, functionCalls: 1, egressBytes: byteLength + headerBytes };
    this.#tally = sum(this.#tally, call);
    return answer;
  };

  take(): Tally {
    const taken = this.#tally;
    this.#tally = nothing;
    return taken;
  }
}

function tallyOf(reports: readonly HolderReport[]): Tally {
  return reports.map((report) => {
    const calls = Object.entries(report.calls);
    const of = (isFunction: boolean) =>
      calls.filter(([name]) => name.startsWith("/functions/") === isFunction).reduce((all, [, n]) => all + n, 0);
    const frames = Object.values(report.frames);
    return {
      functionCalls: of(true),
      sqlCalls: of(false),
      // Sent by workers, and received by them; what the database sent is counted there.
      messages: (report.sent["presence"] ?? 0) + (report.sent["broadcast"] ?? 0) +
        ["broadcast", "presence_state", "presence_diff"].reduce((all, n) => all + (report.frames[n]?.count ?? 0), 0),
      egressBytes: report.answeredBytes + headerBytes * (of(true) + of(false)) +
        frames.reduce((all, { bytes }) => all + bytes, 0),
      storedBytes: 0,
    };
  }).reduce(sum, nothing);
}

/** Tables and indexes that last; messages of Realtime are dropped after three days. */
async function storedBytes(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`
    select sum(pg_total_relation_size(c.oid))::float8 as bytes from pg_class c
    where c.relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace) and c.relkind = 'r'`;
  return row!.bytes;
}

async function sentMessages(sql: postgres.Sql): Promise<number> {
  const [row] = await sql`select count(*)::integer as sent from realtime.messages`;
  return row!.sent;
}

function report({ idle, steady, burst }: Record<"idle" | "steady" | "burst", Tally>): void {
  const day = times(idle, 86_400);
  console.log(`
|  | function calls | SQL calls | Realtime messages | egress | database |
| --- | ---: | ---: | ---: | ---: | ---: |
${row("an idle worker, a day", { ...day, storedBytes: 0 })}
${row("a job in steady work", steady)}
${row("a job in a burst", burst)}
`);
  const workers = 1000;
  const jobs = 1_000_000;
  const fleet = { ...times(idle, workers * secondsPerMonth), storedBytes: 0 };
  const months: [string, Tally, number][] = [
    ["1,000 workers, idle", fleet, workers],
    ["1,000 workers, a million jobs one by one", sum(fleet, times(steady, jobs)), workers],
    ["1,000 workers, a million jobs in bursts", sum(fleet, times(burst, jobs)), workers],
    [
      "10 workers, a million jobs in bursts",
      sum({ ...times(idle, 10 * secondsPerMonth), storedBytes: 0 }, times(burst, jobs)),
      10,
    ],
  ];
  const beats = idle.sqlCalls * workers * secondsPerMonth;
  for (const { name, month } of naiveDesigns) months.push([name, month({ workers, jobs, beats }), workers]);
  console.log(`| a month of | function calls | Realtime messages | connections | egress | database | dollars |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
${months.map(([name, tally, connections]) => monthRow(name, usageOf(tally, connections))).join("\n")}`);
}

function row(name: string, { functionCalls, sqlCalls, messages, egressBytes, storedBytes }: Tally): string {
  // What the idle fleet used meanwhile was taken off, so that nothing may come out a little below it.
  const round = (value: number) => Math.max(0, value).toFixed(value < 10 ? 3 : 0);
  const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
  return `| ${name} | ${round(functionCalls)} | ${round(sqlCalls)} | ${round(messages)} | ${kilobytes(egressBytes)} | ${
    kilobytes(storedBytes)
  } |`;
}

function monthRow(name: string, usage: Usage): string {
  const millions = (value: number) => `${(value / 1e6).toFixed(value < 1e7 ? 2 : 0)} M`;
  return `| ${name} | ${millions(usage.functionInvocations)} | ${
    millions(usage.realtimeMessages)
  } | ${usage.peakConnections} | ${usage.egressGigabytes.toFixed(1)} GB | ${usage.diskGigabytes.toFixed(1)} GB | ${
    monthlyPrice(usage).toLocaleString("en-US")
  } |`;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 600_000; !await condition(); await sleep(250)) {
    if (performance.now() > deadline) throw new Error("Waited ten minutes in vain");
  }
}
