import { join } from "node:path";
import { sleep } from "../../../shared/sleep.ts";
import { type Job, MusterClient, MusterError } from "../../../worker/index.ts";
import { retryDelay } from "../../../worker/retry-delay.ts";
import { Random } from "../../support/random.ts";
import { Journal } from "./journal.ts";
import type { Proxy } from "./proxy.ts";
import { pauseUntil } from "./pauses.ts";
import { planJob, type PlannedJob } from "./work-plan.ts";

export interface AppSettings {
  readonly name: string;
  readonly tenant: string;
  readonly apiKey: string;
  readonly proxy: Proxy;
  /** A folder of its own, for its journal. */
  readonly folder: string;
}

/** An app that hands in jobs, cancels some, waits for some, and writes down every answer. It asks until it has one. */
export class App implements Disposable {
  readonly settings: AppSettings;
  /** Calls that failed and were repeated, by code. */
  readonly failures = new Map<string, number>();
  readonly #client: MusterClient;
  readonly #journal: Journal;
  readonly #signal: AbortSignal;

  constructor(settings: AppSettings, signal: AbortSignal) {
    this.settings = settings;
    this.#client = new MusterClient({ url: settings.proxy.url, apiKey: settings.apiKey });
    this.#journal = new Journal(join(settings.folder, "journal.jsonl"));
    this.#signal = signal;
  }

  /** Hands in a batch; answers the ids in its order. */
  async submit(jobs: readonly PlannedJob[]): Promise<string[]> {
    for (const { key } of jobs) this.#say({ did: "ask", key });
    const answers = await this.#untilAnswered(() => this.#client.submitMany(jobs.map(({ submit }) => submit)));
    answers.forEach(({ job, created }, index) =>
      this.#say({ did: "submit", key: jobs[index]!.key, job: job.id, created })
    );
    return answers.map(({ job }) => job.id);
  }

  async cancel(jobId: string): Promise<void> {
    const { status } = await this.#untilAnswered(() => this.#client.cancel(jobId, "the campaign says so"));
    this.#say({ did: "cancel", job: jobId, status });
  }

  /** Waits for the end of a job, and writes down what it was told of it. */
  async hear(jobId: string): Promise<void> {
    const job = await this.#untilAnswered(() => this.#client.wait(jobId, { signal: this.#signal }));
    this.#say({ did: "hear", job: jobId, status: job.status, execution: executionOf(job) });
  }

  /** Writes down which jobs it is shown. */
  async look(): Promise<void> {
    const { jobs } = await this.#untilAnswered(() => this.#client.list({ limit: 200 }));
    this.#say({ did: "look", jobs: jobs.map(({ id }) => id) });
  }

  /** Asks for a job of somebody else, and writes down what it got. */
  async peek(jobId: string): Promise<void> {
    try {
      const job = await this.#client.get(jobId);
      this.#say({ did: "peek", job: jobId, got: job });
    } catch (error) {
      this.#say({
        did: "peek",
        job: jobId,
        got: null,
        code: error instanceof MusterError ? error.code : String(error),
      });
    }
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }

  #say(entry: object): void {
    this.#journal.write({ app: this.settings.name, tenant: this.settings.tenant, ...entry });
  }

  async #untilAnswered<T>(call: () => Promise<T>): Promise<T> {
    for (let failures = 1;; failures += 1) {
      try {
        return await call();
      } catch (error) {
        this.#signal.throwIfAborted();
        const code = error instanceof MusterError ? error.code : "other";
        this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
        await sleep(retryDelay(failures, { capMs: 500, error }), this.#signal);
      }
    }
  }
}

export interface LoadOptions {
  readonly seed: number;
  readonly tenant: string;
  /** One app, or two which share keys. */
  readonly apps: readonly App[];
  /** How many jobs the workers of the tenant can run at a time. */
  readonly slots: number;
  /** How many jobs of the tenant have ended so far. */
  readonly endedCount: () => number;
  /** A job of another tenant, for peeking; undefined as long as there is none. */
  readonly foreignJob: () => string | undefined;
  /** No new jobs once it fires. */
  readonly until: AbortSignal;
}

/** A rush with a queue, then a lull in which workers are idle and jobs are pushed to them, over and over. */
const waveMs = 20_000;
const rushMs = 12_000;

/** Keeps a tenant's apps busy. What comes of the jobs is for the auditor to judge. */
export class Load {
  /** Every id answered so far. */
  readonly jobIds: string[] = [];
  readonly #options: LoadOptions;
  readonly #pending = new Set<Promise<void>>();
  readonly #random: Random;
  #index = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  /** Submits until `until` fires, then returns when every answer has come. */
  async run(): Promise<void> {
    const { apps, tenant, until, endedCount, slots } = this.#options;
    let rounds = 0;
    const begunAt = performance.now();
    let nextAt = begunAt;
    while (!until.aborted) {
      const isRush = (performance.now() - begunAt) % waveMs < rushMs;
      if (this.#index - endedCount() >= slots * (isRush ? 4 : 0.3) || this.#pending.size > 200) {
        await sleep(50, until);
        continue;
      }
      const jobs = Array.from(
        { length: this.#random.weighted({ one: 2, some: 1 }) === "one" ? 1 : this.#random.between(2, 20) },
        () => planJob(this.#random, tenant, this.#index++),
      );
      const first = this.#random.between(0, apps.length - 1);
      this.#keep(this.#submit(apps[first]!, jobs));
      const twice = jobs.filter(({ twice }) => twice);
      if (apps.length > 1 && twice.length > 0) this.#keep(this.#submit(apps[(first + 1) % apps.length]!, twice, true));
      rounds += 1;
      if (rounds % 50 === 0) {
        for (const app of apps) this.#keep(app.look());
        const foreign = this.#options.foreignJob();
        if (foreign !== undefined) this.#keep(this.#random.pick(apps).peek(foreign));
      }
      // Waves come when the seed has them come, whatever has become of those before.
      nextAt = Math.max(nextAt, performance.now() - 120) + this.#random.between(20, 120);
      await pauseUntil(nextAt, until);
    }
  }

  /** Resolves when every call that was begun has been answered. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.race(this.#pending);
  }

  async #submit(app: App, jobs: readonly PlannedJob[], again = false): Promise<void> {
    const ids = await app.submit(jobs);
    if (again) return;
    this.jobIds.push(...ids);
    jobs.forEach(({ cancelAfterMs, awaited }, index) => {
      const id = ids[index]!;
      if (cancelAfterMs !== null) this.#keep(sleep(cancelAfterMs).then(() => app.cancel(id)));
      if (awaited) this.#keep(app.hear(id));
    });
  }

  #keep(task: Promise<void>): void {
    const kept = task.catch(() => {
      // Only the end of the campaign ends a call without an answer; the auditor sees what is missing.
    }).finally(() => this.#pending.delete(kept));
    this.#pending.add(kept);
  }
}

function executionOf({ result, error }: Job): string | null {
  const from = (value: unknown) =>
    typeof value === "object" && value !== null && "execution" in value ? String(value.execution) : null;
  return from(result) ?? from(error?.details);
}
