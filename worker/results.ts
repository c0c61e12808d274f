import { MusterError } from "../shared/errors.ts";
import { limits } from "../shared/contracts/limits.ts";
import { attemptKey, type AttemptRef, type AttemptResult } from "./attempt.ts";
import { clampText } from "./json-value.ts";

/** Results to send in one call: enough to be quick, and well under the size of a request. */
const resultsPerCall = 200;
const bytesPerCall = 2 * 1024 * 1024;

/**
 * Results that the control plane has not confirmed yet. They wait in memory, so they last as long as the process: a
 * store on disk belongs here, loaded before the first hello, which then still names their attempts.
 */
export class Results {
  readonly #waiting = new Map<string, AttemptResult>();
  /** A refused batch is sent again one by one, to find the result that spoils it. */
  #single = 0;

  get size(): number {
    return this.#waiting.size;
  }

  add(result: AttemptResult): void {
    this.#waiting.set(attemptKey(result), result);
  }

  waiting(): AttemptRef[] {
    return Array.from(this.#waiting.values(), ({ jobId, attempt }) => ({ jobId, attempt }));
  }

  /** The oldest results that fit into one call. */
  next(): AttemptResult[] {
    const batch: AttemptResult[] = [];
    let bytes = 0;
    for (const result of this.#waiting.values()) {
      bytes += JSON.stringify(result).length;
      if (batch.length > 0 && (bytes > bytesPerCall || batch.length >= (this.#single > 0 ? 1 : resultsPerCall))) break;
      batch.push(result);
    }
    return batch;
  }

  /** Forgets results that were delivered, or whose attempts are over. */
  drop(attempts: readonly AttemptRef[]): void {
    for (const attempt of attempts) {
      if (this.#waiting.delete(attemptKey(attempt)) && this.#single > 0) this.#single -= 1;
    }
  }

  /**
   * What to do after a call that failed: null to send the batch again later; otherwise the control plane refuses
   * something in it, which is looked for one by one and replaced by a failure that says why. Answers what was done.
   */
  failed(batch: readonly AttemptResult[], error: unknown): string | null {
    if (!(error instanceof MusterError) || !["invalid_request", "payload_too_large", "too_many"].includes(error.code)) {
      return null;
    }
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
    this.add({ jobId, attempt, status: "failed", error: { code: "result_refused", message, retryable: false } });
    return `the result of job ${jobId} was refused and is replaced by a failure: ${error.message}`;
  }
}
