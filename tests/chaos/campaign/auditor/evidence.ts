import { join } from "node:path";
import postgres from "postgres";
import type { SubmitJob } from "../../../../shared/contracts/jobs.ts";
import { violations } from "../../../support/invariants.ts";
import { type CampaignSchedule, queueName } from "../mix/outside.ts";
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
  /** What a job asked for besides its work, and the names of that. */
  readonly asked?: Partial<SubmitJob>;
  readonly policies?: readonly string[];
  /** The jobs that it was answered to come after. */
  readonly after?: readonly string[];
  readonly wallMs?: number;
  readonly status?: string;
  readonly execution?: string | null;
  readonly got?: unknown;
}

/** Who took part, as the campaign knows it. `tenant` is the word that marks all data of a tenant. */
export interface Roster {
  readonly tenants: readonly { readonly tenant: string; readonly tenantId: string }[];
  readonly workers: readonly RosterWorker[];
  readonly apps: readonly { readonly name: string; readonly tenant: string; readonly folder: string }[];
  readonly schedules?: readonly CampaignSchedule[];
  /** Where the operator's journal is. */
  readonly operator?: string;
}

/** What an operator did. */
export interface OperatorEntry {
  readonly did: string;
  readonly job?: string;
  readonly worker?: string | null;
}

export interface RosterWorker {
  readonly name: string;
  readonly workerId: string;
  readonly tenant: string;
  readonly slots: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly resources?: Readonly<Record<string, number>>;
  readonly folder: string;
  readonly lies: boolean;
}

export interface JobRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly status: string;
  readonly worker_id: string | null;
  readonly attempts: number;
  readonly result: { readonly execution?: unknown; readonly [field: string]: unknown } | null;
  readonly idempotency_key: string | null;
  readonly type: string;
  readonly parent_id: string | null;
  readonly retry_of: string | null;
  readonly error: { readonly code?: string; readonly details?: Readonly<Record<string, unknown>> } | null;
  readonly message: { readonly queue: string; readonly id: number } | null;
  /** In milliseconds since the epoch, by the database's clock. */
  readonly created_ms: number;
}

/** What was kept of a job that failed for good. */
export interface LetterRow {
  readonly job_id: string;
  readonly replayed_as: string | null;
}

/** A message of the bridged queue; archived ones say what became of their jobs. */
export interface MessageRow {
  readonly id: number;
  readonly key: string;
  readonly isArchived: boolean;
  readonly status: string | null;
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
  readonly operatorJournal: readonly OperatorEntry[];
  readonly letters: readonly LetterRow[];
  readonly messages: readonly MessageRow[];
  /** Runs that schedules were refused, by the id of the schedule. */
  readonly refusedRuns: ReadonlyMap<string, string>;
  /** What breaks the invariants of the tables now that all is quiet, in words. */
  readonly disagreements: readonly string[];
}

/** Reads the database, as a superuser, and the journals. */
export async function gather(adminDbUrl: string, roster: Roster, commits: readonly Commit[]): Promise<Evidence> {
  const workerJournals = new Map<string, WorkerEntry[]>();
  for (const { workerId, folder } of roster.workers) {
    workerJournals.set(workerId, await readJournal<WorkerEntry>(folder));
  }
  const appJournals: AppEntry[] = [];
  for (const { folder } of roster.apps) appJournals.push(...await readJournal<AppEntry>(folder));
  const operatorJournal = roster.operator === undefined ? [] : await readJournal<OperatorEntry>(roster.operator);
  const sql = postgres(adminDbUrl, { max: 1, onnotice: () => {} });
  try {
    return await sql.begin("isolation level repeatable read read only", async (tx) => ({
      roster,
      commits,
      workerJournals,
      appJournals,
      operatorJournal,
      jobs: await tx<JobRow[]>`
        select id, tenant_id, status, worker_id, attempts, result, idempotency_key, type, parent_id, retry_of, error,
          policy -> 'message' as message, (extract(epoch from created_at) * 1000)::float8 as created_ms
        from muster.jobs order by position`,
      letters: await tx<LetterRow[]>`select job_id, replayed_as from muster.dead_letters`,
      messages: await readMessages(tx),
      refusedRuns: new Map(
        (await tx<{ id: string; message: string }[]>`
          select id, last_skip ->> 'message' as message from muster.schedules
          where last_skip ->> 'reason' = 'refused'`).map(({ id, message }) => [id, message]),
      ),
      disagreements: await violations(tx),
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

/** Of the bridged queue and its archive; none where there is no queue. */
async function readMessages(tx: postgres.TransactionSql): Promise<MessageRow[]> {
  const [row] = await tx`select to_regclass(${`pgmq.q_${queueName}`}) is not null as is_there`;
  if (!row!.is_there) return [];
  const rows = await tx<{ id: string; key: string; archived: boolean; status: string | null }[]>`
    select msg_id::text as id, message ->> 'key' as key, false as archived, null as status
    from ${tx(`pgmq.q_${queueName}`)}
    union all
    select msg_id::text, message ->> 'key', true, headers -> 'muster' ->> 'status' from ${tx(`pgmq.a_${queueName}`)}`;
  return rows.map(({ id, key, archived, status }) => ({ id: Number(id), key, isArchived: archived, status }));
}

/** The last line may be cut short, where its process was killed while it wrote. Every other one must be whole. */
async function readJournal<T>(folder: string): Promise<T[]> {
  const text = await Deno.readTextFile(join(folder, "journal.jsonl")).catch(() => "");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}
