import { askedOf } from "../asked.ts";
import type { Evidence } from "../evidence.ts";
import { type JobState, replay } from "../history.ts";
import type { Violation } from "../violation.ts";

/** What a start may lack when sums of fractions are compared. */
const lack = 1e-6;

/**
 * Concurrency policies: a job that rejects or replaces finds room or makes it, in the commit that stores it; and who was
 * replaced was so by such a job. Rates: in no stretch of time do more units start than the burst and what the time brings.
 */
export function checkKeys(evidence: Evidence): Violation[] {
  const askedBy = askedOf(evidence);
  const found: Violation[] = [];
  const standing = new Map<string, Set<string>>();
  const starts = new Map<string, { atMs: number; units: number; jobId: string }[]>();
  const started = new Set<string>();

  replay(evidence.commits, ({ before, after, jobId }) => {
    for (const state of [before, after]) {
      const key = keyOf(state);
      if (key === undefined) continue;
      const set = standing.get(key) ?? new Set();
      standing.set(key, set);
      if (state === after && stands(after!)) set.add(jobId);
      else set.delete(jobId);
    }
    const { rateLimit } = askedBy(jobId);
    if (rateLimit === undefined || after === undefined || Number.isNaN(after.startedAtMs)) return;
    const attempt = `${jobId}/${after.attempt}`;
    if (after.status !== "running" || started.has(attempt)) return;
    started.add(attempt);
    const key = `${after.tenantId}/${rateLimit.key}`;
    starts.set(key, starts.get(key) ?? []);
    starts.get(key)!.push({ atMs: after.startedAtMs, units: rateLimit.units ?? 1, jobId });
  }, (_, steps) => {
    for (const { before, after, jobId } of steps) {
      const { concurrencyPolicy = "wait", concurrencyLimit = 1 } = askedBy(jobId);
      const key = keyOf(after);
      if (before !== undefined || key === undefined || concurrencyPolicy === "wait") continue;
      const others = [...standing.get(key)!];
      if (others.length > concurrencyLimit) {
        const what = `policy ${concurrencyPolicy} stored it with ${others.length} of ${concurrencyLimit} at its key`;
        found.push({ kind: "promise", what, jobId });
      }
    }
  });

  const rows = new Map(evidence.jobs.map((job) => [job.id, job]));
  for (const { id, status, error } of evidence.jobs) {
    if (error?.code !== "replaced") continue;
    const by = String(error.details?.["jobId"]);
    const isTrue = status === "cancelled" && rows.has(by) && askedBy(by).concurrencyPolicy === "replace" &&
      askedBy(by).concurrencyKey === askedBy(id).concurrencyKey;
    if (!isTrue) found.push({ kind: "promise", what: `is ${status}, replaced by ${by}, which did not ask`, jobId: id });
  }

  for (const [key, all] of starts) {
    all.sort((a, b) => a.atMs - b.atMs);
    const { limit, perSeconds, burst = limit } = askedBy(all[0]!.jobId).rateLimit!;
    for (let first = 0; first < all.length; first += 1) {
      let units = 0;
      for (const { atMs, units: more, jobId } of all.slice(first)) {
        units += more;
        const seconds = (atMs - all[first]!.atMs + 1) / 1000;
        if (units <= burst + seconds * limit / perSeconds + lack) continue;
        found.push({ kind: "promise", what: `rate ${key} let ${units} units start in ${seconds.toFixed(3)} s`, jobId });
        break;
      }
    }
  }
  return found;
}

function keyOf(state: JobState | undefined): string | undefined {
  return state?.concurrencyKey ? `${state.tenantId}/${state.concurrencyKey}` : undefined;
}

/** Takes room at its key, or waits for some. */
function stands({ status, waitingFor }: JobState): boolean {
  return ["queued", "assigned", "running"].includes(status) || status === "blocked" && waitingFor !== "dependencies";
}
