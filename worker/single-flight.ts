/** A handler that runs under a concurrency key. */
export interface Flight {
  /** Its handler has really ended, whether or not anybody still waited for it. */
  end(): void;
}

/**
 * Keeps handlers of one concurrency key apart on this machine. The control plane frees a key as soon as it lets an
 * attempt go, for it cannot wait for a machine that may be gone; the handler may still be at work. So the next one of
 * the key begins here only when fewer than the key's limit are really running.
 */
export class SingleFlight {
  readonly #flying = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  /** Whether a handler of the key would have to wait now. */
  isFull(key: string, limit: number): boolean {
    return (this.#flying.get(key) ?? 0) >= limit;
  }

  /** Begins a flight; the caller has seen that there is room. */
  begin(key: string): Flight {
    this.#flying.set(key, (this.#flying.get(key) ?? 0) + 1);
    let ended = false;
    return {
      end: () => {
        if (ended) return;
        ended = true;
        const left = this.#flying.get(key)! - 1;
        if (left > 0) this.#flying.set(key, left);
        else this.#flying.delete(key);
        const waiting = this.#waiting.get(key) ?? [];
        this.#waiting.delete(key);
        for (const look of waiting) look();
      },
    };
  }

  /** Begins a flight once there is room; rejects with the signal's reason when that fires first. */
  async enter(key: string, limit: number, signal: AbortSignal): Promise<Flight> {
    for (;;) {
      signal.throwIfAborted();
      if (!this.isFull(key, limit)) return this.begin(key);
      const looked = Promise.withResolvers<void>();
      const look = () => looked.resolve();
      this.#waiting.set(key, [...this.#waiting.get(key) ?? [], look]);
      signal.addEventListener("abort", look);
      await looked.promise;
      signal.removeEventListener("abort", look);
    }
  }
}
