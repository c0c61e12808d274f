import { join } from "node:path";
import { type Job, MusterClient, MusterError } from "../../../worker/index.ts";
import { Journal } from "./journal.ts";
import type { Proxy } from "./proxy.ts";
import { codeOf, untilAnswered } from "./mix/until-answered.ts";
import type { PlannedJob } from "./work-plan.ts";

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

  /** Hands in jobs; answers their ids in order, or none when they were refused as they may be. */
  async submit(jobs: readonly PlannedJob[]): Promise<string[]> {
    this.#ask(jobs);
    const answers = await this.#untilAnswered(
      () => this.#client.submitMany(jobs.map(({ submit }) => submit)),
      jobs.length === 1 && jobs[0]!.alone ? mayBeRefused : [],
    );
    if (answers === undefined) {
      this.#say({ did: "refuse", key: jobs[0]!.key });
      return [];
    }
    return this.#told(jobs, answers);
  }

  /** Hands in jobs with a parent, and the others one by one if it is open; then it closes it. */
  async submitBatch(key: string, jobs: readonly PlannedJob[], later: readonly PlannedJob[]): Promise<string> {
    const open = later.length > 0;
    this.#say({ did: "ask", key, policies: [open ? "batch, open" : "batch"] });
    this.#ask(jobs);
    const { batch, jobs: answers } = await this.#untilAnswered(() =>
      this.#client.submitBatch(jobs.map(({ submit }) => submit), { name: key, open, idempotencyKey: key })
    );
    this.#say({ did: "submit", key, job: batch.id });
    this.#told(jobs, answers);
    for (const job of later) await this.submit([{ ...job, submit: { ...job.submit, parentId: batch.id } }]);
    if (open) {
      this.#say({ did: "close", job: batch.id });
      await this.#untilAnswered(() => this.#client.closeBatch(batch.id));
    }
    return batch.id;
  }

  /** Submits some of what has failed for good again. An answer that is lost is not missed: the record has it. */
  async replay(limit: number, errorCode?: string): Promise<void> {
    const filter = errorCode === undefined ? {} : { errorCode };
    const { jobs } = await this.#untilAnswered(() => this.#client.replayDeadLetters({ filter, limit }));
    this.#say({ did: "replay", jobs: jobs.map(({ replayedAs }) => replayedAs) });
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

  #ask(jobs: readonly PlannedJob[]): void {
    for (const { key, policies, submit: { payload: _, idempotencyKey: __, ...asked } } of jobs) {
      this.#say({ did: "ask", key, asked, policies });
    }
  }

  #told(jobs: readonly PlannedJob[], answers: readonly { job: Job; created: boolean }[]): string[] {
    const ids = answers.map(({ job }) => job.id);
    for (const [index, { job: { id }, created }] of answers.entries()) {
      const { key, submit: { after = [] } } = jobs[index]!;
      this.#say({
        ...{ did: "submit", key, job: id, created },
        after: after.map((name) => name.startsWith("#") ? ids[Number(name.slice(1))] : name),
      });
    }
    return ids;
  }

  async #untilAnswered<T>(call: () => Promise<T>): Promise<T>;
  /** Undefined when it was refused with one of the codes. */
  async #untilAnswered<T>(call: () => Promise<T>, refusals: readonly string[]): Promise<T | undefined>;
  async #untilAnswered<T>(call: () => Promise<T>, refusals: readonly string[] = []): Promise<T | undefined> {
    let refused = false;
    return await untilAnswered(async () => refused ? undefined : await call(), this.#signal, (error) => {
      const code = codeOf(error);
      this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
      refused = refusals.includes(code);
    });
  }
}

/** What a job in a request of its own may hear: its key has no room, or its time to start is over. */
const mayBeRefused = ["E.CMD.CONCURRENCY_VIOLATION", "invalid_request"];

function executionOf({ result, error }: Job): string | null {
  const from = (value: unknown) =>
    typeof value === "object" && value !== null && "execution" in value ? String(value.execution) : null;
  return from(result) ?? from(error?.details);
}
