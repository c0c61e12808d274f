import { z } from "zod";
import { Id, Instant } from "./common.ts";

/** Why a worker must abort an attempt. */
const StopReason = z.string();

const AttemptRef = z.object({
  jobId: Id,
  attempt: z.number().int().describe("The fencing token"),
});

/** What every Realtime message of ours carries. Readers ignore fields they do not know. */
export const Envelope = z.object({
  messageId: z.string(),
  correlationId: z.string().nullish(),
  producerId: z.string().nullish(),
  sentAt: Instant,
  attempt: z.number().int().nullish(),
  idempotencyKey: z.string().nullish(),
  type: z.string(),
  data: z.unknown(),
});
export type Envelope = z.infer<typeof Envelope>;

/** Jobs wait for the worker: a nudge to ask the database for them. */
export const TaskAssign = Envelope.extend({
  type: z.literal("task.assign"),
  data: z.object({ jobs: z.array(AttemptRef.extend({ type: z.string() })) }),
});
export type TaskAssign = z.infer<typeof TaskAssign>;

export const TaskCancel = Envelope.extend({
  type: z.literal("task.cancel"),
  data: z.object({ jobs: z.array(AttemptRef.extend({ reason: StopReason })) }),
});
export type TaskCancel = z.infer<typeof TaskCancel>;

export const workerCommands = ["drain", "stop", "restart"] as const;

export const WorkerCommand = Envelope.extend({
  type: z.literal("worker.command"),
  data: z.object({ command: z.enum(workerCommands) }),
});
export type WorkerCommand = z.infer<typeof WorkerCommand>;

/** Proves that the worker hears its channel: the next heartbeat echoes the nonce. */
export const Wake = Envelope.extend({
  type: z.literal("wake"),
  data: z.object({ nonce: z.string() }),
});
export type Wake = z.infer<typeof Wake>;

const JobEnd = AttemptRef.extend({
  attempt: z.number().int().nullish(),
  status: z.string(),
  result: z.unknown().optional().describe("Left out when it is larger than 64 KiB"),
  error: z.unknown().optional(),
});

/** Sent only for jobs that were submitted with `notify`. */
export const TaskResult = Envelope.extend({ type: z.literal("task.result"), data: JobEnd });
export type TaskResult = z.infer<typeof TaskResult>;

export const TaskError = Envelope.extend({ type: z.literal("task.error"), data: JobEnd });
export type TaskError = z.infer<typeof TaskError>;

/** What the worker reported, as it was stored; on the job's channel only, for jobs that were submitted with `notify`. */
export const TaskProgress = Envelope.extend({
  type: z.literal("task.progress"),
  data: z.object({
    jobId: Id,
    events: z.array(
      z.object({ kind: z.enum(["progress", "log", "chunk"]), number: z.number().int(), data: z.unknown() }),
    ),
  }),
});
export type TaskProgress = z.infer<typeof TaskProgress>;

/** Every message by its type. */
export const Message = z.discriminatedUnion("type", [
  TaskAssign,
  TaskCancel,
  WorkerCommand,
  Wake,
  TaskResult,
  TaskError,
  TaskProgress,
]);
export type Message = z.infer<typeof Message>;

/** What a worker tracks on the presence channel of its fleet, under its worker id. */
export const Presence = z.object({
  name: z.string(),
  capabilities: z.array(z.string()),
  status: z.enum(["idle", "busy", "draining"]),
  currentJobs: z.array(Id),
});
export type Presence = z.infer<typeof Presence>;
