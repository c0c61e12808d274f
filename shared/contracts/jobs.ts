import { z } from "zod";
import { affinityAnswers, affinityFields } from "./affinity.ts";
import { Id, Instant, Json, Key, Labels, text } from "./common.ts";
import { fairnessAnswers, fairnessFields } from "./fairness.ts";
import { gateAnswers, gateFields, SubmitBatch } from "./gates.ts";
import { jsonBytes, unstorableJson } from "./json.ts";
import { limits } from "./limits.ts";
import { placement, placementAnswer, RequiredCapabilities } from "./placement.ts";
import { retryAnswers, retryFields } from "./retry.ts";
import { SecretNames } from "./secrets.ts";

/** Held against the SQL enum `muster.job_status`. */
export const jobStatuses = [
  "scheduled",
  "blocked",
  "queued",
  "assigned",
  "running",
  "succeeded",
  "failed",
  "cancelled",
] as const;
export type JobStatus = (typeof jobStatuses)[number];

/** The statuses that never change again. */
export const endedStatuses = ["succeeded", "failed", "cancelled"] as const satisfies readonly JobStatus[];

export function isEnded(status: JobStatus): boolean {
  return (endedStatuses as readonly JobStatus[]).includes(status);
}

export const jobEventKinds = ["status", "progress", "log", "chunk"] as const;

export const JobParams = z.object({ id: Id.describe("The job's id") });

/** Marks the one problem that is answered 413 rather than 400. */
export const payloadTooLarge = "payload_too_large";

const Payload = Json.superRefine((value, context) => {
  const problem = unstorableJson(value);
  if (problem !== null) {
    context.addIssue({ code: "custom", message: problem });
  } else if (value !== undefined && jsonBytes(value) > limits.payloadBytes) {
    context.addIssue({
      code: "custom",
      message: `Must not be larger than ${limits.payloadBytes} bytes of JSON text`,
      params: { code: payloadTooLarge },
    });
  }
});

