import type { Log } from "./log.ts";
import type { Mask } from "./mask.ts";

/** So long a mask outlives its attempt: what a handler left behind may still speak. */
const lingerMs = 10_000;

/** The masks of all attempts that run, for what the worker says by itself. */
export class Masks {
  readonly #live = new Map<Mask, number>();

  /** Takes the secrets of a mask out of everything from now on, until a while after the answer is called. */
  hold(mask: Mask): () => void {
    if (mask.isEmpty) return () => {};
    this.#live.set(mask, Infinity);
    return () => this.#live.set(mask, performance.now() + lingerMs);
  }

  text(text: string): string {
    this.prune();
    let masked = text;
    for (const mask of this.#live.keys()) masked = mask.text(masked);
    return masked;
  }

  /** A log that tells no secret. */
  log(log: Log): Log {
    return (event) => {
      this.prune();
      let masked = event;
      for (const mask of this.#live.keys()) {
        const { message, fields } = masked;
        masked = { ...masked, message: mask.text(message) };
        if (fields !== undefined) masked = { ...masked, fields: mask.json(fields) as Record<string, unknown> };
      }
      log(masked);
    };
  }

  /** Forgets the secrets whose time is over. */
  prune(): void {
    const now = performance.now();
    for (const [mask, endsAt] of this.#live) if (endsAt <= now) this.#live.delete(mask);
  }
}
