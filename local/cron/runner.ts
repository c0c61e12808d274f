import postgres from "postgres";
import { lastingWithoutArrays } from "../lasting-sql.ts";
import type { Log } from "../log.ts";
import { nextRun } from "./schedule.ts";

export type CronRunner = {
  /** Starts no job until `resume()`; resolves when what ran already has ended. */
  pause(): Promise<void>;
  /** A job that would have run meanwhile runs once, at once, where its schedule counts seconds. */
  resume(): void;
  stop(): Promise<void>;
};

type Job = { jobid: string; schedule: string; command: string; username: string; database: string; nodeport: number };
type Planned = { job: Job; lastRun: Date; timer: ReturnType<typeof setTimeout> | undefined; running: boolean };

/** The longest a timer waits before it looks again: a job further away is planned anew then. */
const longestWaitMs = 3_600_000;

/** Carries out the jobs of `cron.job` as their users and records each run, like the worker of pg_cron. */
export async function startCron(adminDbUrl: string, log: Log): Promise<CronRunner> {
  const sql = postgres(adminDbUrl, { ...lastingWithoutArrays, max: 2, onnotice: () => {} });
  const planned = new Map<string, Planned>();
  const runs = new Set<Promise<void>>();
  let stopped = false;
  let paused = false;

  // No run outlives the launcher, or the server that it ran on.
  await sql`${endRuns()} where status in ('starting', 'running')`;
  await sql.listen("muster_cron", lookAgain, () => {
    // At the first listen, and after a broken connection was made again.
    endRunsOfLastServer().catch((error) => log("cron", `cannot end the runs cut off: ${error.message}`));
    lookAgain();
  });

  function lookAgain(): void {
    readJobs().catch((error) => {
      if (!stopped) log("cron", `cannot read the jobs: ${error.message}`);
    });
  }

  function endRuns() {
    return sql`update cron.job_run_details
      set status = 'failed', return_message = 'server restarted', end_time = clock_timestamp()`;
  }

  async function endRunsOfLastServer(): Promise<void> {
    await sql`${endRuns()} where status in ('starting', 'running') and start_time < pg_postmaster_start_time()`;
  }

  async function readJobs(): Promise<void> {
    if (stopped) return;
    const jobs = await sql<Job[]>`
      select jobid, schedule, command, username, database, nodeport from cron.job
      where active and database = current_database()`;
    const ids = new Set(jobs.map(({ jobid }) => jobid));
    for (const [id, plan] of planned) {
      if (ids.has(id)) continue;
      clearTimeout(plan.timer);
      planned.delete(id);
    }
    for (const job of jobs) {
      const plan = planned.get(job.jobid);
      if (!plan) {
        planned.set(job.jobid, { job, lastRun: new Date(), timer: undefined, running: false });
        arm(planned.get(job.jobid)!);
      } else {
        const moved = plan.job.schedule !== job.schedule;
        plan.job = job;
        if (moved) arm(plan);
      }
    }
  }

  function arm(plan: Planned): void {
    clearTimeout(plan.timer);
    if (stopped || paused || plan.running || planned.get(plan.job.jobid) !== plan) return;
    const now = new Date();
    let due: Date | null;
    try {
      due = nextRun(plan.job.schedule, plan.lastRun, now);
    } catch (error) {
      log("cron", `job ${plan.job.jobid} has an invalid schedule "${plan.job.schedule}": ${(error as Error).message}`);
      return;
    }
    if (!due) return;
    const inMs = due.getTime() - now.getTime();
    plan.timer = inMs > longestWaitMs
      ? setTimeout(() => arm(plan), longestWaitMs)
      : setTimeout(() => start(plan), Math.max(0, inMs));
  }

  // One run of a job at a time: the next one is planned when this has ended.
  function start(plan: Planned): void {
    plan.running = true;
    plan.lastRun = new Date();
    const run = carryOut(plan.job)
      .catch((error) => {
        if (!stopped) log("cron", `job ${plan.job.jobid}: ${error.message}`);
      })
      .finally(() => {
        runs.delete(run);
        plan.running = false;
        arm(plan);
      });
    runs.add(run);
  }

  async function carryOut(job: Job): Promise<void> {
    // Its own connection: nothing that a command leaves behind reaches another. The role counts from the first moment,
    // so that one which was made anew is not the superuser's.
    const connection = postgres(adminDbUrl, {
      ...{ max: 1, prepare: false, fetch_types: false, onnotice: () => {} },
      connection: { role: job.username },
    });
    try {
      await connection.unsafe(`set session authorization "${job.username.replaceAll('"', '""')}"`);
      const [{ pid }] = await connection`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
      const [begun] = await sql`
        insert into cron.job_run_details (jobid, job_pid, database, username, command, status, start_time)
        values (${job.jobid}, ${pid}, ${job.database}, ${job.username}, ${job.command}, 'running', clock_timestamp())
        returning runid`;
      const outcome = await run(connection, job.command);
      await sql`
        update cron.job_run_details
        set status = ${outcome.ok ? "succeeded" : "failed"}, return_message = ${outcome.message},
            end_time = clock_timestamp()
        where runid = ${begun!.runid}`;
    } finally {
      await connection.end({ timeout: 1 });
    }
  }

  async function run(connection: postgres.Sql, command: string): Promise<{ ok: boolean; message: string }> {
    try {
      // Several statements give a list of results; the last one is told, as by pg_cron.
      const result: unknown = await connection.unsafe(command);
      const last = Array.isArray(result) && Array.isArray(result.at(-1)) ? result.at(-1) : result;
      return { ok: true, message: describe(last as Result) };
    } catch (error) {
      return { ok: false, message: `ERROR:  ${(error as Error).message}` };
    }
  }

  return {
    async pause() {
      paused = true;
      for (const { timer } of planned.values()) clearTimeout(timer);
      await Promise.allSettled(runs);
    },
    resume() {
      paused = false;
      for (const plan of planned.values()) arm(plan);
    },
    async stop() {
      stopped = true;
      for (const { timer } of planned.values()) clearTimeout(timer);
      // A run that takes longer is cut off; the next start marks it failed.
      await Promise.race([Promise.allSettled(runs), new Promise((resolve) => setTimeout(resolve, 500))]);
      await sql.end({ timeout: 1 });
    },
  };
}

type Result = { command?: string; count?: number | null; length: number };

// What pg_cron shows: the number of rows of a query, else the command tag.
function describe(result: Result): string {
  if (result.command === "SELECT") return `${result.length} row${result.length === 1 ? "" : "s"}`;
  if (result.command === "INSERT") return `INSERT 0 ${result.count ?? 0}`;
  return [result.command ?? "", result.count ?? ""].join(" ").trim();
}
