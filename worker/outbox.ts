import { limits } from "../shared/contracts/limits.ts";
import { sleep } from "../shared/sleep.ts";
import { attemptKey, type AttemptRef, type JobEvent } from "./attempt.ts";
import { isRefusal } from "./refusal.ts";
import { retryDelay } from "./retry-delay.ts";

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

/** Events beyond these are given up: nobody awaits them, and the control plane is away or slower than the handler. */
const mostWaiting = 20_000;
const mostBytesWaiting = 32 * 1024 * 1024;
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
  #bytes = 0;
  /** What the call under way carries. */
  #sending: readonly { event: JobEvent }[] = [];
  /** A refused batch is sent again one by one, to find the event that spoils it. */
  #single = 0;
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
      this.#bytes -= this.#waiting.pop()?.bytes ?? 0;
    }
    if (this.#waiting.length >= mostWaiting || this.#bytes + bytes > mostBytesWaiting) {
      this.#options.onDropped?.(1, new Error("too much waits to be delivered"));
      return await this.#flush();
    }
    this.#waiting.push({ event, bytes });
    this.#bytes += bytes;
    const flushing = this.#flush();
    if (this.#waiting.length > crowded) await flushing;
  }

  /** Resolves once nothing of this attempt waits or is on its way: its result must not overtake its events. */
  async delivered(attempt: AttemptRef): Promise<void> {
    const key = attemptKey(attempt);
    const has = (items: readonly { event: JobEvent }[]) => items.some(({ event }) => attemptKey(event) === key);
    while (!this.#closed.signal.aborted && (has(this.#waiting) || has(this.#sending))) {
      this.#urgent = true;
      this.#pause?.abort();
      await this.#flush();
    }
  }

  /** Forgets what waits for an attempt that is over. */
  forget(attempt: AttemptRef): void {
    const key = attemptKey(attempt);
    this.#waiting = this.#waiting.filter(({ event }) => attemptKey(event) !== key);
    this.#count();
  }

  /** Gives up whatever waits. */
  close(): void {
    this.#closed.abort();
    this.#pause?.abort();
    this.#waiting = [];
    this.#count();
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
      this.#sending = batch;
      try {
        const stale = await this.#options.report(batch.map(({ event }) => event));
        failures = 0;
        for (const attempt of stale) {
          this.forget(attempt);
          this.#options.onStale?.(attempt);
        }
      } catch (error) {
        const refused = isRefusal(error);
        if (refused && batch.length === 1) {
          this.#options.onDropped?.(1, error);
          continue;
        }
        this.#waiting.unshift(...batch);
        this.#count();
        if (refused) {
          this.#single = batch.length;
          continue;
        }
        failures += 1;
        this.#sending = [];
        await sleep(retryDelay(failures, { ...this.#options, error }), this.#closed.signal);
      } finally {
        this.#sending = [];
      }
    }
  }

  #takeBatch(): { event: JobEvent; bytes: number }[] {
    let bytes = 0;
    let count = 0;
    for (const item of this.#waiting) {
      bytes += item.bytes;
      const most = this.#single > 0 ? 1 : limits.eventsPerCall;
      if (count > 0 && (count >= most || bytes > bytesPerCall)) break;
      count += 1;
    }
    this.#single = Math.max(0, this.#single - 1);
    const batch = this.#waiting.splice(0, count);
    this.#count();
    return batch;
  }

  #count(): void {
    this.#bytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}
