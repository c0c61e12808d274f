import { sleep } from "../../../../shared/sleep.ts";
import { MusterClient, MusterError } from "../../../../worker/index.ts";
import type { Random } from "../../../support/random.ts";
import { Journal } from "../journal.ts";
import { untilAnswered } from "./until-answered.ts";

export interface OperatorOptions {
  readonly url: string;
  /** With the scope `operate`. */
  readonly apiKey: string;
  readonly journal: string;
  readonly random: Random;
  /** Ids of the workers it may meddle with, as far as they are known. */
  readonly workerIds: () => readonly string[];
  /** Jobs that apps were told of, oldest first. */
  readonly jobIds: () => readonly string[];
  /** Fires when it must not wait for answers any more. */
  readonly signal: AbortSignal;
}

/** Cordons workers for a while and names other workers for jobs, whatever else goes on. */
export class Operator implements Disposable {
  readonly #options: OperatorOptions;
  readonly #journal: Journal;
  readonly #client: MusterClient;

  constructor(options: OperatorOptions) {
    this.#options = options;
    this.#journal = new Journal(options.journal);
    this.#client = new MusterClient({ url: options.url, apiKey: options.apiKey });
  }

  /** Until the signal fires; what it has cordoned is free again when this resolves. */
  async run(until: AbortSignal): Promise<void> {
    const { random, signal } = this.#options;
    while (!until.aborted) {
      await sleep(random.between(400, 1_500), until);
      if (until.aborted) return;
      const act = random.chance(0.5) ? this.#cordon(until) : this.#rebind();
      await act.catch(() => signal.throwIfAborted());
    }
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }

  async #cordon(until: AbortSignal): Promise<void> {
    const { random, workerIds, signal } = this.#options;
    const worker = random.pick(workerIds());
    await untilAnswered(() => this.#post(`/workers/${worker}/cordon`), signal);
    this.#journal.write({ did: "cordon", worker });
    await sleep(random.between(500, 3_000), until);
    await untilAnswered(() => this.#post(`/workers/${worker}/uncordon`), signal);
    this.#journal.write({ did: "uncordon", worker });
  }

  /** A job that has ended, or that the worker cannot do, stays as it is. */
  async #rebind(): Promise<void> {
    const { random, workerIds, jobIds } = this.#options;
    const job = random.pick(jobIds().slice(-20));
    const worker = random.chance(0.8) ? random.pick(workerIds()) : null;
    this.#journal.write({ did: "rebind", job, worker });
    try {
      await this.#client.rebind(job, worker);
      this.#journal.write({ did: "rebound", job, worker });
    } catch (error) {
      this.#journal.write({ did: "refused", job, code: error instanceof MusterError ? error.code : String(error) });
    }
  }

  async #post(path: string): Promise<void> {
    const response = await fetch(`${this.#options.url}/functions/v1${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.#options.apiKey}`, "content-type": "application/json" },
      body: "{}",
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  }
}
