import { z } from "zod";
import { Id, Instant } from "./common.ts";

/** Why a worker must abort an attempt. */
const StopReason = z.string().describe("Such as cancelled, timed_out or stale");

const AttemptRef = z.object({
  jobId: Id,
  attempt: z.number().int().describe("The fencing token"),
});

/** What every Realtime message of ours carries. Readers ignore fields they do not know. */
export const Envelope = z.object({
  messageId: z.string().describe("Its own id"),
  correlationId: z.string().nullish().describe("That of the job, where it is about one"),
  producerId: z.string().nullish().describe("Who sent it"),
  sentAt: Instant,
  attempt: z.number().int().nullish().describe("The attempt it is about, if it is about one"),
  idempotencyKey: z.string().nullish().describe("The same when the same message comes twice"),
  type: z.string().describe("The event it is broadcast as"),
  data: z.unknown().describe("What it says"),
});
export type Envelope = z.infer<typeof Envelope>;

/** Jobs wait for the worker: a nudge to ask the database for them. */
export const TaskAssign = Envelope.extend({
  type: z.literal("task.assign"),
  data: z.object({ jobs: z.array(AttemptRef.extend({ type: z.string().describe("Names the handler") })) }),
}).describe("Jobs wait for the worker: a nudge to ask the database for them");
export type TaskAssign = z.infer<typeof TaskAssign>;

export const TaskCancel = Envelope.extend({
  type: z.literal("task.cancel"),
  data: z.object({ jobs: z.array(AttemptRef.extend({ reason: StopReason })) }),
}).describe("Attempts of the worker that have ended without it: it aborts them");
export type TaskCancel = z.infer<typeof TaskCancel>;

export const workerCommands = ["drain", "stop", "restart"] as const;

export const WorkerCommand = Envelope.extend({
  type: z.literal("worker.command"),
  data: z.object({ command: z.enum(workerCommands) }),
}).describe("An operator's wish; the answer to a heartbeat says the same");
export type WorkerCommand = z.infer<typeof WorkerCommand>;

/** Proves that the worker hears its channel: the next heartbeat echoes the nonce. */
export const Wake = Envelope.extend({
  type: z.literal("wake"),
  data: z.object({ nonce: z.string().describe("To be echoed") }),
}).describe("Proves that the worker hears its channel: the next heartbeat echoes the nonce");
export type Wake = z.infer<typeof Wake>;

const JobEnd = AttemptRef.extend({
  attempt: z.number().int().nullish(),
  status: z.string().describe("succeeded, failed or cancelled"),
  result: z.unknown().optional().describe("Left out when it is larger than 64 KiB"),
  error: z.unknown().optional().describe("Why it did not succeed"),
});

/** Sent only for jobs that were submitted with `notify`. */
export const TaskResult = Envelope.extend({ type: z.literal("task.result"), data: JobEnd })
  .describe("A job has succeeded");
export type TaskResult = z.infer<typeof TaskResult>;

export const TaskError = Envelope.extend({ type: z.literal("task.error"), data: JobEnd })
  .describe("A job has failed or was cancelled");
export type TaskError = z.infer<typeof TaskError>;

/** What the worker reported, as it was stored; on the job's channel only, for jobs that were submitted with `notify`. */
export const TaskProgress = Envelope.extend({
  type: z.literal("task.progress"),
  data: z.object({
    jobId: Id,
    events: z.array(
      z.object({
        kind: z.enum(["progress", "log", "chunk"]),
        number: z.number().int().describe("Counts the reports of one attempt"),
        data: z.unknown(),
      }),
    ),
  }),
}).describe("What the worker reported, as it was stored");
export type TaskProgress = z.infer<typeof TaskProgress>;

/** One for all, at most one a second and tenant; from a queue of pgmq with a trigger of its own, one a statement. */
export const JobEnqueued = Envelope.extend({
  type: z.literal("job_enqueued"),
  data: z.object({
    queue: z.string().nullable().describe("The queue of pgmq; null for jobs"),
    job_id: z.union([Id, z.number().int()]).describe("One of the jobs that wait, or the number of a message"),
  }),
}).describe("Jobs wait that nobody was given: a call to workers in claim mode to claim them");
export type JobEnqueued = z.infer<typeof JobEnqueued>;

/** Every message by its type. */
export const Message = z.discriminatedUnion("type", [
  TaskAssign,
  TaskCancel,
  WorkerCommand,
  Wake,
  TaskResult,
  TaskError,
  TaskProgress,
  JobEnqueued,
]);
export type Message = z.infer<typeof Message>;

/** What a worker tracks on the presence channel of its fleet, under its worker id. */
export const Presence = z.object({
  name: z.string(),
  capabilities: z.array(z.string()),
  status: z.enum(["idle", "busy", "draining"]),
  currentJobs: z.array(Id).describe("Jobs that it runs"),
}).describe("What a worker shows of itself");
export type Presence = z.infer<typeof Presence>;
