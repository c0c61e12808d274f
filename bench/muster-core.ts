import postgres from "postgres";
import { createTenant, createWorker, submit, type TestTenant, type TestWorker } from "../tests/support/actors.ts";
import { type Actor, type Args, service, TestDatabase } from "../tests/support/database.ts";
import type { BenchCluster } from "./bench-cluster.ts";

/** pg_cron runs the tick as often. */
const tickEveryMs = 3000;

/** Whoever is measured makes more calls than a worker or an app may: they are counted as always, and never refused. */
const wideLimits = { worker: 100_000, apiKey: 100_000, waitingJobs: 100_000_000 };

export type Drained = { jobs: number; ms: number };

/** A worker, and what it says of itself whenever it comes back. */
export type BenchWorker = TestWorker & { greeting: { capabilities: string[]; slots: number; listening: boolean } };

/**
 * Muster's functions in a database of their own, called the way the Data API calls them, but over connections that stay
 * open: as the role, with the claims of a worker's token, each call a transaction.
 */
export class MusterCore implements AsyncDisposable {
  readonly db: TestDatabase;
  readonly tenant: TestTenant;
  /** Those of an actor stay open, as the Data API's do: each plans its statements once. */
  readonly #connections = new Map<string, postgres.Sql[]>();

  private constructor(db: TestDatabase, tenant: TestTenant) {
    this.db = db;
    this.tenant = tenant;
  }

  static async create({ adminUrl }: BenchCluster): Promise<MusterCore> {
    Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", adminUrl);
    const db = await TestDatabase.create({ fresh: true });
    await useRealClock(db);
    return new MusterCore(db, await createWideTenant(db));
  }

  /** Workers with as many slots as a call hands over; they ask for what they get, so nothing is pushed to them. */
  createWorkers(count: number, slots: number, capabilities = ["compute/basic"]): Promise<BenchWorker[]> {
    const greeting = { capabilities, slots, listening: false };
    return Promise.all(
      Array.from({ length: count }, async () => ({ ...await createWorker(this.db, this.tenant, greeting), greeting })),
    );
  }

  /** Hands in jobs by an app's key, `batch` a call, over `connections` at once; answers how long that took. */
  async submit(jobs: number, { batch = 1000, connections = 1, requires = ["compute/basic"] } = {}): Promise<number> {
    const senders = await this.connect(service, connections);
    let sent = 0;
    const began = performance.now();
    await Promise.all(senders.map(async (sql) => {
      while (sent < jobs) {
        const [first, size] = [sent, Math.min(batch, jobs - sent)];
        sent += size;
        await this.#submitOn(sql, first, size, requires);
      }
    }));
    return performance.now() - began;
  }

  /** A job for each of these requirement sets, in one call; answers their ids. */
  async submitEach(requirementSets: readonly string[][], more: Args = {}): Promise<string[]> {
    const items = requirementSets.map((requires) => ({ requires, type: "bench", payload: { id: 0 }, ...more }));
    return (await submit(this.db, this.tenant, ...items)).map((job) => job.id);
  }

  /**
   * Queued jobs, done by these workers, each over a connection of its own: `batch` ended and claimed a call. All of them,
   * or so many and what the workers have in hand by then. The tick runs meanwhile, as it does in life.
   */
  async drain(workers: readonly BenchWorker[], batch: number, most = Infinity): Promise<Drained> {
    const connections = (await Promise.all(workers.map(({ actor }) => this.connect(actor)))).flat();
    // They may have been silent for long.
    for (const worker of workers) await worker.hello(worker.greeting);
    const stop = this.startTicks();
    try {
      let jobs = 0;
      const began = performance.now();
      await Promise.all(connections.map(async (sql) => {
        for (let results: unknown[] = [];;) {
          const answer = await complete(sql, results, jobs + results.length < most ? batch : 0);
          jobs += results.length;
          if (answer.jobs.length === 0) return;
          results = answer.jobs.map(succeeded);
        }
      }));
      return { jobs, ms: performance.now() - began };
    } finally {
      await stop();
    }
  }

