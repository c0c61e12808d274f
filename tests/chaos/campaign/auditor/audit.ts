import { checkEffects } from "./check-effects.ts";
import { checkLimits } from "./check-limits.ts";
import { checkOutcomes } from "./check-outcomes.ts";
import { checkTenants } from "./check-tenants.ts";
import type { Evidence } from "./evidence.ts";
import { replay } from "./history.ts";
import { checkArrivals } from "./promises/check-arrivals.ts";
import { checkKeys } from "./promises/check-keys.ts";
import { checkOrder } from "./promises/check-order.ts";
import { checkPlacement } from "./promises/check-placement.ts";
import { checkRetries } from "./promises/check-retries.ts";
import type { Violation } from "./violation.ts";

export interface PolicyTotals {
  jobs: number;
  readonly ended: Record<string, number>;
  broken: number;
}

export interface Totals {
  readonly jobs: number;
  readonly byStatus: Readonly<Record<string, number>>;
  /** Attempts that were started on record. */
  readonly attempts: number;
  /** Attempts beyond a job's first. */
  readonly retries: number;
  /** Times a handler began: more than attempts, where a worker ran one without the record's knowing or a second time. */
  readonly executions: number;
  /** Executions that ended well, and whose result is not the one on record: refused as stale, or never delivered. */
  readonly uncountedResults: number;
  /** Of each policy: how many jobs asked for it, and how many of them were refused or ended how. */
  readonly byPolicy: ReadonlyMap<string, PolicyTotals>;
  /** Results that came too late to count, and are kept with their jobs. */
  readonly lateResults: number;
}

/** Judges a run by I1 to I6, and by what each policy of a job promises. No violation at all is the only pass. */
export function audit(evidence: Evidence): { violations: Violation[]; totals: Totals } {
  const violations = [
    ...checkOutcomes(evidence),
    ...checkEffects(evidence),
    ...checkLimits(evidence),
    ...checkTenants(evidence),
    ...checkKeys(evidence),
    ...checkOrder(evidence),
    ...checkPlacement(evidence),
    ...checkRetries(evidence),
    ...checkArrivals(evidence),
    ...evidence.disagreements.map((what) => ({ kind: "place", what }) as const),
  ];
  return { violations, totals: { ...count(evidence), byPolicy: countPolicies(evidence, violations) } };
}

/** Jobs without an app count as what they came from. */
function countPolicies(
  { jobs, roster, appJournals, letters, operatorJournal }: Evidence,
  violations: readonly Violation[],
): Map<string, PolicyTotals> {
  const totals = new Map<string, PolicyTotals>();
  const broken = new Set(violations.map(({ jobId }) => jobId));
  const tenants = new Map(roster.tenants.map(({ tenant, tenantId }) => [tenantId, tenant]));
  const rows = new Map(jobs.map((row) => [`${tenants.get(row.tenant_id)}/${row.idempotency_key}`, row]));
  const add = (name: string, row: Evidence["jobs"][number] | undefined) => {
    const of = totals.get(name) ?? { jobs: 0, ended: {}, broken: 0 };
    totals.set(name, of);
    of.jobs += 1;
    const end = row?.error?.code === "replaced" ? "replaced" : row?.status ?? "refused";
    of.ended[end] = (of.ended[end] ?? 0) + 1;
    if (row !== undefined && broken.has(row.id)) of.broken += 1;
  };
  const asks = new Map(appJournals.flatMap((entry) => {
    return entry.did === "ask" ? [[`${entry.tenant}/${entry.key}`, entry.policies ?? []]] : [];
  }));
  for (const [name, policies] of asks) for (const policy of policies) add(policy, rows.get(name));
  const schedules = new Map(roster.schedules?.map(({ id, name }) => [id, `schedule, ${name}`]));
  const byId = new Map(jobs.map((row) => [row.id, row]));
  for (const row of jobs) {
    const schedule = schedules.get(/^schedule:([^:]+):/.exec(row.idempotency_key ?? "")?.[1] ?? "");
    if (schedule !== undefined) add(schedule, row);
    if (row.message !== null) add("message of a queue", row);
  }
  for (const { replayed_as } of letters) if (replayed_as !== null) add("dead letter, replayed", byId.get(replayed_as));
  for (const { did, job } of operatorJournal) if (did === "rebound") add("rebound", byId.get(job!));
  totals.set("cordon", { jobs: operatorJournal.filter(({ did }) => did === "cordon").length, ended: {}, broken: 0 });
  return totals;
}

function count({ jobs, lateResults, commits, workerJournals }: Evidence): Omit<Totals, "byPolicy"> {
  const byStatus: Record<string, number> = {};
  for (const { status } of jobs) byStatus[status] = (byStatus[status] ?? 0) + 1;
  const started = new Set<string>();
  replay(commits, ({ after, jobId }) => {
    if (after?.status === "running") started.add(`${jobId}/${after.attempt}`);
  });
  const tried = new Set([...started].map((name) => name.slice(0, name.indexOf("/"))));
  const recorded = new Set(jobs.map(({ result }) => result?.execution));
  const entries = [...workerJournals.values()].flat();
  return {
    jobs: jobs.length,
    byStatus,
    attempts: started.size,
    retries: started.size - tried.size,
    executions: entries.filter(({ did }) => did === "begin").length,
    lateResults: lateResults.length,
    uncountedResults:
      entries.filter(({ did, outcome, execution }) =>
        did === "end" && outcome === "succeeded" && !recorded.has(execution)
      ).length,
  };
}
