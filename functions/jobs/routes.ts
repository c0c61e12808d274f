import { createRoute, z } from "@hono/zod-openapi";
import { RebindJob } from "../../shared/contracts/affinity.ts";
import { Key } from "../../shared/contracts/common.ts";
import {
  CancelJob,
  Job,
  JobEventList,
  JobEventsQuery,
  JobList,
  JobParams,
  ListJobsQuery,
  SubmitJob,
  SubmitJobs,
  SubmitJobsAnswer,
  WaitedJob,
  WaitQuery,
} from "../../shared/contracts/jobs.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

const tags = ["jobs"];

export const submitJobs = createRoute({
  method: "post",
  path: "/",
  operationId: "submitJobs",
  summary: "Submit one job, or up to 1,000",
  description:
    "One transaction stores the jobs and gives them to idle workers that fit. An idempotency key makes it safe to " +
    "send the same job again: the answer is then 200 with the job as it is now. With `batch` the jobs get a parent, which " +
    "ends when they have. Needs the power `submit`.",
  ...alsoFails("quota_exceeded", "secret_not_allowed", "conflict", "E.CMD.CONCURRENCY_VIOLATION"),
  tags,
  security: callers,
  request: {
    headers: z.object({
      "idempotency-key": Key.optional().describe("For a single job: the same key yields the same job"),
    }),
    body: jsonBody(z.union([SubmitJob, SubmitJobs])),
  },
  responses: {
    200: json(Job, "The job that the idempotency key had already"),
    201: json(z.union([Job, SubmitJobsAnswer]), "The new job; or, for several, each with whether it is new"),
    ...problems,
  },
});

export const listJobs = createRoute({
  method: "get",
  path: "/",
  operationId: "listJobs",
  summary: "List jobs, newest first",
  description:
    "Pages by cursor; jobs that are submitted in the meantime do not shift the pages. Without payloads and results. " +
    "Filters are tried on 10,000 jobs at a time: a page may be short or empty and still have a `nextCursor` to go on from.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { query: ListJobsQuery },
  responses: { 200: json(JobList, "A page of jobs"), ...problems },
});

export const getJob = createRoute({
  method: "get",
  path: "/{id}",
  operationId: "getJob",
  summary: "Read a job",
  description: "The job with its payload, its result or error, and the answers that came too late to count.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: JobParams },
  responses: { 200: json(Job, "The job"), ...problems },
});

export const cancelJob = createRoute({
  method: "post",
  path: "/{id}/cancel",
  operationId: "cancelJob",
  summary: "Cancel a job; one that has ended stays as it is",
  description:
    "Takes effect at once: whatever the worker still answers is refused. The worker hears of it and stops. " +
    "With a batch go its jobs: 1,000 at once, the others within seconds.",
  ...alsoFails(),
  tags,
  security: callers,
  request: {
    params: JobParams,
    body: { required: false, content: { "application/json": { schema: CancelJob } } },
  },
  responses: { 200: json(Job, "The job as it is now"), ...problems },
});

export const retryJob = createRoute({
  method: "post",
  path: "/{id}/retry",
  operationId: "retryJob",
  summary: "Submit a failed or cancelled job anew",
  description: "The new job has the same payload and requirements, attempts of its own, and no idempotency key.",
  ...alsoFails("conflict", "quota_exceeded", "secret_not_allowed"),
  tags,
  security: callers,
  request: { params: JobParams },
  responses: { 201: json(Job, "The new job, which names the old one in retryOf"), ...problems },
});

export const rebindJob = createRoute({
  method: "post",
  path: "/{id}/rebind",
  operationId: "rebindJob",
  summary: "Name the worker that a job goes to, whatever it wanted itself",
  description:
    "For good: it waits for that worker, retries included, until it is bound anew or the worker is revoked. From a " +
    "worker that holds it, it is taken back first, which spends no attempt. Needs the power `operate`.",
  ...alsoFails("conflict", "no_match"),
  tags,
  security: callers,
  request: { params: JobParams, body: jsonBody(RebindJob) },
  responses: { 200: json(Job, "The job as it is now"), ...problems },
});

export const listJobEvents = createRoute({
  method: "get",
  path: "/{id}/events",
  operationId: "listJobEvents",
  summary: "Read what happened to a job, in order",
  description:
    "Status changes, progress, log lines and chunks, numbered without gaps. Ask again after `lastSequence` to go on.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: JobParams, query: JobEventsQuery },
  responses: { 200: json(JobEventList, "A page of events"), ...problems },
});

export const waitForJob = createRoute({
  method: "get",
  path: "/{id}/wait",
  operationId: "waitForJob",
  summary: "Wait for a job to end",
  description: "Answers as soon as the job has ended, or with the job as it is when the time is up.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: JobParams, query: WaitQuery },
  responses: { 200: json(WaitedJob, "The job, and whether it has ended"), ...problems },
});
