import { parseArgs } from "node:util";
import type postgres from "postgres";
import { succeeded } from "../tests/support/actors.ts";
import { service, TestDatabase } from "../tests/support/database.ts";
import { laptopSettings, startCluster } from "./bench-cluster.ts";
import { cpuSeconds } from "./cpu.ts";
import { fillFleet, type Fleet, fleetWorker } from "./fill-fleet.ts";
import { useRealClock } from "./muster-core.ts";
import { percentile } from "./statistics.ts";

const runs = 15;
const calls = 1000;

export type Tick = { milliseconds: number; answer: Record<string, number> };

/** What the tick and a worker's calls cost in SQL alone, with a large fleet and many jobs. */
export async function tick(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { workers: { type: "string", default: "10000" }, jobs: { type: "string", default: "1000000" } },
  });
  const size = { workers: Number(values.workers), jobs: Number(values.jobs) };
  const lost = Math.min(1000, size.workers / 10);
  await using cluster = await startCluster(laptopSettings);
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", cluster.adminUrl);
  await using db = await TestDatabase.create({ fresh: true });
  await useRealClock(db);
  const began = performance.now();
  const fleet = await fillFleet(db, size);
  console.log(`
${size.workers} workers, ${size.jobs} jobs: ${JSON.stringify(fleet.counts)}
(filled in ${((performance.now() - began) / 1000).toFixed(0)} s; Postgres with 48 MB of shared buffers, fsync off)

| ${"milliseconds".padEnd(60)} | median |    min |    max | runs |
| ${"-".repeat(60)} | -----: | -----: | -----: | ---: |`);

  await db.call(service, "tick");
  const idle = await repeat(() => rolledBack(db, () => Promise.resolve()));
  tell("tick with nothing to do", idle.flat().map(({ milliseconds }) => milliseconds));

  for (const who of ["waiting", "assigned"] as const) {
    const what = { waiting: "that wait for a free slot", assigned: "that idle workers take at once" }[who];
    // A full worker holds two jobs, so half as many of them hold as many jobs.
    const ids = who === "waiting" ? fleet.fullIds.slice(0, lost) : fleet.halfIds.slice(0, lost);
    const ticks = await repeat(() => rolledBack(db, (sql) => silence(sql, ids)));
    const held = who === "waiting" ? 2 * lost : lost;
    tell(`${lost} workers lost with ${held} jobs ${what}: tick`, ticks.flat().map((each) => each.milliseconds));
    tell("  all its ticks together", ticks.map((each) => each.reduce((sum, next) => sum + next.milliseconds, 0)));
    console.log(`    ${ticks[0]!.map(({ answer }) => JSON.stringify(answer)).join("\n    ")}`);
  }
  await measureCalls(db, cluster.pid, fleet);
  await measureDuringTick(db, fleet, lost);
}

export async function repeat<T>(act: () => Promise<T>): Promise<T[]> {
  // The first fills the caches of the connection.
  await act();
  const results: T[] = [];
  for (let n = 0; n < runs; n++) results.push(await act());
  return results;
}

