import type { Caller } from "../auth/caller.ts";
import type {
  DeadLetterList,
  DismissDeadLetters,
  DismissedDeadLetters,
  ListDeadLettersQuery,
  ReplayDeadLetters,
  ReplayedDeadLetters,
} from "../contracts/dead-letters.ts";
import type { Explanation } from "../contracts/explain.ts";
import type { SubmitBatch } from "../contracts/gates.ts";
import type { Job, JobEventList, JobList, ListJobsQuery, SubmitJob, SubmitJobsAnswer } from "../contracts/jobs.ts";
import { limits } from "../contracts/limits.ts";
import type { SqlCall } from "./sql-call.ts";

export interface JobsDb {
  /** With a batch, the jobs become its children. */
  submitJobs(
    caller: Caller,
    jobs: readonly SubmitJob[],
    correlationId: string,
    batch?: SubmitBatch,
  ): Promise<SubmitJobsAnswer>;
  getJob(caller: Caller, jobId: string): Promise<Job>;
  /** Why the job is not running. */
  explainJob(caller: Caller, jobId: string): Promise<Explanation>;
  /** What would become of the job; nothing is stored. */
  explainSubmission(caller: Caller, job: SubmitJob): Promise<Explanation>;
  listJobs(caller: Caller, query: ListJobsQuery): Promise<JobList>;
  /** Answers the jobs as they are afterwards; one that has ended stays as it is. */
  cancelJobs(caller: Caller, jobIds: readonly string[], reason: string | undefined): Promise<{ jobs: Job[] }>;
  /** Answers the new job that repeats the old one. */
  retryJob(caller: Caller, jobId: string): Promise<Job>;
  /** Names the worker that the job shall go to, and no other; null takes that back. */
  rebindJob(caller: Caller, jobId: string, workerId: string | null): Promise<Job>;
  /** Answers the batch as it is then. */
  closeBatch(caller: Caller, jobId: string): Promise<Job>;
  listJobEvents(caller: Caller, jobId: string, after: number, pageSize: number): Promise<JobEventList>;
  listDeadLetters(caller: Caller, query: ListDeadLettersQuery): Promise<DeadLetterList>;
  /** Answers which new job repeats which old one, and where to go on when there are more. */
  replayDeadLetters(caller: Caller, request: ReplayDeadLetters): Promise<ReplayedDeadLetters>;
  dismissDeadLetters(caller: Caller, request: DismissDeadLetters): Promise<DismissedDeadLetters>;
}

export function createJobsDb(call: SqlCall): JobsDb {
  return {
    submitJobs: (caller, jobs, correlationId, batch) =>
      call("submit_jobs", { jobs, correlationId, ...(batch === undefined ? {} : { batch }) }, caller),
    getJob: (caller, jobId) => call("get_job", { jobId }, caller),
    explainJob: (caller, jobId) => call("explain_job", { jobId }, caller),
    explainSubmission: (caller, job) => call("explain_submission", { job }, caller),
    listJobs: (caller, { limit, cursor, ...filters }) =>
      call("list_jobs", { filters, pageSize: limit, cursor: cursor ?? null }, caller),
    cancelJobs: (caller, jobIds, reason) => call("cancel_jobs", { jobIds, reason: reason ?? null }, caller),
    retryJob: (caller, jobId) => call("retry_job", { jobId }, caller),
    rebindJob: (caller, jobId, workerId) => call("rebind_job", { jobId, workerId }, caller),
    closeBatch: (caller, jobId) => call("close_batch", { jobId }, caller),
    listJobEvents: (caller, jobId, after, pageSize) => call("list_job_events", { jobId, after, pageSize }, caller),
    listDeadLetters: (caller, { state, limit, cursor, ...filters }) =>
      call("list_dead_letters", { state, filters, pageSize: limit, cursor: cursor ?? null }, caller),
    replayDeadLetters: (caller, { changes, ...selection }) =>
      call("replay_dead_letters", { ...selected(selection), changes: changes ?? {} }, caller),
    dismissDeadLetters: (caller, selection) => call("dismiss_dead_letters", selected(selection), caller),
  };
}

function selected({ ids, filter, limit, cursor }: DismissDeadLetters): Record<string, unknown> {
  return { ids: ids ?? null, filter: filter ?? null, most: limit ?? limits.deadLetters, cursor: cursor ?? null };
}
