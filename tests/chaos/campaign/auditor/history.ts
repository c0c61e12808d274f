import type { Commit } from "./wal.ts";

/** A job as one commit left it. */
export interface JobState {
  readonly id: string;
  readonly tenantId: string;
  readonly status: string;
  readonly workerId: string | null;
  readonly attempt: number;
  readonly concurrencyKey: string | null;
}

/** One change of a job. */
export interface Step {
  readonly atMs: number;
  readonly before: JobState | undefined;
  /** Undefined when the row was deleted. */
  readonly after: JobState | undefined;
  readonly jobId: string;
}

const terminal = new Set(["succeeded", "failed", "cancelled"]);

export function isTerminal(state: JobState | undefined): boolean {
  return state !== undefined && terminal.has(state.status);
}

export function isHeld(state: JobState | undefined): state is JobState & { workerId: string } {
  return state !== undefined && (state.status === "assigned" || state.status === "running") && state.workerId !== null;
}

/**
 * Goes through the commits in their order. `onStep` sees each change of a job, `onCommit` all jobs as they stood when
 * the commit became visible.
 */
export function replay(
  commits: readonly Commit[],
  onStep: (step: Step) => void,
  onCommit: (atMs: number, touched: readonly Step[]) => void = () => {},
): void {
  const states = new Map<string, JobState>();
  for (const { atMs, changes } of commits) {
    const steps: Step[] = [];
    for (const { table, kind, row } of changes) {
      if (table !== "jobs") continue;
      const jobId = row["id"]!;
      const before = states.get(jobId);
      const after = kind === "delete" ? undefined : {
        id: jobId,
        tenantId: row["tenant_id"] ?? before?.tenantId ?? "",
        status: row["status"] ?? before?.status ?? "",
        workerId: "worker_id" in row ? row["worker_id"] : before?.workerId ?? null,
        attempt: Number(row["attempts"] ?? before?.attempt ?? 0),
        concurrencyKey: "concurrency_key" in row ? row["concurrency_key"] : before?.concurrencyKey ?? null,
      } as JobState;
      if (after === undefined) states.delete(jobId);
      else states.set(jobId, after);
      const step = { atMs, before, after, jobId };
      steps.push(step);
      onStep(step);
    }
    onCommit(atMs, steps);
  }
}
