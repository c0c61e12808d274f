import type { z } from "zod";
import { type HeldResource, HeldResourceList } from "../shared/contracts/affinity.ts";
import {
  DeadLetterList,
  type DismissDeadLetters,
  DismissedDeadLetters,
  type ReplayDeadLetters,
  ReplayedDeadLetters,
} from "../shared/contracts/dead-letters.ts";
import {
  Job,
  JobEventList,
  JobList,
  type JobStatus,
  type SubmitJob,
  SubmitJobsAnswer,
  WaitedJob,
} from "../shared/contracts/jobs.ts";
import { Explanation } from "../shared/contracts/explain.ts";
import type { SubmitBatch } from "../shared/contracts/gates.ts";
import { MusterError, UnavailableError } from "../shared/errors.ts";
import { errorFromAnswer } from "../shared/problem.ts";
import { type Artifact, type ArtifactBody, Artifacts, type ReadableArtifact } from "./artifacts.ts";
import { exchange } from "./http.ts";
import { retryDelay } from "./retry-delay.ts";
import { Schedules } from "./schedules.ts";

export type { HeldResource } from "../shared/contracts/affinity.ts";
export type { Explanation } from "../shared/contracts/explain.ts";
export type {
  DeadLetter,
  DeadLetterList,
  DismissDeadLetters,
  DismissedDeadLetters,
  ReplayDeadLetters,
  ReplayedDeadLetters,
} from "../shared/contracts/dead-letters.ts";
export type {
  Job,
  JobEvent,
  JobEventList,
  JobList,
  JobStatus,
  JobSummary,
  SubmitJob,
} from "../shared/contracts/jobs.ts";
import { sleep } from "../shared/sleep.ts";

export interface MusterClientOptions {
  /** The project, such as `https://xyz.supabase.co`. */
  readonly url: string;
  /** An executor's key, `msk_…`. */
  readonly apiKey: string;
  readonly fetch?: typeof fetch;
  readonly random?: () => number;
}

/** What a list can be narrowed to. Instants are ISO 8601. */
export interface ListJobsOptions {
  readonly status?: JobStatus | readonly JobStatus[];
  readonly type?: string;
  readonly workerId?: string;
  /** Jobs of this batch. */
  readonly parentId?: string;
  readonly correlationId?: string;
  readonly idempotencyKey?: string;
  readonly createdAfter?: string;
  readonly createdBefore?: string;
  /** Jobs a page, at most 200. Default 50. */
  readonly limit?: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string;
}

/** Which letters of failed jobs are listed. Instants are ISO 8601. */
export interface ListDeadLettersOptions {
  /** What has become of them. Default open. */
  readonly state?: "open" | "replayed" | "dismissed";
  readonly type?: string;
  readonly errorCode?: string;
  readonly after?: string;
  readonly before?: string;
  /** Letters a page, at most 200. Default 50. */
  readonly limit?: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string;
}

export interface WaitOptions {
  /** Gives up with the job as it is by then. Default never. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

/** Who is told to wait longer than this tells its caller instead. */
const longestWaitSeconds = 20;

/** A single long poll lasts no longer: gateways cut requests that stay silent. */
const pollSeconds = 25;

/**
 * Submits work and follows it, as an app does. Every call throws a `MusterError` when it fails. Calls that are safe
 * to repeat are repeated when no answer came; a submission is one when the job has an `idempotencyKey`.
 */
export class MusterClient {
  readonly #url: string;
  readonly #options: MusterClientOptions;
  readonly #fetch: typeof fetch;
  readonly #artifacts: Artifacts;

  /** Jobs that are submitted again and again. */
  readonly schedules: Schedules;

  constructor(options: MusterClientOptions) {
    this.#options = options;
    this.#url = options.url.replace(/\/+$/, "");
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.schedules = new Schedules((method, path, schema, options) => this.#call(method, path, schema, options));
    this.#artifacts = new Artifacts({
      url: this.#url,
      headers: () => Promise.resolve(this.#headers()),
      fetch: this.#fetch,
      ...(options.random === undefined ? {} : { random: options.random }),
    });
  }

