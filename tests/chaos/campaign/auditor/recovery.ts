import { isHeld, isTerminal, type JobState, replay, type Step } from "./history.ts";
import type { Commit } from "./wal.ts";

/** A fault as far as the auditor is concerned. */
export interface Strike {
  readonly fault: string;
  readonly struckAtMs: number;
  /** Ids of the workers that were hit; null for all. */
  readonly workerIds: readonly string[] | null;
}

/** What a fault did to the jobs that were held where it struck. */
export interface Aftermath {
  readonly fault: string;
  readonly touched: readonly string[];
  /** From the strike until every touched job ran in a later attempt or had ended; null when one never did. */
  readonly recoveryMs: number | null;
}

/** Finds for each strike the jobs it touched, and how long they took to be all right again. */
export function aftermaths(commits: readonly Commit[], strikes: readonly Strike[]): Aftermath[] {
  const pending = [...strikes].sort((a, b) => a.struckAtMs - b.struckAtMs);
  const struck: { strike: Strike; touched: Map<string, number>; open: Set<string>; lastMs: number }[] = [];
  const held = new Map<string, JobState & { workerId: string }>();

  function strikeUntil(atMs: number): void {
    while (pending.length > 0 && pending[0]!.struckAtMs < atMs) {
      const strike = pending.shift()!;
      const touched = new Map<string, number>();
      for (const { id, attempt, workerId } of held.values()) {
        if (strike.workerIds === null || strike.workerIds.includes(workerId)) touched.set(id, attempt);
      }
      struck.push({ strike, touched, open: new Set(touched.keys()), lastMs: strike.struckAtMs });
    }
  }

  function onStep({ atMs, after, jobId }: Step): void {
    strikeUntil(atMs);
    if (isHeld(after)) held.set(jobId, after);
    else held.delete(jobId);
    for (const each of struck) {
      if (!each.open.has(jobId)) continue;
      const runsAgain = after?.status === "running" && after.attempt > each.touched.get(jobId)!;
      if (!runsAgain && !isTerminal(after)) continue;
      each.open.delete(jobId);
      each.lastMs = atMs;
    }
  }

  replay(commits, onStep);
  strikeUntil(Infinity);
  return struck.map(({ strike, touched, open, lastMs }) => ({
    fault: strike.fault,
    touched: [...touched.keys()],
    recoveryMs: open.size > 0 ? null : lastMs - strike.struckAtMs,
  }));
}
