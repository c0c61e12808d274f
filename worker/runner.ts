import { limits } from "../shared/contracts/limits.ts";
import {
  type Assignment,
  attemptKey,
  type AttemptRef,
  type AttemptResult,
  type JobError,
  type StoppedAttempt,
} from "./attempt.ts";
import type { Handler } from "./handler.ts";
import type { PreparedJob } from "./job-context.ts";
import { clampText, maskedJson, measureJson } from "./json-value.ts";
import type { Log } from "./log.ts";
import { Mask } from "./mask.ts";
import { type Flight, SingleFlight } from "./single-flight.ts";

export interface RunnerOptions {
  readonly handlers: ReadonlyMap<string, Handler>;
  /** What the handler needs before it begins; an attempt that cannot be given it fails. */
  readonly prepare: (assignment: Assignment, signal: AbortSignal) => PreparedJob | Promise<PreparedJob>;
  /** Takes the result of an attempt that ended by itself. */
  readonly onResult: (result: AttemptResult) => void;
  /** Takes the result of an attempt that was let go of and succeeded all the same. */
  readonly onLateResult?: (result: AttemptResult) => void;
  /** Called when an attempt was let go of without a result. */
  readonly onStopped?: (attempt: AttemptRef) => void;
  readonly log: Log;
}

interface Running {
  readonly assignment: Assignment;
  readonly abort: AbortController;
}

/** So many ended attempts at least are remembered, in order not to run one again that is handed over twice. */
const remembered = 2_000;

/** Runs handlers, each attempt once. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #running = new Map<string, Running>();
  /** By job, to find an attempt that another one replaces. */
  readonly #byJob = new Map<string, Running>();
  /** The attempts that ended last, and those that did before them. */
  #ended = new Set<string>();
  #endedBefore = new Set<string>();
  readonly #flights = new SingleFlight();
  #idle = Promise.withResolvers<void>();

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#idle.resolve();
  }

  get count(): number {
    return this.#running.size;
  }

  /** The attempts whose handlers run now. */
  running(): AttemptRef[] {
    return Array.from(this.#running.values(), ({ assignment: { jobId, attempt } }) => ({ jobId, attempt }));
  }

  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    return this.#idle.promise;
  }

  /** Starts what is new among the assignments; answers how many that were. */
  start(assignments: readonly Assignment[]): number {
    const started: Running[] = [];
    for (const assignment of assignments) {
      const key = attemptKey(assignment);
      if (this.#running.has(key) || this.#ended.has(key) || this.#endedBefore.has(key)) continue;
      const replaced = this.#byJob.get(assignment.jobId)?.assignment;
      if (replaced !== undefined) this.#stopOne({ ...replaced, reason: "replaced" });
      if (this.#running.size === 0) this.#idle = Promise.withResolvers<void>();
      const running = { assignment, abort: new AbortController() };
      this.#running.set(key, running);
      this.#byJob.set(assignment.jobId, running);
      started.push(running);
      const { attempt, maxAttempts } = assignment;
      this.#tell("info", "job.started", assignment, `started (attempt ${attempt} of ${maxAttempts})`);
    }
    // Told of all before any handler begins, for that may block.
    for (const running of started) void this.#run(running);
    return started.length;
  }

  /** Lets go of attempts: their handlers are told to end, and whatever they return is dropped. */
  stop(attempts: readonly StoppedAttempt[]): void {
    for (const attempt of attempts) this.#stopOne(attempt);
  }

  stopAll(reason: string): void {
    this.stop(this.running().map((attempt) => ({ ...attempt, reason })));
  }

  #stopOne(attempt: StoppedAttempt): void {
    const key = attemptKey(attempt);
    const running = this.#running.get(key);
    if (running === undefined) return;
    // The slot is free at once: the control plane counts it so, and a handler may take its time to notice.
    this.#remove(key);
    running.abort.abort(new Error(`The attempt was stopped: ${attempt.reason}`));
    this.#options.onStopped?.(attempt);
    this.#tell("warn", "job.stopped", running.assignment, `stopped: ${attempt.reason}`, { reason: attempt.reason });
  }

  async #run(running: Running): Promise<void> {
    const { assignment, abort } = running;
    const { jobId, attempt } = assignment;
    const key = attemptKey(assignment);
    const startedAt = performance.now();
    const outcome = await this.#outcome(assignment, abort);
    if (this.#running.get(key) !== running) {
      // Let go of meanwhile. A failure is what stopping it made; a success is worth knowing.
      if (outcome.status === "succeeded") this.#options.onLateResult?.({ jobId, attempt, ...outcome });
      return;
    }
    const milliseconds = Math.round(performance.now() - startedAt);
    this.#remove(key);
    this.#remember(key);
    if (outcome.status === "succeeded") {
      this.#tell("info", "job.succeeded", assignment, `succeeded in ${milliseconds} ms`, { milliseconds });
    } else {
      const { error } = outcome;
      this.#tell("warn", "job.failed", assignment, `failed in ${milliseconds} ms: ${error.message}`, {
        milliseconds,
        ...(error.code === undefined ? {} : { code: error.code }),
        retryable: error.retryable !== false,
      });
    }
    this.#options.onResult({ jobId, attempt, ...outcome });
  }

  async #outcome(assignment: Assignment, abort: AbortController): Promise<Outcome> {
    const handler = this.#options.handlers.get(assignment.type);
    if (handler === undefined) {
      return failed({
        code: "no_handler",
        message: `Cannot run ${assignment.type}: this worker has no handler for it`,
        retryable: false,
      });
    }
    const seconds = assignment.attemptTimeoutSeconds;
    const timedOut = Promise.withResolvers<Outcome>();
    // A timer holds 31 bits of milliseconds, which is more than three weeks.
    const timer = setTimeout(() => {
      abort.abort(new Error(`The attempt took longer than ${seconds} s`));
      timedOut.resolve(failed({ code: "attempt_timeout", message: `The attempt took longer than ${seconds} s` }));
    }, Math.min(seconds * 1000, 2 ** 31 - 1));
    try {
      return await Promise.race([this.#inItsTurn(handler, assignment, abort.signal), timedOut.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Under a concurrency key a handler begins only when those let go of before have really ended. */
  async #inItsTurn(handler: Handler, assignment: Assignment, signal: AbortSignal): Promise<Outcome> {
    const { concurrencyKey: key, concurrencyLimit: limit } = assignment;
    if (key === null) return await this.#carryOut(handler, assignment, signal);
    let flight: Flight;
    if (this.#flights.isFull(key, limit)) {
      this.#tell("warn", "job.waits", assignment, `waits: an earlier handler of ${key} has not ended yet`, { key });
      try {
        flight = await this.#flights.enter(key, limit, signal);
      } catch (error) {
        return failed(safeJobError(error, noMask));
      }
    } else {
      flight = this.#flights.begin(key);
    }
    try {
      return await this.#carryOut(handler, assignment, signal);
    } finally {
      flight.end();
    }
  }

  async #carryOut(handler: Handler, assignment: Assignment, signal: AbortSignal): Promise<Outcome> {
    let job: PreparedJob;
    try {
      const preparing = this.#options.prepare(assignment, signal);
      job = preparing instanceof Promise ? await preparing : preparing;
    } catch (error) {
      return failed(safeJobError(error, noMask));
    }
    try {
      signal.throwIfAborted();
      return await call(handler, job);
    } catch (error) {
      return failed(safeJobError(error, job.mask));
    } finally {
      job.finish();
    }
  }

  #remove(key: string): void {
    const running = this.#running.get(key);
    this.#running.delete(key);
    if (running !== undefined) this.#byJob.delete(running.assignment.jobId);
    if (this.#running.size === 0) this.#idle.resolve();
  }

  #remember(key: string): void {
    this.#ended.add(key);
    if (this.#ended.size < remembered) return;
    // Forgotten together: to take the oldest out of a set one by one costs more than to add it.
    this.#endedBefore = this.#ended;
    this.#ended = new Set();
  }

  #tell(
    level: "info" | "warn",
    event: string,
    { jobId, attempt, type }: Assignment,
    message: string,
    fields: Record<string, unknown> = {},
  ): void {
    this.#options.log({
      level,
      event,
      message: `${type} ${jobId} ${message}`,
      fields: { jobId, attempt, type, ...fields },
    });
  }
}