  /** Submits one job; with an `idempotencyKey` that has its job already, answers that one. */
  async submit(job: SubmitJob): Promise<Job> {
    return await this.#call("POST", "/jobs", Job, { json: job, repeat: job.idempotencyKey !== undefined });
  }

  /** Submits up to 1,000 jobs: all are stored, or none. The answers stand in the order given. */
  async submitMany(jobs: readonly SubmitJob[]): Promise<{ job: Job; created: boolean }[]> {
    const repeat = jobs.every((job) => job.idempotencyKey !== undefined);
    return (await this.#call("POST", "/jobs", SubmitJobsAnswer, { json: { jobs }, repeat })).jobs;
  }

  /** Submits up to 1,000 jobs with a parent, which ends when they have; an open one takes more, by `parentId`. */
  async submitBatch(
    jobs: readonly SubmitJob[],
    batch: SubmitBatch = {},
  ): Promise<{ batch: Job; jobs: { job: Job; created: boolean }[] }> {
    const repeat = batch.idempotencyKey !== undefined;
    const answer = await this.#call("POST", "/jobs", SubmitJobsAnswer, { json: { jobs, batch }, repeat });
    if (answer.batch === undefined) throw new UnavailableError("The answer names no batch");
    return { batch: answer.batch, jobs: answer.jobs };
  }

  /** Takes no more jobs into an open batch; it ends once those it has have ended. */
  async closeBatch(jobId: string): Promise<Job> {
    return await this.#call("POST", `/jobs/${encodeURIComponent(jobId)}/close`, Job, { json: {}, repeat: true });
  }

  async get(jobId: string): Promise<Job> {
    return await this.#call("GET", `/jobs/${encodeURIComponent(jobId)}`, Job);
  }

  /** Why a job is not running; or, of a job that is not submitted, what would become of it now. Nothing is stored. */
  async explain(job: string | SubmitJob): Promise<Explanation> {
    if (typeof job === "string") {
      return await this.#call("GET", `/jobs/${encodeURIComponent(job)}/explain`, Explanation);
    }
    return await this.#call("POST", "/jobs/explain", Explanation, { json: job, repeat: true });
  }

  /** The job once it has ended, or as it is when the time is up. */
  async wait(jobId: string, options: WaitOptions = {}): Promise<Job & { ended: boolean }> {
    const { timeoutSeconds = Infinity, signal } = options;
    const endsAt = performance.now() + timeoutSeconds * 1000;
    for (;;) {
      const restSeconds = Math.max(0, (endsAt - performance.now()) / 1000);
      const seconds = Math.min(pollSeconds, restSeconds);
      const path = `/jobs/${encodeURIComponent(jobId)}/wait?timeoutSeconds=${seconds.toFixed(3)}`;
      const job = await this.#call("GET", path, WaitedJob, { signal, timeoutMs: seconds * 1000 + 15_000 });
      if (job.ended || restSeconds <= pollSeconds) return job;
    }
  }

  async list(options: ListJobsOptions = {}): Promise<JobList> {
    return await this.#call("GET", `/jobs?${queryOf(options)}`, JobList);
  }

  /** Letters of the jobs that failed for good, newest first. */
  async deadLetters(options: ListDeadLettersOptions = {}): Promise<DeadLetterList> {
    return await this.#call("GET", `/jobs/dead-letters?${queryOf(options)}`, DeadLetterList);
  }

  /** Submits failed jobs anew, each once; ask again with `nextCursor` as `cursor` until it is null. */
  async replayDeadLetters(request: ReplayDeadLetters): Promise<ReplayedDeadLetters> {
    return await this.#call("POST", "/jobs/dead-letters/replay", ReplayedDeadLetters, { json: request, repeat: false });
  }

  /** Closes letters of jobs that nobody is going to repeat; ask again with `nextCursor` as `cursor` until it is null. */
  async dismissDeadLetters(request: DismissDeadLetters): Promise<DismissedDeadLetters> {
    return await this.#call("POST", "/jobs/dead-letters/dismiss", DismissedDeadLetters, {
      json: request,
      repeat: true,
    });
  }

