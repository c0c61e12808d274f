import { sleep } from "../../../shared/sleep.ts";

/** Resolves at that time by `performance.now()`, or when the signal fires. */
export function pauseUntil(at: number, signal: AbortSignal): Promise<void> {
  return sleep(Math.max(0, at - performance.now()), signal);
}

/** What the promise comes to; undefined when it takes longer than `ms`, or the signal fires first. */
export async function withPatience<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T | undefined> {
  const done = new AbortController();
  try {
    const outOfPatience = sleep(ms, AbortSignal.any([signal, done.signal])).then(() => undefined);
    return await Promise.race([promise, outOfPatience]);
  } finally {
    done.abort();
  }
}

/** What the promise comes to, unless the signal fires first: then its reason is thrown. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", abort));
}