/** One job as an app submits it. */
export const SubmitJob = z.strictObject({
  type: z.string().min(1).max(limits.typeLength)
    .regex(/^[a-zA-Z0-9][a-zA-Z0-9._/:-]*$/, "Must be letters, digits and . _ / : -, starting with a letter or digit")
    .meta({ description: "Names the handler", example: "calc.add" }),
  payload: Payload.optional().meta({ description: "The handler's input, at most 256 KiB of JSON text" }),
  requires: RequiredCapabilities.optional(),
  labels: Labels.optional().describe("Labels that the worker must have"),
  ...placement,
  priority: z.number().int().min(-limits.priority).max(limits.priority).optional()
    .describe("Higher goes first; default 0"),
  runAt: Instant.optional().describe("Not before this instant; default now"),
  idempotencyKey: Key.optional().describe("The same key yields the same job"),
  maxAttempts: z.number().int().min(1).max(limits.attempts).optional().describe("Default 3"),
  attemptTimeoutSeconds: z.number().int().min(1).max(limits.timeoutSeconds).optional()
    .describe("How long one attempt may take; default 3600"),
  timeoutSeconds: z.number().int().min(1).max(limits.timeoutSeconds).optional()
    .describe("How long the job may take in all, from now; default without end"),
  concurrencyKey: Key.optional().describe("Jobs of one key share a limit"),
  concurrencyLimit: z.number().int().min(1).max(limits.concurrency).optional()
    .describe("How many jobs of the key run at a time; default 1"),
  ...affinityFields,
  ...gateFields,
  correlationId: Key.optional().describe("Follows the job through messages and logs; default the request's"),
  notify: z.boolean().optional().describe("Send task.result or task.error when it ends; default false"),
  inputs: z.array(Id).max(limits.inputs).optional().describe("Artifacts that the worker may read"),
  secrets: SecretNames.optional().describe("Names of secrets that the worker is given; each must allow the type"),
  retryBaseSeconds: z.number().min(0).max(limits.retrySeconds).optional().describe(
    "First pause before a retry; default 1",
  ),
  retryCapSeconds: z.number().min(0).max(limits.retrySeconds).optional().describe("Longest pause; default 300"),
  ...retryFields,
  ...fairnessFields,
}).meta({
  id: "SubmitJob",
  dependentRequired: { concurrencyPolicy: ["concurrencyKey"] },
  example: { type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"], idempotencyKey: "order-7" },
});
export type SubmitJob = z.infer<typeof SubmitJob>;

export const SubmitJobs = z.strictObject({
  jobs: z.array(SubmitJob).max(limits.jobsPerSubmit).describe(
    "All are stored, or none; at least one, except in a batch",
  ),
  batch: SubmitBatch.optional().describe("Makes a parent of the jobs, which ends when they have"),
}).refine(({ jobs, batch }) => jobs.length > 0 || batch !== undefined, {
  path: ["jobs"],
  message: "Must have at least one job",
}).meta({
  id: "SubmitJobs",
  if: { not: { required: ["batch"] } },
  then: { properties: { jobs: { minItems: 1 } } },
  example: { jobs: [{ type: "calc.add", payload: { a: 2, b: 3 } }] },
});
export type SubmitJobs = z.infer<typeof SubmitJobs>;

export const JobError = z.object({
  code: z.string().nullish(),
  message: z.string(),
  retryable: z.boolean().nullish(),
  details: z.unknown().optional(),
});
export type JobError = z.infer<typeof JobError>;

/** What a worker answered for an attempt that was no longer its own: refused, and kept as evidence. */
export const LateResult = z.object({
  attempt: z.number().int(),
  workerId: Id,
  status: z.enum(["succeeded", "failed"]),
  result: Json.optional(),
  error: JobError.nullish(),
  receivedAt: Instant,
}).meta({ id: "LateResult" });
export type LateResult = z.infer<typeof LateResult>;

export const Job = z.object({
  id: Id,
  tenantId: Id,
  type: z.string(),
  status: z.enum(jobStatuses),
  executorId: Id.nullable().describe("The app that submitted it"),
  workerId: Id.nullable().describe("The worker that holds it, or ended it"),
  workerName: z.string().nullable(),
  payload: Json.optional(),
  result: Json.optional(),
  error: JobError.nullish(),
  idempotencyKey: z.string().nullable(),
  attempts: z.number().int().describe("How many were started; the newest is the fencing token"),
  maxAttempts: z.number().int(),
  priority: z.number().int(),
  runAt: Instant.nullable(),
  requires: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  ...placementAnswer,
  concurrencyKey: z.string().nullable(),
  ...affinityAnswers,
  ...gateAnswers,
  correlationId: z.string().nullable(),
  progress: z.number().nullable().describe("0 to 1"),
  progressNote: z.string().nullable(),
  inputs: z.array(Id),
  secrets: z.array(z.string()).describe("Names of the secrets that its worker is given"),
  notify: z.boolean(),
  attemptTimeoutSeconds: z.number(),
  retryOf: Id.nullish().describe("The job that this one repeats"),
  message: z.object({ queue: z.string(), id: z.number().int() }).optional()
    .describe("The message of a bridged queue that it was made of"),
  expiresAt: Instant.nullable(),
  ...retryAnswers,
  ...fairnessAnswers,
  createdAt: Instant,
  updatedAt: Instant,
  queuedAt: Instant.nullable(),
  assignedAt: Instant.nullable(),
  startedAt: Instant.nullable(),
  finishedAt: Instant.nullable(),
  lateResults: z.array(LateResult).optional()
    .describe(
      "Answers for attempts that had been replaced or ended; only where one job is asked for, and absent when there are none",
    ),
}).meta({
  id: "Job",
  example: {
    id: "0b8f3a52-4a3e-4c8e-9a5c-2f8d8b6f7a10",
    tenantId: "7c1f2f0e-6c55-4f0e-8f54-1d1b1a7c9e21",
    type: "calc.add",
    status: "succeeded",
    executorId: "5a2c7d3e-91b4-4d1c-b0c3-6a0f5e4d3c2b",
    workerId: "e4d909c2-90d0-4b1c-a068-ffaddf22cbd0",
    workerName: "gpu-7",
    payload: { a: 2, b: 3 },
    result: { sum: 5 },
    error: null,
    idempotencyKey: "order-7",
    attempts: 1,
    maxAttempts: 3,
    priority: 0,
    runAt: null,
    requires: ["compute/basic"],
    labels: {},
    where: [],
    prefer: [],
    resources: { slots: 1 },
    concurrencyKey: null,
    correlationId: "order-7",
    progress: null,
    progressNote: null,
    inputs: [],
    secrets: [],
    notify: false,
    attemptTimeoutSeconds: 3600,
    retryOf: null,
    expiresAt: null,
    createdAt: "2026-01-31T12:00:00.000Z",
    updatedAt: "2026-01-31T12:00:01.000Z",
    queuedAt: "2026-01-31T12:00:00.000Z",
    assignedAt: "2026-01-31T12:00:00.000Z",
    startedAt: "2026-01-31T12:00:00.100Z",
    finishedAt: "2026-01-31T12:00:01.000Z",
  },
});
export type Job = z.infer<typeof Job>;

/** A job in a list: without its payload and its result. */
export const JobSummary = Job.omit({ payload: true, result: true, lateResults: true, batch: true }).meta({
  id: "JobSummary",
});
export type JobSummary = z.infer<typeof JobSummary>;

export const SubmitJobsAnswer = z.object({
  jobs: z.array(z.object({
    job: Job,
    created: z.boolean().describe("False when the idempotency key had its job already"),
  })).describe("In the order given"),
  batch: Job.optional().describe("The parent, if one was asked for"),
}).meta({ id: "SubmitJobsAnswer" });
export type SubmitJobsAnswer = z.infer<typeof SubmitJobsAnswer>;

const statusList = z.string().max(200).transform((value) => value.split(",")).pipe(z.array(z.enum(jobStatuses)));

export const ListJobsQuery = z.strictObject({
  status: statusList.optional().meta({
    type: "string",
    pattern: `^(${jobStatuses.join("|")})(,(${jobStatuses.join("|")}))*$`,
    description: "One status or several, joined by commas",
    example: "queued,running",
  }),
  type: text(limits.typeLength).optional().describe("Only jobs of this type"),
  workerId: Id.optional().describe("Only jobs that this worker holds or ended"),
  parentId: Id.optional().describe("Only jobs of this batch"),
  correlationId: Key.optional().describe("Only jobs with this correlation id"),
  idempotencyKey: Key.optional().describe("Only the job of this key"),
  createdAfter: Instant.optional().describe("Only jobs submitted after this instant"),
  createdBefore: Instant.optional().describe("Only jobs submitted before this instant"),
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Jobs a page"),
  cursor: text(1_000).optional().describe("nextCursor of the page before"),
});
export type ListJobsQuery = z.infer<typeof ListJobsQuery>;

export const JobList = z.object({
  jobs: z.array(JobSummary).describe("Newest first"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "JobList" });
export type JobList = z.infer<typeof JobList>;

export const CancelJob = z.strictObject({
  reason: text(limits.reasonLength).optional().describe("Told to the worker and kept with the job"),
}).meta({ id: "CancelJob", example: { reason: "Not needed any more" } });

export const WaitQuery = z.strictObject({
  timeoutSeconds: z.coerce.number().min(0).max(limits.waitSeconds).default(25).describe("How long to wait at most"),
});

/** Answer of `GET /jobs/:id/wait`: the job as it is when it ended, or when the time was up. */
export const WaitedJob = Job.extend({
  ended: z.boolean().describe("Whether the job is in a terminal state"),
}).meta({ id: "WaitedJob" });
export type WaitedJob = z.infer<typeof WaitedJob>;

export const JobEventsQuery = z.strictObject({
  after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0)
    .describe("Only events with a higher sequence"),
  limit: z.coerce.number().int().min(1).max(limits.eventsPerPage).default(100).describe("Events a page"),
});

export const JobEvent = z.object({
  sequence: z.number().int(),
  attempt: z.number().int().nullable(),
  kind: z.enum(jobEventKinds),
  data: z.unknown(),
  createdAt: Instant,
}).meta({ id: "JobEvent" });
export type JobEvent = z.infer<typeof JobEvent>;

export const JobEventList = z.object({
  events: z.array(JobEvent),
  lastSequence: z.number().int().describe("Give it as `after` to go on"),
}).meta({ id: "JobEventList" });
export type JobEventList = z.infer<typeof JobEventList>;
