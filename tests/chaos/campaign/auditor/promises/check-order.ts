import { askedOf } from "../asked.ts";
import type { Evidence } from "../evidence.ts";
import { isTerminal, replay } from "../history.ts";
import type { Violation } from "../violation.ts";

const past = new Set(["queued", "assigned", "running"]);

/**
 * Jobs that come after others, and batches: nobody is let in before those have ended as it asks, and fails for them only if
 * they did not succeed; a batch ends when it takes no more jobs and all it has have ended, with their numbers.
 */
export function checkOrder(evidence: Evidence): Violation[] {
  const { jobs, commits, appJournals } = evidence;
  const askedBy = askedOf(evidence);
  const found: Violation[] = [];
  const rows = new Map(jobs.map((job) => [job.id, job]));
  const afters = new Map(
    appJournals.flatMap(({ did, job, after = [] }) => did === "submit" && after.length > 0 ? [[job!, after]] : []),
  );
  const closedMs = new Map(appJournals.flatMap(({ did, job, wallMs }) => did === "close" ? [[job!, wallMs!]] : []));
  const opened = new Set(
    appJournals.flatMap(({ did, key, tenant, policies }) =>
      did === "ask" && policies?.includes("batch, open") ? [`${tenant}/${key}`] : []
    ),
  );
  const batches = new Map(
    appJournals.flatMap(({ did, key, tenant, job }) =>
      did === "submit" && rows.get(job!)?.type === "muster.batch" ? [[job!, `${tenant}/${key}`]] : []
    ),
  );
  const children = new Map<string, string[]>();
  for (const { id, parent_id } of jobs) {
    if (parent_id !== null) children.set(parent_id, [...children.get(parent_id) ?? [], id]);
  }

  replay(commits, () => {}, (atMs, steps, states) => {
    for (const { before, after, jobId } of steps) {
      if (after === undefined) continue;
      for (const name of past.has(after.status) && !past.has(before?.status ?? "") ? afters.get(jobId) ?? [] : []) {
        const other = states.get(name);
        if (!isTerminal(other)) {
          found.push({
            kind: "promise",
            what: `was let in while ${name}, which it comes after, was ${other?.status}`,
            jobId,
          });
        } else if (other!.status !== "succeeded" && askedBy(jobId).afterPolicy !== "ended") {
          found.push({ kind: "promise", what: `was let in although ${name} had ${other!.status}`, jobId });
        }
      }
      const name = batches.get(jobId);
      if (name === undefined || !isTerminal(after) || isTerminal(before) || after.status === "cancelled") continue;
      for (const [childId, child] of states) {
        if (child.parentId !== jobId || isTerminal(child)) continue;
        found.push({
          kind: "promise",
          what: `batch ${name} ended while its job ${childId} was ${child.status}`,
          jobId,
        });
      }
      // Written down just before it was asked for.
      if (opened.has(name) && !((closedMs.get(jobId) ?? Infinity) <= atMs + 1)) {
        found.push({ kind: "promise", what: `batch ${name} ended while it was open`, jobId });
      }
    }
  });

  for (const [jobId, after] of afters) {
    const row = rows.get(jobId);
    if (row?.error?.code !== "dependency_failed") continue;
    const isTrue = row.status === "failed" && askedBy(jobId).afterPolicy !== "ended" &&
      after.some((name) => rows.get(name)?.status !== "succeeded");
    if (!isTrue) {
      found.push({ kind: "promise", what: "failed for jobs that it comes after, and they succeeded", jobId });
    }
  }
  for (const [jobId, name] of batches) {
    const { status, result, error } = rows.get(jobId)!;
    if (status === "cancelled") continue;
    const statuses = (children.get(jobId) ?? []).map((id) => rows.get(id)!.status);
    const count = (of: string) => statuses.filter((each) => each === of).length;
    const counts = { succeeded: count("succeeded"), failed: count("failed"), cancelled: count("cancelled") };
    const told = (status === "succeeded" ? result : error?.details) ?? {};
    const isTrue = Object.entries(counts).every(([of, number]) => told[of] === number) &&
      (status === "succeeded") === (counts.succeeded === statuses.length);
    if (isTrue) continue;
    const what = `batch ${name} is ${status} with ${JSON.stringify(told)} of ${JSON.stringify(counts)}`;
    found.push({ kind: "promise", what, jobId });
  }
  return found;
}
