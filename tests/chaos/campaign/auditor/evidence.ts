import { join } from "node:path";
import postgres from "postgres";
import type { Commit } from "./wal.ts";

/** A line of a worker's journal. */
export interface WorkerEntry {
  readonly did: string;
  readonly job?: string;
  readonly attempt?: number;
  readonly execution?: string;
  readonly tenant?: string;
  readonly key?: string;
  readonly outcome?: string;
  readonly [field: string]: unknown;
}

/** A line of an app's journal. */
export interface AppEntry {
  readonly did: string;
  readonly app: string;
  readonly tenant: string;
  readonly key?: string;
  readonly job?: string;
  readonly jobs?: readonly string[];
  readonly created?: boolean;
  readonly status?: string;
  readonly execution?: string | null;
  readonly got?: unknown;
}

/** Who took part, as the campaign knows it. `tenant` is the word that marks all data of a tenant. */
export interface Roster {
  readonly tenants: readonly { readonly tenant: string; readonly tenantId: string }[];
  readonly workers: readonly RosterWorker[];
  readonly apps: readonly { readonly name: string; readonly tenant: string; readonly folder: string }[];
}

export interface RosterWorker {
  readonly name: string;
  readonly workerId: string;
  readonly tenant: string;
  readonly slots: number;
  readonly folder: string;
  readonly lies: boolean;
}

export interface JobRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly status: string;
  readonly worker_id: string | null;
  readonly attempts: number;
  readonly result: { readonly execution?: unknown } | null;
  readonly idempotency_key: string | null;
}

export interface EventRow {
  readonly job_id: string;
  readonly sequence: number;
  readonly attempt: number;
  readonly kind: string;
  readonly data: {
    readonly status?: string;
    readonly worker_id?: string;
    readonly note?: string | null;
    readonly execution?: string;
    readonly error?: { readonly code?: string; readonly details?: { readonly execution?: string } };
  };
}

/** What a worker answered for an attempt that was over: it counts for nothing, and is kept to be looked at. */
export interface LateResultRow {
  readonly job_id: string;
  readonly attempt: number;
  readonly worker_id: string;
  readonly status: string;
  readonly result: { readonly execution?: unknown } | null;
}

/** All that there is to judge a run by. */
export interface Evidence {
  readonly roster: Roster;
  readonly jobs: readonly JobRow[];
  /** In order of job and sequence. */
  readonly events: readonly EventRow[];
  readonly lateResults: readonly LateResultRow[];
  /** In order of their commits. */
  readonly commits: readonly Commit[];
  /** By worker id. */
  readonly workerJournals: ReadonlyMap<string, readonly WorkerEntry[]>;
  readonly appJournals: readonly AppEntry[];
}

/** Reads the database, as a superuser, and the journals. */
export async function gather(adminDbUrl: string, roster: Roster, commits: readonly Commit[]): Promise<Evidence> {
  const workerJournals = new Map<string, WorkerEntry[]>();
  for (const { workerId, folder } of roster.workers) {
    workerJournals.set(workerId, await readJournal<WorkerEntry>(folder));
  }
  const appJournals: AppEntry[] = [];
  for (const { folder } of roster.apps) appJournals.push(...await readJournal<AppEntry>(folder));
  const sql = postgres(adminDbUrl, { max: 1, onnotice: () => {} });
  try {
    return await sql.begin("isolation level repeatable read read only", async (tx) => ({
      roster,
      commits,
      workerJournals,
      appJournals,
      jobs: await tx<JobRow[]>`
        select id, tenant_id, status, worker_id, attempts, result, idempotency_key from muster.jobs`,
      lateResults: await tx<LateResultRow[]>`
        select job_id, attempt, worker_id, status, result from muster.late_results`,
      events: (await tx<(Omit<EventRow, "sequence"> & { sequence: string })[]>`
        select job_id, sequence, attempt, kind, data from muster.job_events order by job_id, sequence`)
        .map((row) => ({ ...row, sequence: Number(row.sequence) })),
    }));
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The last line may be cut short, where its process was killed while it wrote. Every other one must be whole. */
async function readJournal<T>(folder: string): Promise<T[]> {
  const text = await Deno.readTextFile(join(folder, "journal.jsonl")).catch(() => "");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}
