const bucketMs = 5000;
const bucketCount = 12;

/** Counts events and tells their mean per second over up to the last minute, in finished steps of five seconds. */
export class RateCounter {
  readonly #now: () => number;
  #finished: number[] = [];
  #current = 0;
  #currentStart: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#currentStart = now();
  }

  add(count = 1): void {
    this.#roll();
    this.#current += count;
  }

  perSecond(): number {
    this.#roll();
    if (this.#finished.length === 0) return 0;
    const total = this.#finished.reduce((sum, count) => sum + count, 0);
    return total / (this.#finished.length * bucketMs / 1000);
  }

  #roll(): void {
    const steps = Math.floor((this.#now() - this.#currentStart) / bucketMs);
    if (steps <= 0) return;
    this.#currentStart += steps * bucketMs;
    const passed = [this.#current, ...new Array<number>(Math.min(steps - 1, bucketCount)).fill(0)];
    this.#finished = [...this.#finished, ...passed].slice(-bucketCount);
    this.#current = 0;
  }
}