type Outcome =
  | { readonly status: "succeeded"; readonly result: unknown }
  | { readonly status: "failed"; readonly error: JobError };

function failed(error: JobError): Outcome {
  return { status: "failed", error };
}

const noMask = new Mask([]);

async function call(handler: Handler, { context, mask }: PreparedJob): Promise<Outcome> {
  const result: unknown = (await handler(context)) ?? null;
  const measured = measureJson(result);
  if ("problem" in measured) {
    return failed({ code: "bad_result", message: `Cannot store the result: ${measured.problem}`, retryable: false });
  }
  if (measured.bytes > limits.payloadBytes) {
    return failed({
      code: "result_too_large",
      message: `Cannot store the result: it has ${measured.bytes} bytes of JSON text, and a result has at most ` +
        `${limits.payloadBytes}; larger data travels as an artifact`,
      retryable: false,
    });
  }
  return { status: "succeeded", result: maskedJson(result, mask) };
}

/** A handler may throw anything, also what cannot be read or made text: that is a failure like any other. */
function safeJobError(error: unknown, mask: Mask): JobError {
  try {
    return toJobError(error, mask);
  } catch {
    return { message: "The handler threw a value that cannot be read" };
  }
}

/** What a thrown value says, as far as it can be stored. A job is tried again unless the error says otherwise. */
function toJobError(error: unknown, mask: Mask): JobError {
  const fields = typeof error === "object" && error !== null ? error as Record<string, unknown> : {};
  // Masked before it is cut: half a secret would not be found.
  const text = mask.text(String(error instanceof Error ? error.message || error.name : error));
  const { code, retryable, details } = fields;
  const measured = details === undefined ? undefined : measureJson(details);
  const keepDetails = measured !== undefined && "bytes" in measured && measured.bytes <= limits.eventDataBytes;
  return {
    message: clampText(text, limits.errorMessageBytes) || "The handler failed without a message",
    ...(typeof code === "string" && code !== "" ? { code: clampText(mask.text(code), 100) } : {}),
    ...(retryable === false ? { retryable: false } : {}),
    ...(keepDetails ? { details: maskedJson(details, mask) } : {}),
  };
}
