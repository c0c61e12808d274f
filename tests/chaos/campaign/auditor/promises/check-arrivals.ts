import type { Evidence } from "../evidence.ts";
import { isTerminal, replay } from "../history.ts";
import type { Violation } from "../violation.ts";

const minuteMs = 60_000;
/** A run that is so late is missed; the tick takes a moment to find out. */
const missedAfterMs = minuteMs + 5_000;

/** What makes jobs without an app: runs of schedules are made as they ask, messages become one job each and are archived. */
export function checkArrivals(evidence: Evidence): Violation[] {
  return [...checkSchedules(evidence), ...checkMessages(evidence)];
}

function checkSchedules({ roster, jobs, commits, refusedRuns }: Evidence): Violation[] {
  const found: Violation[] = [];
  const before = new Map<string, { id: string; overlap: string }>();
  for (const { id, name, cron, overlap, catchUp, fromMs } of roster.schedules ?? []) {
    const say = (what: string, jobId?: string) =>
      found.push({ kind: "promise", what: `schedule "${name}" ${what}`, ...(jobId === undefined ? {} : { jobId }) });
    const refusal = refusedRuns.get(id);
    if (refusal !== undefined) say(`was refused a run: ${refusal}`);
    const runs = jobs.filter(({ idempotency_key }) => idempotency_key?.startsWith(`schedule:${id}:`))
      .map(({ id: jobId, idempotency_key, created_ms }) => ({
        ...{ jobId, createdMs: created_ms, atMs: Date.parse(idempotency_key!.slice(`schedule:${id}:`.length)) },
      })).sort((a, b) => a.atMs - b.atMs);
    const everyMs = cron.startsWith("*") ? minuteMs : 60 * minuteMs;
    for (const [index, { jobId, atMs, createdMs }] of runs.entries()) {
      const last = runs[index - 1];
      if (atMs % everyMs !== 0 || atMs < fromMs) {
        say(`ran for ${new Date(atMs).toISOString()}, which is none of its times`, jobId);
      }
      if (createdMs < atMs) say(`ran ${atMs - createdMs} ms early`, jobId);
      if (catchUp === "none" && createdMs - atMs > missedAfterMs) say(`made up for a run that it had missed`, jobId);
      if (catchUp === "last" && createdMs - atMs > everyMs + missedAfterMs) {
        say(`made up for more than its last run`, jobId);
      }
      if (last !== undefined && overlap !== "allow") before.set(jobId, { id: last.jobId, overlap });
    }
    if (catchUp !== "all") continue;
    const [first, last] = [runs[0], runs.at(-1)];
    if (first?.atMs !== fromMs) say(`did not make up for its run of ${new Date(fromMs).toISOString()}`);
    if (last !== undefined && runs.length !== (last.atMs - fromMs) / everyMs + 1) {
      say(`made ${runs.length} runs up to ${new Date(last.atMs).toISOString()}`);
    }
  }

  // The job of the run before has ended by the time the next one is stored, or in that very commit.
  const known = new Set<string>();
  replay(commits, () => {}, (_, steps, states) => {
    for (const { jobId } of steps) {
      const last = before.get(jobId);
      if (last === undefined || known.has(jobId)) continue;
      known.add(jobId);
      if (isTerminal(states.get(last.id))) continue;
      found.push({ kind: "promise", what: `overlaps with ${last.id}, against the policy ${last.overlap}`, jobId });
    }
  });
  return found;
}

function checkMessages({ jobs, messages, appJournals }: Evidence): Violation[] {
  const found: Violation[] = [];
  const say = (what: string, jobId?: string) =>
    found.push({ kind: "promise", what, ...(jobId === undefined ? {} : { jobId }) });
  const jobsOf = new Map<number, { id: string; status: string }[]>();
  for (const { id, status, message } of jobs) {
    if (message !== null) jobsOf.set(message.id, [...jobsOf.get(message.id) ?? [], { id, status }]);
  }
  const byKey = new Map<string, number>();
  for (const { id, key, isArchived, status } of messages) {
    byKey.set(key, (byKey.get(key) ?? 0) + 1);
    const made = jobsOf.get(id) ?? [];
    if (!isArchived) say(`message ${id} is still in its queue`);
    if (made.length !== 1) say(`message ${id} became ${made.length} jobs`);
    if (isArchived && made.length === 1 && made[0]!.status !== status) {
      say(`message ${id} was archived as ${status}, and its job is ${made[0]!.status}`, made[0]!.id);
    }
  }
  const ids = new Set(messages.map(({ id }) => id));
  for (const [id, made] of jobsOf) {
    if (!ids.has(id)) say(`message ${id} is neither in its queue nor archived`, made[0]!.id);
  }
  const posted = new Set(appJournals.flatMap(({ did, key }) => did === "post" ? [key!] : []));
  for (const { did, key } of appJournals) {
    if (did === "sent" && !byKey.has(key!)) say(`the message ${key} was sent and is gone`);
  }
  for (const [key, count] of byKey) {
    if (count > 1) say(`the message ${key} is there ${count} times`);
    if (!posted.has(key)) say(`nobody sent the message ${key}`);
  }
  return found;
}
