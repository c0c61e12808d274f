/** The words of the model: jobs, workers, calls and answers as plain data. Times are seconds since the start of the sequence. */

export type JobStatus =
  | "scheduled"
  | "blocked"
  | "queued"
  | "assigned"
  | "running"
  | "succeeded"
  | "failed"
  | "cancelled";
export type Kind = "any" | "gpu";
export type Lane = "one" | "two";

/** How many jobs of a concurrency key may be let in at once. */
export const laneLimits: Readonly<Record<Lane, number>> = { one: 1, two: 2 };

/** A job as it is handed in. */
export type JobSpec = {
  readonly name: string;
  /** The order of handing in, over all submissions. */
  readonly position: number;
  readonly kind: Kind;
  readonly lane: Lane | null;
  readonly idempotencyKey: string | null;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly attemptSeconds: number;
  /** After this time it fails, whatever it is at; null for never. */
  readonly totalSeconds: number | null;
  readonly delaySeconds: number;
  /** What it does when its key has no room. */
  readonly policy: "wait" | "reject" | "replace";
  /** What it comes after: jobs by name, or earlier ones of the same submission by their place. */
  readonly after: readonly (string | number)[];
  /** Whether it starts however those end. */
  readonly afterAny: boolean;
};

export type Job = Omit<JobSpec, "after"> & {
  readonly after: readonly string[];
  status: JobStatus;
  attempts: number;
  released: number;
  worker: number | null;
  result: unknown;
  error: string | null;
  runAt: number;
  /** The random wait of a retry lies between these: known once the database has told it. */
  retryBetween: readonly [number, number] | null;
  deadline: number | null;
  startedAt: number | null;
  expiresAt: number | null;
  /** Its place in the queue, told by the database, as it depends on who hands in at the same moment. */
  rank: number;
  /** What waiting has made of its priority. */
  raisedTo: number;
  queuedAt: number;
  /** Who was given each attempt, from the first on. */
  holders: number[];
  /** Results that came too late, kept as evidence. */
  late: { attempt: number; worker: number; status: string }[];
};

export type Worker = {
  readonly slots: number;
  readonly serves: readonly Kind[];
  status: "online" | "draining" | "offline";
  listening: boolean;
  deaf: boolean;
  drainRequested: boolean;
  lastAssigned: number | null;
  /** Null once it is gone. */
  leaseUntil: number | null;
  /** The nonce sent last; null is one that nobody knows yet. */
  nonce: string | null;
  wakeSent: number;
  wakeHeard: number | null;
};

export type State = { now: number; lastTick: number; wasLate: boolean; jobs: Job[]; workers: Worker[] };

export type Attempt = { readonly job: string; readonly attempt: number };
export type Report = Attempt & { readonly status: "succeeded" | "failed"; readonly retryable: boolean };

export type Call =
  | { readonly kind: "submit"; readonly jobs: readonly JobSpec[] }
  | { readonly kind: "cancel"; readonly jobs: readonly string[] }
  | { readonly kind: "claim"; readonly worker: number; readonly want: number }
  | {
    readonly kind: "heartbeat";
    readonly worker: number;
    readonly running: readonly Attempt[];
    readonly want: number;
    readonly nonce: string | null;
    readonly listening: boolean | null;
    readonly draining: boolean;
  }
  | { readonly kind: "complete"; readonly worker: number; readonly results: readonly Report[]; readonly want: number }
  | { readonly kind: "events"; readonly worker: number; readonly attempts: readonly Attempt[] }
  | {
    readonly kind: "hello";
    readonly worker: number;
    readonly running: readonly Attempt[];
    readonly listening: boolean;
  }
  | { readonly kind: "goodbye" | "drain" | "resume"; readonly worker: number }
  | { readonly kind: "tick" };

/** The rank that each job was given last, by its name. */
export type Ranks = ReadonlyMap<string, number>;

/** What a call answers, in the model's words; lists that have no order are sorted. */
export type Answer = Readonly<Record<string, unknown>>;

/** What a call under way keeps from the others: rows they skip, and what they still see as it was before. */
export type Overlap = {
  /** Rows that whoever skips locked rows leaves alone. */
  readonly workers: ReadonlySet<number>;
  readonly leases: ReadonlySet<number>;
  readonly jobs: ReadonlySet<string>;
  readonly lanes: ReadonlySet<Lane>;
  /** Jobs that others are taking out of the queue: they still show which kind of job is next. */
  readonly heads: readonly Job[];
  /** What is known of the tick before the one that is under way; null when none is. */
  readonly tick: Pick<State, "lastTick" | "wasLate"> | null;
  /** Whether pushes, which come last in a call, still find the rows locked. */
  readonly atPush: boolean;
  readonly atStart: boolean;
};

export const held: readonly JobStatus[] = ["assigned", "running"];
export const ended: readonly JobStatus[] = ["succeeded", "failed", "cancelled"];
