import type { Attempt, Job } from "./vocabulary.ts";

export function isOver(at: number | null, now: number): boolean {
  return at !== null && at < now;
}

/** As the queue is served. */
export function byRank(a: Job, b: Job): number {
  return b.raisedTo - a.raisedTo || a.rank - b.rank || a.position - b.position;
}

/** As jobs wait for a key, and as a worker is told of several. */
export function byPlace(a: Job, b: Job): number {
  return b.priority - a.priority || a.position - b.position;
}

export function handed(jobs: readonly Job[]): Attempt[] {
  return [...jobs].sort(byPlace).map(({ name, attempts }) => ({ job: name, attempt: attempts }));
}
