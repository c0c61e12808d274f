import { z } from "zod";
import { errorList, UnavailableError } from "../shared/errors.ts";
import { errorFromAnswer } from "../shared/problem.ts";
import { type DataApiError, errorFromSql } from "../shared/sql-errors.ts";
import type { Assignment, AttemptRef, AttemptResult, JobEvent, StoppedAttempt } from "./attempt.ts";
import { type Answer, exchange } from "./http.ts";
import type { HeldResource } from "./worker-resources.ts";

// What the control plane answers, read leniently: fields of a later release are ignored.
const assignment = z.object({
  job_id: z.string(),
  attempt: z.number(),
  type: z.string(),
  payload: z.unknown(),
  correlation_id: z.string().nullish(),
  attempt_timeout_seconds: z.number().nullish(),
  max_attempts: z.number().nullish(),
  requires: z.array(z.string()).nullish(),
  inputs: z.array(z.string()).nullish(),
  secrets: z.array(z.string()).nullish(),
  concurrency_key: z.string().nullish(),
  concurrency_limit: z.number().nullish(),
  expires_at: z.string().nullish(),
}).transform((row): Assignment => ({
  jobId: row.job_id,
  attempt: row.attempt,
  type: row.type,
  payload: row.payload,
  correlationId: row.correlation_id ?? null,
  attemptTimeoutSeconds: row.attempt_timeout_seconds ?? 3600,
  maxAttempts: row.max_attempts ?? 1,
  requires: row.requires ?? [],
  inputs: row.inputs ?? [],
  secrets: row.secrets ?? [],
  concurrencyKey: row.concurrency_key ?? null,
  // A key that was paused meanwhile has the limit 0: what is held runs all the same.
  concurrencyLimit: Math.max(1, row.concurrency_limit ?? 1),
  expiresAt: row.expires_at ?? null,
}));
const attemptRef = z.object({ job_id: z.string(), attempt: z.number() })
  .transform((row): AttemptRef => ({ jobId: row.job_id, attempt: row.attempt }));
const stopped = z.object({ job_id: z.string(), attempt: z.number(), reason: z.string().nullish() })
  .transform((row): StoppedAttempt => ({ jobId: row.job_id, attempt: row.attempt, reason: row.reason ?? "stopped" }));

/** A list that may be absent or null: then it is empty. */
function listOf<T extends z.ZodType>(item: T) {
  return z.array(item).nullish().transform((items) => items ?? []);
}

const helloAnswer = z.object({
  name: z.string().nullish(),
  status: z.string().nullish(),
  slots: z.number().nullish(),
  capabilities: listOf(z.string()),
  heartbeat_seconds: z.number().default(5),
  idle_heartbeat_seconds: z.number().default(30),
  poll_seconds: z.number().default(1),
  wake_nonce: z.string().nullish(),
  stop: listOf(stopped),
  jobs: listOf(assignment),
}).transform((row) => ({
  name: row.name ?? null,
  slots: row.slots ?? null,
  capabilities: row.capabilities,
  heartbeatSeconds: row.heartbeat_seconds,
  idleHeartbeatSeconds: row.idle_heartbeat_seconds,
  pollSeconds: row.poll_seconds,
  wakeNonce: row.wake_nonce ?? null,
  stop: row.stop,
  jobs: row.jobs,
}));

const heartbeatAnswer = z.object({
  next_seconds: z.number(),
  busy_seconds: z.number().nullish(),
  poll_seconds: z.number().nullish(),
  deaf: z.boolean().nullish(),
  resync: z.boolean().nullish(),
  stop: listOf(stopped),
  jobs: listOf(assignment),
  commands: listOf(z.string()),
}).transform((row) => ({
  nextSeconds: row.next_seconds,
  busySeconds: row.busy_seconds ?? null,
  pollSeconds: row.poll_seconds ?? null,
  deaf: row.deaf ?? false,
  resync: row.resync ?? false,
  stop: row.stop,
  jobs: row.jobs,
  commands: row.commands,
}));

const claimAnswer = z.object({ jobs: listOf(assignment), again: z.boolean().default(false) });
const completeAnswer = z.object({
  outcomes: listOf(
    z.object({ job_id: z.string(), attempt: z.number(), outcome: z.string() })
      .transform((row) => ({ jobId: row.job_id, attempt: row.attempt, outcome: row.outcome })),
  ),
  jobs: listOf(assignment),
});
const reportAnswer = z.object({ stale: listOf(attemptRef) });

export type HelloAnswer = z.output<typeof helloAnswer>;
export type HeartbeatAnswer = z.output<typeof heartbeatAnswer>;
export type CompleteAnswer = z.output<typeof completeAnswer>;

/** How a worker comes to its jobs. */
export type WorkerMode = "push" | "claim";

/** What the worker says of itself when it starts and when it must resynchronise. */
export interface HelloRequest {
  readonly capabilities: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** What jobs use up while they run, beside the slots. */
  readonly resources: Readonly<Record<string, number>>;
  readonly slots: number;
  readonly version: string;
  /** Whether it hears its Realtime channel; otherwise nothing is pushed and it polls. */
  readonly listening: boolean;
  /** Whether jobs are pushed to it, or it claims them when the workers of its tenant are called. Default `push`. */
  readonly mode?: WorkerMode;
  /** New for every process. */
  readonly sessionId: string;
}

export interface HeartbeatRequest {
  /** Every attempt the worker holds; one it does not name goes back. */
  readonly running: readonly AttemptRef[];
  /** How many more jobs it would start now. */
  readonly want: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** The last nonce heard on the channel. */
  readonly wakeNonce: string | null;
  readonly listening: boolean;
  readonly draining: boolean;
}

