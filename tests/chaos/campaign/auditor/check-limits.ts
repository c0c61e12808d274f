import type { Evidence } from "./evidence.ts";
import { askedOf } from "./asked.ts";
import { isHeld, type JobState, replay } from "./history.ts";
import type { Violation } from "./violation.ts";

/** I5: after no commit does a worker hold more than its slots, or a concurrency key run more than its limit. */
export function checkLimits(evidence: Evidence): Violation[] {
  const { roster, commits } = evidence;
  const askedBy = askedOf(evidence);
  const slotsOf = (jobId: string) => askedBy(jobId).resources?.["slots"] ?? 1;
  const found: Violation[] = [];
  const slots = new Map(roster.workers.map(({ workerId, slots }) => [workerId, slots]));
  const held = new Map<string, Set<string>>();
  const running = new Map<string, Set<string>>();
  const keyOf = ({ tenantId, concurrencyKey }: JobState) => concurrencyKey && `${tenantId}/${concurrencyKey}`;

  replay(commits, ({ before, after, jobId }) => {
    if (isHeld(before)) {
      held.get(before.workerId)?.delete(jobId);
      const key = keyOf(before);
      if (key) running.get(key)?.delete(jobId);
    }
    if (isHeld(after)) {
      add(held, after.workerId, jobId);
      const key = keyOf(after);
      if (key) add(running, key, jobId);
    }
  }, (atMs, steps) => {
    // Only what a commit touched can be over its limit now.
    for (const { after, jobId } of steps) {
      if (!isHeld(after)) continue;
      const at = new Date(atMs).toISOString();
      const ofWorker = [...held.get(after.workerId)!].reduce((sum, id) => sum + slotsOf(id), 0);
      const most = slots.get(after.workerId);
      if (most === undefined) {
        found.push({ kind: "limit", what: `is held by the unknown worker ${after.workerId}`, jobId });
      } else if (ofWorker > most) {
        found.push({ kind: "limit", what: `worker ${after.workerId} holds ${ofWorker} of ${most} at ${at}`, jobId });
      }
      const key = keyOf(after);
      if (!key) continue;
      const limit = Number(/\/limit-(\d+)-/.exec(key)?.[1]);
      const ofKey = running.get(key)!.size;
      if (!(ofKey <= limit)) {
        found.push({ kind: "limit", what: `key ${key} runs ${ofKey} of ${limit} at ${at}`, jobId });
      }
    }
  });
  return found;
}

function add(sets: Map<string, Set<string>>, name: string, item: string): void {
  const set = sets.get(name);
  if (set === undefined) sets.set(name, new Set([item]));
  else set.add(item);
}
