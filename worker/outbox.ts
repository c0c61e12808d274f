import { limits } from "../shared/contracts/limits.ts";
import { MusterError } from "../shared/errors.ts";
import { attemptKey, type AttemptRef, type JobEvent } from "./attempt.ts";
import { retryDelay } from "./retry-delay.ts";
import { sleep } from "./sleep.ts";

export interface OutboxOptions {
  /** Stores the events; answers the attempts whose events no longer count. */
  readonly report: (events: readonly JobEvent[]) => Promise<readonly AttemptRef[]>;
  /** Called when events of an attempt are refused because it was replaced or has ended. */
  readonly onStale?: (attempt: AttemptRef) => void;
  /** Called when events are given up because the control plane refuses them. */
  readonly onDropped?: (count: number, error: unknown) => void;
  readonly random?: () => number;
  /** Least time between two calls while no attempt is ending. Default 100 ms: at most ten calls a second. */
  readonly intervalMs?: number;
}

/** So many events waiting make a handler that awaits its `log()` or `chunk()` wait as well. */
const crowded = 2_000;
/** Stays well under the size the Data API takes in one request. */
const bytesPerCall = 1024 * 1024;

/**
 * Events on their way to the control plane, in order and in batches. They stay here until they are delivered or
 * their attempt is over. They live in memory: an outbox that outlives the process would replace `#waiting`.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #waiting: { event: JobEvent; bytes: number }[] = [];
  #flushing: Promise<void> | undefined;
  #urgent = false;
  #lastCallAt = -Infinity;
  #closed = new AbortController();
  #pause: AbortController | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** How many events wait. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Takes an event. Resolves at once, unless so many wait that the sender should slow down. */
  async add(event: JobEvent, bytes: number): Promise<void> {
    if (this.#closed.signal.aborted) return;
    const last = this.#waiting.at(-1);
    // Only the latest progress is worth telling, and it keeps its own number: numbers rise, but may leave gaps.
    if (event.kind === "progress" && last?.event.kind === "progress" && attemptKey(last.event) === attemptKey(event)) {
      this.#waiting.pop();
    }
    this.#waiting.push({ event, bytes });
    const flushing = this.#flush();
    if (this.#waiting.length > crowded) await flushing;
  }

  /** Resolves once nothing of this attempt waits any more: its result must not overtake its events. */
  async delivered(attempt: AttemptRef): Promise<void> {
    const key = attemptKey(attempt);
    while (!this.#closed.signal.aborted && this.#waiting.some(({ event }) => attemptKey(event) === key)) {
      this.#urgent = true;
      this.#pause?.abort();
      await this.#flush();
    }
  }

  /** Forgets what waits for an attempt that is over. */
  forget(attempt: AttemptRef): void {
    const key = attemptKey(attempt);
    this.#waiting = this.#waiting.filter(({ event }) => attemptKey(event) !== key);
  }

  /** Gives up whatever waits. */
  close(): void {
    this.#closed.abort();
    this.#pause?.abort();
    this.#waiting = [];
  }

  #flush(): Promise<void> {
    this.#flushing ??= this.#send().finally(() => this.#flushing = undefined);
    return this.#flushing;
  }

  async #send(): Promise<void> {
    const { intervalMs = 100 } = this.#options;
    let failures = 0;
    // Gathers what is added in the same turn.
    await Promise.resolve();
    while (this.#waiting.length > 0 && !this.#closed.signal.aborted) {
      const rest = this.#lastCallAt + intervalMs - performance.now();
      if (rest > 0 && !this.#urgent && failures === 0) {
        this.#pause = new AbortController();
        await sleep(rest, this.#pause.signal);
        if (this.#closed.signal.aborted) return;
      }
      this.#urgent = false;
      this.#lastCallAt = performance.now();
      const batch = this.#takeBatch();
      try {
        const stale = await this.#options.report(batch.map(({ event }) => event));
        failures = 0;
        for (const attempt of stale) {
          this.forget(attempt);
          this.#options.onStale?.(attempt);
        }
      } catch (error) {
        if (error instanceof MusterError && !error.retryable && error.code !== "unauthenticated") {
          this.#options.onDropped?.(batch.length, error);
          continue;
        }
        this.#waiting.unshift(...batch);
        failures += 1;
        await sleep(retryDelay(failures, this.#options), this.#closed.signal);
      }
    }
  }

  #takeBatch(): { event: JobEvent; bytes: number }[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#waiting) {
      bytes += item.bytes;
      if (count > 0 && (count >= limits.eventsPerCall || bytes > bytesPerCall)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}
