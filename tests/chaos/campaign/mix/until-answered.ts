import { sleep } from "../../../../shared/sleep.ts";
import { MusterError } from "../../../../worker/index.ts";
import { retryDelay } from "../../../../worker/retry-delay.ts";

/** Repeats a call until it is answered; `failed` hears of each failure, and ends it by throwing. */
export async function untilAnswered<T>(
  call: () => Promise<T>,
  signal: AbortSignal,
  failed: (error: unknown) => void = () => {},
): Promise<T> {
  for (let failures = 1;; failures += 1) {
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      failed(error);
      await sleep(retryDelay(failures, { capMs: 500, error }), signal);
    }
  }
}

/** What an error is called in the counts. */
export function codeOf(error: unknown): string {
  return error instanceof MusterError ? error.code : "other";
}
