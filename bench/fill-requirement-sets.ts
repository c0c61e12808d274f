import { multiplyJobs } from "./fill-jobs.ts";
import type { MusterCore } from "./muster-core.ts";

/** Classes are interned one after the other; so many in one call. */
const perCall = 1000;

/**
 * Jobs in so many requirement sets, all of which one machine could serve, and no other: it is full, so they wait. They
 * are handed in once a set, as apps do, and multiplied.
 */
export async function fillRequirementSets(muster: MusterCore, jobs: number, sets: number): Promise<void> {
  // A worker has a hundred capabilities at most, and three of them make a set.
  const names = (set: number) => [0, 1, 2].map((place) => `others/${place}-${Math.floor(set / 30 ** place) % 30}`);
  const capabilities = [...new Set(Array.from({ length: sets }, (_, set) => names(set)).flat())];
  const [other] = await muster.createWorkers(1, 1, [...capabilities, "others/busy"]);
  await muster.submitEach([["others/busy"]], { attempt_timeout_seconds: 604_800 });
  await other!.claim(1);
  // It is never lost, though it never beats.
  await muster.db.sql`update muster.worker_heartbeats set deadline_at = now() + interval '7 days'
    where worker_id = ${other!.id}`;

  const models: string[] = [];
  for (let first = 0; first < sets; first += perCall) {
    const items = Array.from({ length: Math.min(perCall, sets - first) }, (_, n) => names(first + n));
    models.push(...await muster.submitEach(items));
  }
  await multiplyJobs(muster.db, models, Math.floor(jobs / sets) - 1);
}