  /** Submits and drains at once, so that `ahead` jobs wait; tells each time that another `slice` of them is done. */
  async cycle(
    workers: readonly BenchWorker[],
    { jobs, ahead, batch, slice }: { jobs: number; ahead: number; batch: number; slice: number },
    onSlice: () => Promise<void>,
  ): Promise<void> {
    const [sender] = await this.connect(service) as [postgres.Sql];
    const connections = (await Promise.all(workers.map(({ actor }) => this.connect(actor)))).flat();
    const stop = this.startTicks();
    let [sent, done, told, telling] = [0, 0, 0, Promise.resolve()];
    // Whoever waits, for jobs to come or to go, looks again.
    let wake = () => {};
    let change = new Promise<void>((resolve) => wake = resolve);
    const changed = () => {
      wake();
      change = new Promise((resolve) => wake = resolve);
    };
    const send = async () => {
      while (sent < jobs) {
        if (sent - done >= ahead) await change;
        else {
          const size = Math.min(1000, jobs - sent);
          await this.#submitOn(sender, sent, size, ["compute/basic"]);
          sent += size;
          changed();
        }
      }
    };
    const work = async (sql: postgres.Sql) => {
      for (let results: unknown[] = []; done < jobs;) {
        const answer = await complete(sql, results, batch);
        done += results.length;
        for (; done >= told + slice; told += slice) telling = telling.then(onSlice);
        changed();
        results = answer.jobs.map(succeeded);
        if (results.length === 0 && done < jobs) await change;
      }
    };
    try {
      await Promise.all([send(), ...connections.map(work)]);
      await telling;
    } finally {
      await stop();
    }
  }

  /** One job a call, one call after the other, by a worker with the slots for all of them: what each took, in ms. */
  async claimOneByOne(worker: BenchWorker, count: number): Promise<number[]> {
    const [sql] = await this.connect(worker.actor) as [postgres.Sql];
    await worker.hello(worker.greeting);
    const [times, held] = [[] as number[], [] as Held[]];
    while (held.length < count) {
      const began = performance.now();
      const [row] = await sql.unsafe("select muster.claim_jobs(1) as answer", [], { prepare: true });
      const { jobs, again } = row!["answer"] as { jobs: Held[]; again: boolean };
      // The call did a late tick instead.
      if (again) continue;
      if (jobs.length !== 1) throw new Error(`Claimed ${jobs.length} jobs instead of one`);
      times.push(performance.now() - began);
      held.push(...jobs);
    }
    await complete(sql, held.map(succeeded), 0);
    return times;
  }

  /** What the tick has left to do: it seals the audit log. */
  async settle(): Promise<void> {
    for (let left = Infinity; left > 0;) {
      await this.db.call(service, "tick");
      const [row] = await this.db.sql`select count(*)::integer as entries from muster_private.audit_inbox`;
      const entries = row!["entries"] as number;
      if (entries >= left) throw new Error(`The tick leaves ${entries} entries of the audit log unsealed`);
      left = entries;
    }
  }

  /** Connections on which each statement is a transaction of the actor's. */
  async connect(actor: Actor, count = 1): Promise<postgres.Sql[]> {
    const key = JSON.stringify(actor);
    const open = this.#connections.get(key) ?? [];
    this.#connections.set(key, open);
    while (open.length < count) {
      const sql = postgres(this.db.url, { max: 1, idle_timeout: 0, max_lifetime: null, onnotice: () => {} });
      open.push(sql);
      await sql.unsafe(`set role ${actor.role}`);
      await sql`select set_config('request.jwt.claims', ${JSON.stringify(actor.claims ?? {})}, false)`;
    }
    return open.slice(0, count);
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

  async #submitOn(sql: postgres.Sql, first: number, size: number, requires: readonly string[]): Promise<void> {
    const items = Array.from({ length: size }, (_, n) => ({ type: "bench", requires, payload: { id: first + n } }));
    await sql.unsafe("select muster.submit_jobs($1::text::jsonb, $2::text::jsonb) as answer", [
      JSON.stringify(this.tenant.caller),
      JSON.stringify(items),
    ], { prepare: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#connections.values()].flat().map((sql) => sql.end()));
    await this.db[Symbol.asyncDispose]();
  }
}

type Held = { job_id: string; attempt: number };

function succeeded({ job_id, attempt }: Held): unknown {
  return { job_id, attempt, status: "succeeded", result: true };
}

async function complete(sql: postgres.Sql, results: unknown[], want: number) {
  const [row] = await sql.unsafe("select muster.complete_jobs($1::text::jsonb, $2) as answer", [
    JSON.stringify(results),
    want,
  ], { prepare: true });
  const { outcomes, jobs } = row!["answer"] as { outcomes: { outcome: string }[]; jobs: Held[] };
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

/** One whose apps and workers may call as often as they like; they are counted all the same. */
export async function createWideTenant(db: TestDatabase): Promise<TestTenant> {
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
