import type { Change, Commit } from "./wal.ts";

/** A job as one commit left it. */
export interface JobState {
  readonly id: string;
  readonly tenantId: string;
  readonly status: string;
  readonly workerId: string | null;
  readonly attempt: number;
  readonly concurrencyKey: string | null;
  readonly waitingFor: string | null;
  readonly parentId: string | null;
  readonly key: string | null;
  readonly errorCode: string | null;
  readonly released: number;
  /** By the database's clock, in milliseconds since the epoch; NaN where there is none. */
  readonly runAtMs: number;
  readonly startedAtMs: number;
  readonly assignedAtMs: number;
  readonly updatedAtMs: number;
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
 * the commit became visible, and `onOther` what the other watched tables had of it.
 */
export function replay(
  commits: readonly Commit[],
  onStep: (step: Step) => void,
  onCommit: (atMs: number, touched: readonly Step[], states: ReadonlyMap<string, JobState>) => void = () => {},
  onOther: (change: Change, atMs: number) => void = () => {},
): void {
  const states = new Map<string, JobState>();
  for (const { atMs, changes } of commits) {
    const steps: Step[] = [];
    for (const change of changes) {
      const { table, kind, row } = change;
      if (table !== "jobs") {
        onOther(change, atMs);
        continue;
      }
      const jobId = row["id"]!;
      const before = states.get(jobId);
      const after = kind === "delete" ? undefined : stateOf(jobId, row, before);
      if (after === undefined) states.delete(jobId);
      else states.set(jobId, after);
      const step = { atMs, before, after, jobId };
      steps.push(step);
      onStep(step);
    }
    onCommit(atMs, steps, states);
  }
}

function stateOf(id: string, row: Change["row"], before: JobState | undefined): JobState {
  const text = (column: string, known: string | null | undefined) => column in row ? row[column]! : known ?? null;
  const instant = (column: string, known = NaN) => column in row ? instantMs(row[column]!) : known;
  return {
    id,
    tenantId: row["tenant_id"] ?? before?.tenantId ?? "",
    status: row["status"] ?? before?.status ?? "",
    workerId: text("worker_id", before?.workerId),
    attempt: Number(row["attempts"] ?? before?.attempt ?? 0),
    concurrencyKey: text("concurrency_key", before?.concurrencyKey),
    waitingFor: text("waiting_for", before?.waitingFor),
    parentId: text("parent_id", before?.parentId),
    key: text("idempotency_key", before?.key),
    errorCode: "error" in row ? codeOf(row["error"]!) : before?.errorCode ?? null,
    released: Number(row["released_count"] ?? before?.released ?? 0),
    runAtMs: instant("run_at", before?.runAtMs),
    startedAtMs: instant("started_at", before?.startedAtMs),
    assignedAtMs: instant("assigned_at", before?.assignedAtMs),
    updatedAtMs: instant("updated_at", before?.updatedAtMs),
  };
}

/** As Postgres writes it: `2026-11-21 20:12:33.123456+00`. */
export function instantMs(text: string | null): number {
  return text === null ? NaN : Date.parse(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"));
}

function codeOf(error: string | null): string | null {
  return error === null ? null : String(JSON.parse(error)?.code ?? "");
}
