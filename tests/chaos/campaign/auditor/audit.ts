import { checkEffects } from "./check-effects.ts";
import { checkLimits } from "./check-limits.ts";
import { checkOutcomes } from "./check-outcomes.ts";
import { checkTenants } from "./check-tenants.ts";
import type { Evidence } from "./evidence.ts";
import { replay } from "./history.ts";
import type { Violation } from "./violation.ts";

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
  /** Results that came too late to count, and are kept with their jobs. */
  readonly lateResults: number;
}

/** Judges a run by I1 to I6. No violation at all is the only pass. */
export function audit(evidence: Evidence): { violations: Violation[]; totals: Totals } {
  return {
    violations: [
      ...checkOutcomes(evidence),
      ...checkEffects(evidence),
      ...checkLimits(evidence),
      ...checkTenants(evidence),
    ],
    totals: count(evidence),
  };
}

function count({ jobs, lateResults, commits, workerJournals }: Evidence): Totals {
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
