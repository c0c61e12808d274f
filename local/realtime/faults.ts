/**
 * What tests may make the server do wrong. Chances are 0 to 1, taken anew for each broadcast and each of its receivers;
 * presence and replies stay as they are.
 */
export interface RealtimeFaults {
  dropChance: number;
  duplicateChance: number;
  /** Held back for a random while, so that later ones overtake. */
  reorderChance: number;
  /** Of every broadcast, which keeps their order. */
  delayMs: number;
  /** Today's partition of realtime.messages is gone: messages from SQL are dropped with a warning. */
  missingPartition: boolean;
  /** Every delivery acts as if the message rate were exceeded. */
  rateExceeded: boolean;
  /** A token refresh keeps the permissions of the join. */
  frozenPermissions: boolean;
  /** The same chances fall the same way; otherwise they are random. */
  seed?: number;
}

export function noFaults(): RealtimeFaults {
  return {
    dropChance: 0,
    duplicateChance: 0,
    reorderChance: 0,
    delayMs: 0,
    missingPartition: false,
    rateExceeded: false,
    frozenPermissions: false,
  };
}

const longestHoldMs = 300;

/** Decides what becomes of a broadcast on its way to one receiver. */
export class Fates {
  readonly #faults: RealtimeFaults;
  #seed: number | undefined;
  #random: () => number = Math.random;

  constructor(faults: RealtimeFaults) {
    this.#faults = faults;
  }

  /** After how many milliseconds each copy goes out: one at once where nothing is wrong, none where it is dropped. */
  next(): number[] {
    const { dropChance, duplicateChance, reorderChance, delayMs, seed } = this.#faults;
    if (dropChance === 0 && duplicateChance === 0 && reorderChance === 0) return [delayMs];
    if (seed !== this.#seed) {
      this.#seed = seed;
      this.#random = seed === undefined ? Math.random : seededRandom(seed);
    }
    if (this.#happens(dropChance)) return [];
    const copies = this.#happens(duplicateChance) ? 2 : 1;
    return Array.from({ length: copies }, () => {
      const held = this.#happens(reorderChance) ? 1 + Math.floor(this.#random() * longestHoldMs) : 0;
      return delayMs + held;
    });
  }

  #happens(chance: number): boolean {
    return chance > 0 && this.#random() < chance;
  }
}

/** Mulberry32: small, and the same on every machine. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
