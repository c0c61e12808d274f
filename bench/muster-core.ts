import postgres from "postgres";
import { createTenant, createWorker, type TestTenant, type TestWorker } from "../tests/support/actors.ts";
import { type Actor, service, TestDatabase } from "../tests/support/database.ts";
import type { BenchCluster } from "./bench-cluster.ts";

/** pg_cron runs the tick as often. */
const tickEveryMs = 3000;

/** Whoever is measured makes more calls than a worker or an app may: they are counted as always, and never refused. */
const wideLimits = { worker: 100_000, apiKey: 100_000, waitingJobs: 100_000_000 };

export type Drained = { jobs: number; ms: number };

/**
 * Muster's functions in a database of their own, called the way the Data API calls them, but over connections that stay
 * open: as the role, with the claims of a worker's token, each call a transaction.
 */
export class MusterCore implements AsyncDisposable {
  readonly db: TestDatabase;
  readonly tenant: TestTenant;

  private constructor(db: TestDatabase, tenant: TestTenant) {
    this.db = db;
    this.tenant = tenant;
  }

  static async create({ adminUrl }: BenchCluster): Promise<MusterCore> {
    Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", adminUrl);
    const db = await TestDatabase.create();
    await useRealClock(db);
    return new MusterCore(db, await createWideTenant(db));
  }

  /** Workers with as many slots as a call hands over; they ask for what they get, so nothing is pushed to them. */
  createWorkers(count: number, slots: number, capabilities = ["compute/basic"]): Promise<TestWorker[]> {
    return Promise.all(
      Array.from({ length: count }, () => createWorker(this.db, this.tenant, { slots, capabilities })),
    );
  }

  /** Hands in jobs by an app's key, `batch` a call, over `connections` at once; answers how long that took. */
  async submit(jobs: number, { batch = 1000, connections = 1, requires = ["compute/basic"] } = {}): Promise<number> {
    const senders = await Promise.all(Array.from({ length: connections }, () => this.connect(service)));
    const caller = JSON.stringify(this.tenant.caller);
    try {
      let sent = 0;
      const began = performance.now();
      await Promise.all(senders.map(async (sql) => {
        while (sent < jobs) {
          const [first, size] = [sent, Math.min(batch, jobs - sent)];
          sent += size;
          const items = Array.from(
            { length: size },
            (_, n) => ({ type: "bench", requires, payload: { id: first + n } }),
          );
          await sql.unsafe("select muster.submit_jobs($1::text::jsonb, $2::text::jsonb) as answer", [
            caller,
            JSON.stringify(items),
          ], { prepare: true });
        }
      }));
      return performance.now() - began;
    } finally {
      await Promise.all(senders.map((sql) => sql.end()));
    }
  }

  /** All queued jobs, done by these workers, each over a connection of its own: `batch` ended and claimed a call. */
  async drain(workers: readonly TestWorker[], batch: number): Promise<Drained> {
    const connections = await Promise.all(workers.map(({ actor }) => this.connect(actor)));
    const stop = this.startTicks();
    try {
      let jobs = 0;
      const began = performance.now();
      await Promise.all(connections.map(async (sql) => {
        for (let results: unknown[] = [];;) {
          const answer = await complete(sql, results, batch);
          jobs += results.length;
          if (answer.jobs.length === 0) return;
          results = answer.jobs.map(({ job_id, attempt }) => ({ job_id, attempt, status: "succeeded", result: true }));
        }
      }));
      return { jobs, ms: performance.now() - began };
    } finally {
      await stop();
      await Promise.all(connections.map((sql) => sql.end()));
    }
  }

  /** A connection on which each statement is a transaction of the actor's. */
  async connect(actor: Actor): Promise<postgres.Sql> {
    const sql = postgres(this.db.url, { max: 1, onnotice: () => {} });
    await sql.unsafe(`set role ${actor.role}`);
    await sql`select set_config('request.jwt.claims', ${JSON.stringify(actor.claims ?? {})}, false)`;
    return sql;
  }

  /** Calls the tick as pg_cron does, until the answered function is called. */
  startTicks(): () => Promise<void> {
    const stopping = new AbortController();
    const ticking = (async () => {
      while (!stopping.signal.aborted) {
        await this.db.call(service, "tick");
        await pause(tickEveryMs, stopping.signal);
      }
    })();
    return async () => {
      stopping.abort();
      await ticking;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.db[Symbol.asyncDispose]();
  }
}

async function complete(sql: postgres.Sql, results: unknown[], want: number) {
  const [row] = await sql.unsafe("select muster.complete_jobs($1::text::jsonb, $2) as answer", [
    JSON.stringify(results),
    want,
  ], { prepare: true });
  const { outcomes, jobs } = row!["answer"] as {
    outcomes: { outcome: string }[];
    jobs: { job_id: string; attempt: number }[];
  };
  const refused = outcomes.find(({ outcome }) => outcome !== "accepted");
  if (refused) throw new Error(`A result was not accepted: ${JSON.stringify(refused)}`);
  return { jobs };
}

/** Tests hold the clock still; here it goes. */
export async function useRealClock(db: TestDatabase): Promise<void> {
  await db.sql.unsafe(`
    create or replace function muster_private.now() returns timestamptz language plpgsql volatile set search_path = ''
    as $$ begin return pg_catalog.clock_timestamp(); end $$`);
}

async function createWideTenant(db: TestDatabase): Promise<TestTenant> {
  const tenant = await createTenant(db);
  await db.sql`
    insert into muster.tenant_limits (tenant_id, waiting_jobs, job_classes, api_key_rate, api_key_burst, worker_rate, worker_burst)
    values (${tenant.id}, ${wideLimits.waitingJobs}, ${wideLimits.waitingJobs}, ${wideLimits.apiKey}, ${wideLimits.apiKey},
      ${wideLimits.worker}, ${wideLimits.worker})`;
  return tenant;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
