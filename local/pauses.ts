export type PausesOptions = {
  firstMs: number;
  mostMs: number;
  /** What ran for so long is not failing: the next pause is the first again. */
  resetAfterMs: number;
};

/** How long to wait before something is started again: twice as long each time, unless it ran well meanwhile. */
export class Pauses {
  readonly #options: PausesOptions;
  #nextMs: number;

  constructor(options: PausesOptions) {
    this.#options = options;
    this.#nextMs = options.firstMs;
  }

  /** The next pause, for what ran so long since its last start. */
  next(ranMs: number): number {
    const { firstMs, mostMs, resetAfterMs } = this.#options;
    if (ranMs >= resetAfterMs) this.#nextMs = firstMs;
    const pauseMs = this.#nextMs;
    this.#nextMs = Math.min(pauseMs * 2, mostMs);
    return pauseMs;
  }
}
