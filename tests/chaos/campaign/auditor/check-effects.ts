import type { Evidence, WorkerEntry } from "./evidence.ts";
import { replay } from "./history.ts";
import type { Violation } from "./violation.ts";

/**
 * I2 from the workers' side: what is on record was done, by the worker that held the attempt, in that attempt; and
 * nothing came from an attempt once it was over.
 */
export function checkEffects({ roster, jobs, events, lateResults, commits, workerJournals }: Evidence): Violation[] {
  const found: Violation[] = [];
  const executions = new Map<string, { workerId: string; begun: WorkerEntry; ended?: WorkerEntry }>();
  for (const [workerId, entries] of workerJournals) {
    for (const entry of entries) {
      if (entry.execution === undefined) continue;
      if (entry.did === "begin") executions.set(entry.execution, { workerId, begun: entry });
      if (entry.did === "end") {
        const known = executions.get(entry.execution);
        if (known !== undefined) known.ended = entry;
      }
    }
  }
  const holders = new Map<string, string>();
  replay(commits, ({ after, jobId }) => {
    if (after?.workerId) holders.set(`${jobId}/${after.attempt}`, after.workerId);
  });

  /** What is wrong with saying that this execution did something in this attempt; undefined when nothing is. */
  function doubt(execution: unknown, jobId: string, attempt: number, outcome?: string): string | undefined {
    const known = executions.get(String(execution));
    if (known === undefined) return `comes from "${execution}", which is in no worker's journal`;
    const { begun, ended, workerId } = known;
    if (begun.job !== jobId || begun.attempt !== attempt) {
      return `comes from the execution of ${begun.job}, attempt ${begun.attempt}`;
    }
    if (workerId !== holders.get(`${jobId}/${attempt}`)) return `comes from worker ${workerId}, which did not hold it`;
    if (outcome !== undefined && ended?.outcome !== outcome) {
      return `is ${outcome}, and the journal says ${ended?.outcome ?? "that it never ended"}`;
    }
    return undefined;
  }

  for (const { id, type, status, attempts, result } of jobs) {
    if (status !== "succeeded" || type === "muster.batch") continue;
    const wrong = doubt(result?.execution, id, attempts, "succeeded");
    if (wrong !== undefined) found.push({ kind: "unproven", what: `its result ${wrong}`, jobId: id });
  }

  const liars = new Set(roster.workers.filter(({ lies }) => lies).map(({ workerId }) => workerId));
  for (const { job_id, attempt, worker_id, status, result } of lateResults) {
    if (holders.get(`${job_id}/${attempt}`) !== worker_id) {
      const what = `a late result of attempt ${attempt} is kept from ${worker_id}, which did not hold it`;
      found.push({ kind: "unproven", what, jobId: job_id });
    }
    // What a liar says of its own attempts is its own affair.
    if (status !== "succeeded" || liars.has(worker_id)) continue;
    const wrong = doubt(result?.execution, job_id, attempt, "succeeded");
    if (wrong !== undefined) found.push({ kind: "unproven", what: `a late result of it ${wrong}`, jobId: job_id });
  }

  let job = "";
  let open: number | null = null;
  // Later events of a job repeat its last error: an error is judged where it first stands.
  const errors = new Set<unknown>();
  for (const { job_id, sequence, attempt, kind, data } of events) {
    if (job_id !== job) {
      job = job_id;
      open = null;
    }
    if (kind === "status") {
      open = data.status === "assigned" || data.status === "running" ? attempt : null;
      const { code = "", details } = data.error ?? {};
      if (!code.startsWith("campaign_") || errors.has(details?.execution)) continue;
      errors.add(details?.execution);
      const wrong = doubt(details?.execution, job_id, attempt, "failed");
      if (wrong !== undefined) found.push({ kind: "unproven", what: `a failure of it ${wrong}`, jobId: job_id });
      continue;
    }
    if (attempt !== open) {
      found.push({ kind: "stale", what: `event ${sequence} is of attempt ${attempt}, which was over`, jobId: job_id });
    }
    const wrong = doubt(kind === "progress" ? data.note : data.execution, job_id, attempt);
    if (wrong !== undefined) found.push({ kind: "unproven", what: `event ${sequence} ${wrong}`, jobId: job_id });
  }
  return found;
}
