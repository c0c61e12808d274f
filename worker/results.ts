import { limits } from "../shared/contracts/limits.ts";
import { attemptKey, type AttemptRef, type AttemptResult } from "./attempt.ts";
import { clampText } from "./json-value.ts";
import type { Log } from "./log.ts";
import { isRefusal } from "./refusal.ts";
import type { Spool } from "./spool.ts";

/** Results to send in one call: enough to be quick, and little enough for a slow line. */
const resultsPerCall = 200;
const bytesPerCall = 512 * 1024;

interface Waiting {
  readonly result: AttemptResult;
  /** Its events are stored: it may be sent. */
  ready: boolean;
  /** The attempt is somebody else's by now: the result is sent as evidence only. */
  late: boolean;
  spooled: boolean;
}

export interface ResultsOptions {
  readonly spool: Spool | undefined;
  readonly log: Log;
}

/**
 * Results that the control plane has not confirmed yet. They wait in memory, and in the spool as well as soon as a call
 * has failed, so that they outlive the process.
 */
export class Results {
  readonly #options: ResultsOptions;
  readonly #waiting = new Map<string, Waiting>();
  /** A refused batch is sent again one by one, to find the result that spoils it. */
  #single = 0;
  /** Writes and removals happen one after the other, or a file could come back after its removal. */
  #writes: Promise<void> = Promise.resolve();
  #spoolFails = false;

  constructor(options: ResultsOptions) {
    this.#options = options;
  }

  /** How many attempts the worker still answers for: each takes a slot. */
  get size(): number {
    let size = 0;
    for (const { late } of this.#waiting.values()) if (!late) size += 1;
    return size;
  }

  /** The same, once these are answered. */
  sizeWithout(batch: readonly AttemptRef[]): number {
    return this.size - batch.filter((attempt) => this.#waiting.get(attemptKey(attempt))?.late === false).length;
  }

  /** Nothing is left to send, now or later. */
  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  get hasReady(): boolean {
    for (const { ready } of this.#waiting.values()) if (ready) return true;
    return false;
  }

  has(attempt: AttemptRef): boolean {
    return this.#waiting.has(attemptKey(attempt));
  }

  /** Takes a result, which may be sent once `release` names it. */
  add(result: AttemptResult): void {
    this.#waiting.set(attemptKey(result), { result, ready: false, late: false, spooled: false });
  }

  release(attempt: AttemptRef): void {
    const waiting = this.#waiting.get(attemptKey(attempt));
    if (waiting !== undefined) waiting.ready = true;
  }

  /** Takes over what an earlier process left in the spool. */
  async load(): Promise<void> {
    const { spool, log } = this.#options;
    if (spool === undefined) return;
    try {
      const { results, unreadable } = await spool.load();
      for (const result of results) {
        this.#waiting.set(attemptKey(result), { result, ready: true, late: false, spooled: true });
      }
      if (results.length > 0) {
        const message = `found ${results.length} undelivered results in ${spool.place}`;
        log({ level: "info", event: "spool.loaded", message, fields: { count: results.length } });
      }
      for (const place of unreadable) {
        log({ level: "warn", event: "spool.unreadable", message: `${place} is not a result, and is left alone` });
      }
    } catch (error) {
      this.#complain("read", spool, error);
    }
  }

  /** The attempts that the worker still answers for. */
  waiting(): AttemptRef[] {
    return Array.from(this.#waiting.values())
      .filter(({ late }) => !late)
      .map(({ result: { jobId, attempt } }) => ({ jobId, attempt }));
  }

  /** The oldest results that fit into one call. */
  next(): AttemptResult[] {
    const batch: AttemptResult[] = [];
    let bytes = 0;
    for (const { result, ready } of this.#waiting.values()) {
      if (!ready) continue;
      bytes += JSON.stringify(result).length;
      if (batch.length > 0 && (bytes > bytesPerCall || batch.length >= (this.#single > 0 ? 1 : resultsPerCall))) break;
      batch.push(result);
    }
    return batch;
  }

  /** Forgets results that were answered. */
  drop(attempts: readonly AttemptRef[]): void {
    for (const attempt of attempts) {
      const key = attemptKey(attempt);
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) continue;
      this.#waiting.delete(key);
      if (this.#single > 0) this.#single -= 1;
      if (waiting.spooled) this.#write((spool) => spool.remove(attempt), "clear");
    }
  }

  /** These attempts are over. Their results still go out: refused, they are kept with the job as evidence. */
  outlived(attempts: readonly AttemptRef[]): void {
    for (const attempt of attempts) {
      const waiting = this.#waiting.get(attemptKey(attempt));
      if (waiting !== undefined) waiting.late = true;
    }
  }

  /** Writes what waits to the spool. Resolves when it is there, or could not be written. */
  async keep(): Promise<void> {
    for (const waiting of this.#waiting.values()) {
      if (waiting.spooled || this.#options.spool === undefined) continue;
      waiting.spooled = true;
      this.#write(async (spool) => {
        await spool.put(waiting.result);
        const { jobId, attempt } = waiting.result;
        const message = `the result of job ${jobId} waits in ${spool.place}`;
        this.#options.log({ level: "info", event: "result.spooled", message, fields: { jobId, attempt } });
        this.#spoolFails = false;
      }, "write");
    }
    await this.#writes;
  }

  /**
   * What to do after a call that failed: null to send the batch again later; otherwise the control plane refuses
   * something in it, which is looked for one by one and replaced by a failure that says why. Answers what was done.
   */
  failed(batch: readonly AttemptResult[], error: unknown): string | null {
    if (!isRefusal(error)) return null;
    if (batch.length > 1) {
      this.#single = this.#waiting.size;
      return `a batch of ${batch.length} results was refused (${error.message}): sending them one by one`;
    }
    const [result] = batch;
    if (result === undefined) return null;
    if (result.status === "failed" && result.error.code === "result_refused") {
      this.drop(batch);
      return `the result of job ${result.jobId} was refused twice and is given up: ${error.message}`;
    }
    const { jobId, attempt } = result;
    const message = clampText(`The result was refused: ${error.message}`, limits.errorMessageBytes);
    const failure = {
      jobId,
      attempt,
      status: "failed",
      error: { code: "result_refused", message, retryable: false },
    } as const;
    const late = this.#waiting.get(attemptKey(result))?.late ?? false;
    this.#waiting.set(attemptKey(result), { result: failure, ready: true, late, spooled: false });
    return `the result of job ${jobId} was refused and is replaced by a failure: ${error.message}`;
  }

  #write(act: (spool: Spool) => Promise<void>, doing: "write" | "clear"): void {
    const { spool } = this.#options;
    if (spool === undefined) return;
    this.#writes = this.#writes.then(() => act(spool)).catch((error) => this.#complain(doing, spool, error));
  }

  /** Once an outage is enough: the results still wait in memory. */
  #complain(doing: "read" | "write" | "clear", { place }: Spool, error: unknown): void {
    if (this.#spoolFails) return;
    this.#spoolFails = true;
    const why = error instanceof Error ? error.message : String(error);
    const message = `cannot ${doing} the spool ${place} (${why}): undelivered results wait in memory only`;
    this.#options.log({ level: "warn", event: "spool.failed", message });
  }
}
