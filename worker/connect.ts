import type { EnrollAnswer } from "../shared/contracts/enroll.ts";
import { MusterError, UnauthenticatedError } from "../shared/errors.ts";
import { sleep } from "../shared/sleep.ts";
import type { Identity } from "./identity.ts";
import type { Log } from "./log.ts";
import { retryDelay } from "./retry-delay.ts";
import type { EnrollDetails, Session } from "./session.ts";

export interface ConnectOptions {
  readonly identity: Identity;
  readonly session: Session;
  /** What to enroll with; without a token only a known identity gets in. */
  readonly details: Omit<EnrollDetails, "token"> & { readonly token: string | undefined };
  /** Enrolls although the identity is known; the same key is the same worker. */
  readonly reEnroll: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** How many times a worker that never enrolled tries to reach the project. */
const firstTries = 3;

/** Gets the session its first token: by the identity the worker has, else by enrolling. */
export async function connect(options: ConnectOptions): Promise<void> {
  const { identity, details, log, signal } = options;
  const { reEnroll } = options;
  const known = identity.workerId !== null && !reEnroll;
  if (reEnroll && details.token === undefined) {
    throw new UnauthenticatedError("Cannot enroll again: no enrollment token was given", {
      advice: "Give an enrollment token with --token or MUSTER_TOKEN",
    });
  }
  if (!known && details.token === undefined) {
    throw new UnauthenticatedError(
      "Cannot start: this machine has not enrolled yet, and no enrollment token was given",
      { advice: "Give an enrollment token with --token or MUSTER_TOKEN; it is needed the first time only" },
    );
  }
  const tries = known ? Infinity : firstTries;
  await untilReached(tries, log, signal, () => known ? resume(options) : enroll(options));
}

/** Repeats what fails because the project cannot be reached, and says so. */
export async function untilReached<T>(
  tries: number,
  log: Log,
  signal: AbortSignal,
  act: () => Promise<T>,
): Promise<T> {
  for (let failures = 1;; failures += 1) {
    signal.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof MusterError) || !error.retryable || failures >= tries) throw error;
      const waitMs = retryDelay(failures, { baseMs: 500, error });
      const message = `${error.message}; trying again in ${(waitMs / 1000).toFixed(1)} s`;
      log({ level: "warn", event: "project.unreachable", message, fields: { failures } });
      await sleep(waitMs, signal);
    }
  }
}

/** A project that was reset does not know the identity any more: with a token at hand, the same key enrolls anew. */
async function resume(options: ConnectOptions): Promise<void> {
  const { session, details, log } = options;
  try {
    await session.refresh();
    log({ level: "info", event: "worker.resumed", message: "using the identity this machine enrolled with" });
  } catch (error) {
    const unknown = error instanceof MusterError &&
      ["not_found", "unauthenticated", "proof_invalid"].includes(error.code);
    if (!unknown || details.token === undefined) throw error;
    const message = "the project does not know this identity any more: enrolling anew";
    log({ level: "warn", event: "worker.unknown", message });
    await enroll(options);
  }
}

async function enroll({ identity, session, details, log }: ConnectOptions): Promise<void> {
  // Which of two keys is the worker's is settled first: the other one would enroll as another worker.
  if (identity.isRotating) await session.refresh().catch(toleratingUnknown);
  const answer = await session.enroll({ ...details, token: details.token ?? "" });
  const { workerId, tenantId, name } = answer;
  log({
    level: "info",
    event: "worker.enrolled",
    message: `enrolled as "${name}" (worker ${workerId})`,
    fields: { workerId, tenantId },
  });
  tellRefused(answer, details.capabilities, log);
}

function toleratingUnknown(error: unknown): void {
  if (!(error instanceof MusterError) || !["proof_invalid", "conflict"].includes(error.code)) throw error;
}

function tellRefused(answer: EnrollAnswer, claimed: readonly string[], log: Log): void {
  const refused = claimed.filter((capability) => !answer.capabilities.includes(capability));
  if (refused.length === 0) return;
  const message = `the enrollment token does not allow the capabilities ${refused.join(", ")}`;
  log({ level: "warn", event: "worker.capabilities_refused", message, fields: { refused } });
}
