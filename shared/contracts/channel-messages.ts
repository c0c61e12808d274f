import type { z } from "zod";
import type { channels } from "../channels.ts";
import {
  JobEnqueued,
  Presence,
  TaskAssign,
  TaskCancel,
  TaskError,
  TaskProgress,
  TaskResult,
  Wake,
  WorkerCommand,
} from "./messages.ts";

/** What goes over one kind of channel. */
export interface ChannelMessages {
  /** Its name, with `{…}` for ids. */
  readonly topic: string;
  readonly description: string;
  /** The broadcasts, by their event. */
  readonly broadcasts: Readonly<Record<string, z.ZodType>>;
  /** What is tracked there, if anything is. */
  readonly presence: z.ZodType | null;
}

/** Every kind of channel and what goes over it; nothing else does. */
export const channelMessages: Readonly<Record<keyof typeof channels, ChannelMessages>> = {
  workerTasks: {
    topic: "worker:{workerId}:tasks",
    description: "Heard by that worker",
    broadcasts: { "task.assign": TaskAssign, "task.cancel": TaskCancel, "worker.command": WorkerCommand, wake: Wake },
    presence: null,
  },
  workerEvents: {
    topic: "worker:{workerId}:events",
    description: "May be heard by members; nothing is sent there",
    broadcasts: {},
    presence: null,
  },
  executorTasks: {
    topic: "executor:{executorId}:tasks",
    description: "Heard by that app: the ends of its jobs that were submitted with notify",
    broadcasts: { "task.result": TaskResult, "task.error": TaskError },
    presence: null,
  },
  job: {
    topic: "job:{jobId}",
    description: "Heard by whoever may read the job, when it was submitted with notify",
    broadcasts: { "task.progress": TaskProgress, "task.result": TaskResult, "task.error": TaskError },
    presence: null,
  },
  fleetPresence: {
    topic: "fleet:{tenantId}:presence",
    description: "Where workers show themselves to members, each under its worker id",
    broadcasts: {},
    presence: Presence,
  },
  workerWakeup: {
    topic: "worker-wakeup:{tenantId}",
    description: "Heard by all workers of the tenant in claim mode, and by those of its own queues",
    broadcasts: { job_enqueued: JobEnqueued },
    presence: null,
  },
};
