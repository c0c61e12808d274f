/**
 * lost: submitted, and without an end on record. doubled: two ends, two jobs for a key, or one attempt twice.
 * unproven: on record, but not in the journal of who is said to have done it. stale: an effect of an attempt that was
 * over. limit: slots or a concurrency key exceeded. tenant: something crossed from one tenant to another.
 * promise: a policy of a job, a schedule or a queue was not kept. place: the tables disagree at the end.
 */
export type ViolationKind = "lost" | "doubled" | "unproven" | "stale" | "limit" | "tenant" | "promise" | "place";

export interface Violation {
  readonly kind: ViolationKind;
  readonly what: string;
  readonly jobId?: string;
}