  /** Cancels the job; one that has ended stays as it is. */
  async cancel(jobId: string, reason?: string): Promise<Job> {
    const json = reason === undefined ? {} : { reason };
    return await this.#call("POST", `/jobs/${encodeURIComponent(jobId)}/cancel`, Job, { json, repeat: true });
  }

  /** Submits a failed or cancelled job anew; answers the new job. */
  async retry(jobId: string): Promise<Job> {
    return await this.#call("POST", `/jobs/${encodeURIComponent(jobId)}/retry`, Job, { json: {}, repeat: false });
  }

  /**
   * Names the worker that a job goes to and no other; null takes that back. From a worker that holds it, it is taken
   * first. Needs a key with the scope `operate`.
   */
  async rebind(jobId: string, workerId: string | null): Promise<Job> {
    const json = { workerId };
    return await this.#call("POST", `/jobs/${encodeURIComponent(jobId)}/rebind`, Job, { json, repeat: true });
  }

  /** Which workers hold which named resources, such as a loaded model. */
  async resources(options: { name?: string; workerId?: string } = {}): Promise<readonly HeldResource[]> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options)) if (value !== undefined) query.set(name, value);
    return (await this.#call("GET", `/workers/resources?${query}`, HeldResourceList)).resources;
  }

  /** The job's events after a sequence number: status, progress, log lines, chunks. */
  async events(jobId: string, options: { after?: number; limit?: number } = {}): Promise<JobEventList> {
    const { after = 0, limit = 200 } = options;
    return await this.#call(
      "GET",
      `/jobs/${encodeURIComponent(jobId)}/events?after=${after}&limit=${limit}`,
      JobEventList,
    );
  }

  /** Uploads a file that jobs can name in their `inputs`. */
  async upload(
    name: string,
    body: ArtifactBody,
    options: { contentType?: string; signal?: AbortSignal } = {},
  ): Promise<Artifact> {
    return await this.#artifacts.upload(name, body, options);
  }

  /** Opens an artifact; its bytes are checked while they are read. */
  async download(artifactId: string, options: { signal?: AbortSignal } = {}): Promise<ReadableArtifact> {
    return await this.#artifacts.open(artifactId, options);
  }

  /** The inputs of a job, and the outputs of its winning or present attempt. */
  async artifacts(jobId: string): Promise<readonly Artifact[]> {
    return await this.#artifacts.list(jobId);
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.#options.apiKey}` };
  }

  async #call<T extends z.ZodType>(
    method: string,
    path: string,
    schema: T,
    options: { json?: unknown; repeat?: boolean; signal?: AbortSignal | undefined; timeoutMs?: number } = {},
  ): Promise<z.output<T>> {
    const { repeat = method === "GET", signal } = options;
    for (let failures = 1;; failures += 1) {
      try {
        const answer = await exchange(`${this.#url}/functions/v1${path}`, {
          fetch: this.#fetch,
          method,
          headers: this.#headers(),
          signal,
          timeoutMs: options.timeoutMs ?? 30_000,
          ...(options.json === undefined ? {} : { json: options.json }),
        });
        if (!answer.ok) throw errorFromAnswer(answer.status, answer.body);
        const parsed = schema.safeParse(answer.body);
        if (parsed.success) return parsed.data;
        throw new UnavailableError(`Cannot read the answer of ${method} ${path}: it is not what Muster answers`);
      } catch (error) {
        // What was refused for its rate or a quota was not done, so it is safe to repeat whatever it was.
        const mayRepeat = repeat || (error instanceof MusterError && error.status === 429);
        if (!mayRepeat || failures >= 5 || !(error instanceof MusterError) || !error.retryable) throw error;
        if ((error.retryAfterSeconds ?? 0) > longestWaitSeconds) throw error;
        const { random = Math.random } = this.#options;
        await sleep(retryDelay(failures, { random, error, capMs: longestWaitSeconds * 1200 }), signal);
        signal?.throwIfAborted();
      }
    }
  }
}

function queryOf(options: object): URLSearchParams {
  return new URLSearchParams(
    Object.entries(options).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]),
  );
}
