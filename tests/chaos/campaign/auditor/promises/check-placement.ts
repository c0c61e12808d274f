import { meets } from "../../mix/meets.ts";
import { askedOf } from "../asked.ts";
import type { Evidence } from "../evidence.ts";
import { isHeld, replay } from "../history.ts";
import type { Violation } from "../violation.ts";

/** Since a hard key was last used, or a resource was held: less than what was asked, for clocks read before a lock. */
const hardKeyKeptMs = 3_000;
const resourceKnownMs = 60_000;

/**
 * Where attempts go: to workers whose labels are as asked, that have what they take, and that are not cordoned; those of a
 * hard key to the same, and those that need a named resource to one that holds it. An operator's word goes before the last two.
 */
export function checkPlacement(evidence: Evidence): Violation[] {
  const { roster, commits, operatorJournal } = evidence;
  const askedBy = askedOf(evidence);
  const found: Violation[] = [];
  const workers = new Map(roster.workers.map((worker) => [worker.workerId, worker]));
  const rebound = new Set(operatorJournal.flatMap(({ did, job }) => did === "rebind" ? [job!] : []));
  const cordoned = new Set<string>();
  const held = new Map<string, Map<string, Readonly<Record<string, number>>>>();
  /** Until when a worker had a named resource: for ever, as long as it has it. */
  const holders = new Map<string, number>();
  const keys = new Map<string, { workerId: string; atMs: number }>();
  let wereCordoned = new Set<string>();

  replay(commits, ({ before, after, jobId }) => {
    if (isHeld(before)) held.get(before.workerId)?.delete(jobId);
    if (!isHeld(after)) return;
    const jobsOf = held.get(after.workerId) ?? new Map();
    held.set(after.workerId, jobsOf.set(jobId, askedBy(jobId).resources ?? {}));
  }, (atMs, steps) => {
    for (const { before, after, jobId } of steps) {
      if (!isHeld(after) || before?.attempt === after.attempt) continue;
      const { workerId, tenantId, assignedAtMs } = after;
      const { name = workerId, labels = {}, resources = {} } = workers.get(workerId) ?? {};
      const { where = [], affinity, resourceRef } = askedBy(jobId);
      const say = (what: string) => found.push({ kind: "promise", what, jobId });
      for (const expression of where) {
        if (!meets(labels, expression)) say(`went to ${name}, which is not ${JSON.stringify(expression)}`);
      }
      for (const resource of Object.keys(askedBy(jobId).resources ?? {})) {
        if (resource === "slots") continue;
        const taken = [...held.get(workerId)!.values()].reduce((sum, each) => sum + (each[resource] ?? 0), 0);
        const most = resources[resource] ?? 0;
        if (taken > most + 1e-9) say(`${name} gives ${taken} of its ${most} ${resource}`);
      }
      if (cordoned.has(workerId) && wereCordoned.has(workerId)) say(`went to ${name} while it was cordoned`);
      if (rebound.has(jobId)) continue;
      if (affinity?.mode === "hard") {
        const key = `${tenantId}/${affinity.key}`;
        const last = keys.get(key);
        if (last !== undefined && last.workerId !== workerId && assignedAtMs - last.atMs < hardKeyKeptMs) {
          const lastName = workers.get(last.workerId)?.name ?? last.workerId;
          say(`key ${affinity.key} went from ${lastName} to ${name} after ${assignedAtMs - last.atMs} ms`);
        }
        keys.set(key, { workerId, atMs: assignedAtMs });
      }
      if (resourceRef !== undefined && (resourceRef.mode ?? "hard") === "hard") {
        const until = holders.get(`${tenantId}/${resourceRef.name}/${workerId}`) ?? -Infinity;
        if (until < atMs - resourceKnownMs) say(`went to ${name}, which does not hold ${resourceRef.name}`);
      }
    }
    wereCordoned = new Set(cordoned);
  }, ({ table, kind, row }, atMs) => {
    if (table === "worker_devices" && "cordoned_at" in row) {
      if (row["cordoned_at"] === null) cordoned.delete(row["id"]!);
      else cordoned.add(row["id"]!);
    }
    if (table === "resource_holders") {
      holders.set(`${row["tenant_id"]}/${row["name"]}/${row["worker_id"]}`, kind === "delete" ? atMs : Infinity);
    }
  });
  return found;
}
