/** One try at a job. The number is the fencing token: whatever a replaced attempt says changes nothing. */
export interface AttemptRef {
  readonly jobId: string;
  readonly attempt: number;
}

/** An attempt that the control plane gave to this worker. */
export interface Assignment extends AttemptRef {
  readonly type: string;
  readonly payload: unknown;
  readonly correlationId: string | null;
  /** After this many seconds both sides give the attempt up. */
  readonly attemptTimeoutSeconds: number;
  readonly maxAttempts: number;
  readonly requires: readonly string[];
  /** Ids of the artifacts the job reads. */
  readonly inputs: readonly string[];
  /** Names of the secrets it is given before it begins; their values are asked for by the attempt itself. */
  readonly secrets: readonly string[];
  /** Jobs of one key run at most so many at a time; null for a job without a key. */
  readonly concurrencyKey: string | null;
  /** 1 or more. */
  readonly concurrencyLimit: number;
  /** When the whole job ends, whatever its attempts do; null for never. */
  readonly expiresAt: string | null;
}

/** An attempt this worker must let go of, without an answer. */
export interface StoppedAttempt extends AttemptRef {
  readonly reason: string;
}

/** Why an attempt failed, as the control plane stores it. */
export interface JobError {
  readonly code?: string;
  readonly message: string;
  /** False ends the job whatever attempts are left. Default true. */
  readonly retryable?: boolean;
  readonly details?: unknown;
}

/** How an attempt ended. */
export type AttemptResult =
  & AttemptRef
  & (
    | { readonly status: "succeeded"; readonly result: unknown }
    | { readonly status: "failed"; readonly error: JobError }
  );

/** One entry of a job's event log. Numbers count from 1 within an attempt, so a repeated call stores nothing twice. */
export interface JobEvent extends AttemptRef {
  readonly number: number;
  readonly kind: "progress" | "log" | "chunk";
  readonly data: unknown;
}

/** The attempt as a key of a map. */
export function attemptKey({ jobId, attempt }: AttemptRef): string {
  return `${jobId}:${attempt}`;
}
