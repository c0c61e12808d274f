import { isEnded, type Job, type WaitedJob } from "../../shared/contracts/jobs.ts";
import { sleep } from "../../shared/sleep.ts";

/** Most jobs that somebody waits for end at once, so the first look comes soon and the pauses grow. */
const firstPauseMs = 15;
const longestPauseMs = 500;
const growth = 1.5;

export interface UntilEndedOptions {
  readonly timeoutMs: number;
  /** Nobody waits any longer: the loop ends. */
  readonly signal: AbortSignal;
  readonly now?: () => number;
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Reads a job until it has ended, the time is up, or the waiting is given up. */
export async function untilEnded(
  read: () => Promise<Job>,
  { timeoutMs, signal, now = Date.now, pause = sleep }: UntilEndedOptions,
): Promise<WaitedJob> {
  const deadline = now() + timeoutMs;
  for (let pauseMs = firstPauseMs;; pauseMs = Math.min(pauseMs * growth, longestPauseMs)) {
    const job = await read();
    const ended = isEnded(job.status);
    const leftMs = deadline - now();
    if (ended || leftMs <= 0 || signal.aborted) return { ...job, ended };
    await pause(Math.min(pauseMs, leftMs), signal);
  }
}
