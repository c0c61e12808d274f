import { MusterError } from "../shared/errors.ts";

/** Bounds of a backoff; both in milliseconds. */
export interface RetryDelayOptions {
  /** Delay after the first failure. Default 250. */
  readonly baseMs?: number;
  /** No delay is longer. Default 15,000. */
  readonly capMs?: number;
  /** What failed: one that says after how long it may be repeated is taken at its word, up to the cap. */
  readonly error?: unknown;
  /** Source of jitter, 0 up to 1. Default `Math.random`. */
  readonly random?: () => number;
}

/**
 * How long to wait after `failures` failures in a row (1 or more): it doubles each time up to the cap.
 * Half of it is random, so that a fleet that lost its server together does not come back together.
 */
export function retryDelay(failures: number, options: RetryDelayOptions = {}): number {
  const { baseMs = 250, capMs = 15_000, random = Math.random, error } = options;
  const full = Math.min(capMs, baseMs * 2 ** Math.min(Math.max(failures, 1) - 1, 30));
  const delay = Math.round(full / 2 + (full / 2) * random());
  const told = error instanceof MusterError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
  // Later by up to a fifth, so that those who were refused together do not come back together.
  return Math.max(delay, Math.min(capMs, Math.round(told * (1 + 0.2 * random()))));
}