/** Ticks until one finds nothing more, and undoes it all. */
export async function rolledBack(db: TestDatabase, arrange: (sql: postgres.Sql) => Promise<void>): Promise<Tick[]> {
  const ticks: Tick[] = [];
  const undo = new Error("Undo");
  await db.sql.begin(async (tx) => {
    const sql = tx as unknown as postgres.Sql;
    await arrange(sql);
    for (let isIdle = false; !isIdle;) {
      const began = performance.now();
      const { ran: _, ...answer } = await db.callIn(sql, service, "tick");
      const milliseconds = performance.now() - began;
      isIdle = Object.values(answer).every((count) => count === 0);
      // The one that finds nothing more tells nothing about the work before.
      if (!isIdle || ticks.length === 0) ticks.push({ milliseconds, answer });
    }
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return ticks;
}

async function silence(sql: postgres.Sql, ids: string[]): Promise<void> {
  await sql`update muster.worker_heartbeats set deadline_at = muster_private.now() - interval '1 second'
    where worker_id = any (${ids})`;
}

/** Each call in a transaction of its own, as the Data API makes them, over many workers in turn. */
async function measureCalls(db: TestDatabase, postmaster: number, fleet: Fleet): Promise<void> {
  const workers = (ids: string[]) => ids.slice(0, calls).map((id) => fleetWorker(db, fleet, id));
  const held = new Map<string, { job_id: string; attempt: number }[]>();
  for (const row of await db.sql`select worker_id, id, attempts from muster.jobs where status = 'running'`) {
    held.set(row.worker_id, [...held.get(row.worker_id) ?? [], { job_id: row.id, attempt: row.attempts }]);
  }
  const metrics = { running: 1, succeeded: 100, failed: 0, uptimeSeconds: 1000, memoryMb: 75 };
  const measure = async (title: string, acts: (() => Promise<unknown>)[]) => {
    const before = await rowsWritten(db);
    const cpu = await cpuSeconds(postmaster);
    const times: number[] = [];
    for (const act of acts) {
      const began = performance.now();
      await act();
      times.push(performance.now() - began);
    }
    const used = (await cpuSeconds(postmaster) - cpu) * 1000 / acts.length;
    tell(title, times);
    console.log(
      `    ${used.toFixed(2)} ms of CPU in Postgres a call; rows written: ${await writtenSince(
        db,
        before,
        acts.length,
      )}`,
    );
  };
  await measure(
    "heartbeat of a busy worker",
    workers(fleet.halfIds).map((w) => () => w.heartbeat({ running: held.get(w.id), metrics, listening: true })),
  );
  await measure(
    "heartbeat of an idle worker that wants a job",
    workers(fleet.idleIds).map((w) => () => w.heartbeat({ metrics, listening: true, want: 2 })),
  );
  await measure("claim that finds nothing", workers(fleet.idleIds).map((w) => () => w.claim(2)));
  await measure(
    "complete one and claim the next of a backlog",
    workers(fleet.fullIds).map((w) => () => w.complete([succeeded(held.get(w.id)![0]!)], 1)),
  );
}

/** Idle and busy workers go on beating on connections of their own while a tick deals with the lost ones. */
async function measureDuringTick(db: TestDatabase, fleet: Fleet, lost: number): Promise<void> {
  const beat = async (ids: string[], want: number, signal: AbortSignal): Promise<number[]> => {
    const times: number[] = [];
    for (let n = 0; !signal.aborted; n++) {
      const began = performance.now();
      await fleetWorker(db, fleet, ids[n % ids.length]!).heartbeat({ listening: true, want });
      times.push(performance.now() - began);
    }
    return times;
  };
  const around = async (title: string, act: () => Promise<unknown>) => {
    const done = new AbortController();
    const beats = [beat(fleet.idleIds.slice(-1000), 2, done.signal), beat(fleet.idleIds.slice(-1000), 0, done.signal)];
    await act();
    done.abort();
    const [wanting, others] = await Promise.all(beats);
    tell(`${title}: heartbeat that wants a job`, wanting!);
    tell(`${title}: heartbeat that does not`, others!);
  };
  await around("two seconds without a tick", () => new Promise((resolve) => setTimeout(resolve, 2000)));
  await silence(db.sql, fleet.halfIds.slice(-lost));
  await around(`tick with ${lost} lost`, async () => {
    for (let found = 1; found > 0;) {
      const answer = await db.call(service, "tick");
      found = answer.lost_workers + answer.assigned_jobs;
    }
  });
}

async function rowsWritten(db: TestDatabase): Promise<Map<string, number>> {
  await db.sql`select pg_stat_force_next_flush()`;
  const rows = await db.sql`
    select relname, (n_tup_ins + n_tup_upd + n_tup_del)::integer as written from pg_stat_user_tables
    where schemaname in ('muster', 'muster_private', 'realtime')`;
  return new Map(rows.map((row) => [row.relname.replace(/_\d{4}_\d\d_\d\d$/, ""), row.written]));
}

async function writtenSince(db: TestDatabase, before: Map<string, number>, count: number): Promise<string> {
  // A session tells of its writes a second after it has ended its last transaction, at the latest.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const after = await rowsWritten(db);
  return [...after].map(([table, written]) => [table, (written - (before.get(table) ?? 0)) / count] as const)
    .filter(([, share]) => share >= 0.005).map(([table, share]) => `${table} ${share.toFixed(2)}`).join(", ") || "none";
}

function tell(title: string, milliseconds: readonly number[]): void {
  const cells = [percentile(milliseconds, 0.5), Math.min(...milliseconds), Math.max(...milliseconds)]
    .map((ms) => ms.toFixed(1).padStart(6));
  console.log(`| ${title.padEnd(60)} | ${cells.join(" | ")} | ${String(milliseconds.length).padStart(4)} |`);
}