/** The calls a worker makes to Postgres over the Data API. Every one throws a `MusterError` when it fails. */
export interface WorkerRpc {
  hello(worker: HelloRequest, running: readonly AttemptRef[]): Promise<HelloAnswer>;
  heartbeat(request: HeartbeatRequest): Promise<HeartbeatAnswer>;
  /** `again`: the call did the scheduler's work instead, and is to be repeated. */
  claimJobs(want: number): Promise<{ readonly jobs: readonly Assignment[]; readonly again: boolean }>;
  /** A retry is given more time, for a slow line. */
  completeJobs(
    results: readonly AttemptResult[],
    want: number,
    options: { readonly isRetry: boolean },
  ): Promise<CompleteAnswer>;
  /** Answers the attempts whose events no longer count. */
  reportEvents(events: readonly JobEvent[]): Promise<readonly AttemptRef[]>;
  /** Holds named resources, or renews their leases. */
  holdResources(resources: readonly HeldResource[]): Promise<void>;
  releaseResources(names: readonly string[], reason: "released" | "evicted"): Promise<void>;
  goodbye(reason: string): Promise<void>;
}

export interface RpcOptions {
  readonly url: string;
  /** The project's publishable key, for the gateway. */
  readonly publishableKey: string;
  /** The worker's token; `renew` asks for another than the one that was just refused. */
  readonly token: (options?: { renew?: boolean }) => Promise<string>;
  readonly fetch: typeof fetch;
  readonly timeoutMs?: number;
}

/** Under a third of the 15 s lease: one call that hangs must not cost the jobs that run. */
const callTimeoutMs = 4_000;
/** Still within the lease, as a heartbeat goes before every retry. */
const retryTimeoutMs = 8_000;

/** Calls the SQL functions of schema `muster` as the worker. This file alone knows their snake_case names. */
export function createRpc(options: RpcOptions): WorkerRpc {
  const base = `${options.url}/rest/v1/rpc/`;

  async function post(name: string, parameters: unknown, token: string, timeoutMs = callTimeoutMs) {
    return await exchange(base + name, {
      fetch: options.fetch,
      method: "POST",
      headers: {
        apikey: options.publishableKey,
        authorization: `Bearer ${token}`,
        "content-profile": "muster",
        accept: "application/json",
      },
      json: parameters,
      timeoutMs: options.timeoutMs ?? timeoutMs,
    });
  }

  async function call<T extends z.ZodType>(
    name: string,
    parameters: unknown,
    schema: T,
    timeoutMs?: number,
  ): Promise<z.output<T>> {
    let answer = await post(name, parameters, await options.token(), timeoutMs);
    if (isTokenRefused(answer)) answer = await post(name, parameters, await options.token({ renew: true }), timeoutMs);
    if (!answer.ok) {
      throw typeof answer.body === "object" && answer.body !== null && "code" in answer.body
        ? errorFromSql(answer.body as DataApiError, answer.status)
        : errorFromAnswer(answer.status, answer.body);
    }
    const parsed = schema.safeParse(answer.body);
    if (!parsed.success) {
      throw new UnavailableError(`Cannot read the answer of ${name}: ${z.prettifyError(parsed.error)}`);
    }
    return parsed.data;
  }

  return {
    hello: (worker, running) =>
      call("hello", {
        worker: {
          capabilities: worker.capabilities,
          labels: worker.labels,
          resources: worker.resources,
          slots: worker.slots,
          version: worker.version,
          listening: worker.listening,
          mode: worker.mode ?? "push",
          session_id: worker.sessionId,
        },
        running: running.map(toRow),
      }, helloAnswer),
    heartbeat: (request) =>
      call("heartbeat", {
        running: request.running.map(toRow),
        want: request.want,
        metrics: request.metrics,
        wake_nonce: request.wakeNonce,
        listening: request.listening,
        draining: request.draining,
      }, heartbeatAnswer),
    claimJobs: (want) => call("claim_jobs", { want }, claimAnswer),
    completeJobs: (results, want, { isRetry }) =>
      call(
        "complete_jobs",
        {
          results: results.map((result) => ({
            ...toRow(result),
            status: result.status,
            ...(result.status === "succeeded" ? { result: result.result ?? null } : { error: result.error }),
          })),
          want,
        },
        completeAnswer,
        isRetry ? retryTimeoutMs : callTimeoutMs,
      ),
    reportEvents: async (events) => {
      const rows = events.map((event) => ({
        ...toRow(event),
        number: event.number,
        kind: event.kind,
        data: event.data ?? null,
      }));
      return (await call("report_events", { events: rows }, reportAnswer)).stale;
    },
    holdResources: async (resources) => {
      const rows = resources.map(({ name, leaseSeconds, sizeBytes, metadata }) => ({
        name,
        lease_seconds: leaseSeconds,
        size_bytes: sizeBytes,
        metadata,
      }));
      await call("hold_resources", { resources: rows }, z.unknown());
    },
    releaseResources: async (names, reason) => {
      await call("release_resources", { names, reason }, z.unknown());
    },
    goodbye: async (reason) => {
      await call("goodbye", { reason }, z.unknown());
    },
  };
}

/** A token may end early: the machine slept, the signing key was changed, or the key that the token names. */
function isTokenRefused({ status, body }: Answer): boolean {
  return status === 401 ||
    (typeof body === "object" && body !== null && "code" in body && body.code === errorList.unauthenticated.sqlState);
}

function toRow({ jobId, attempt }: AttemptRef): { job_id: string; attempt: number } {
  return { job_id: jobId, attempt };
}
