import { z } from "zod";
import { Id, Instant, text } from "./common.ts";
import { limits } from "./limits.ts";

/** Held against the SQL enum `muster.worker_status`. */
export const workerStatuses = ["online", "draining", "offline", "revoked"] as const;

export const WorkerParams = z.object({ id: Id.describe("The worker's id") });

export const ListWorkersQuery = z.strictObject({
  status: z.enum(workerStatuses).optional().describe("Only workers in this status"),
  capability: text(limits.capabilityLength).optional().describe("Only workers that have this capability"),
});
export type ListWorkersQuery = z.infer<typeof ListWorkersQuery>;

/** A worker as its tenant sees it. */
export const Worker = z.object({
  id: Id,
  name: z.string(),
  status: z.enum(workerStatuses),
  capabilities: z.array(z.string()).describe("What it claims, as far as its enrollment token allows"),
  grantedCapabilities: z.array(z.string()).describe("Those of them that its enrollment token names"),
  measuredCapabilities: z.array(z.string())
    .describe("What an operator has recorded; counts where the worker claims it, too"),
  labels: z.record(z.string(), z.string()),
  slots: z.number().int().describe("How many jobs it runs at a time"),
  heldCount: z.number().int().describe("How many slots are in use"),
  resources: z.record(z.string(), z.number()).describe("What it has beside its slots"),
  heldResources: z.record(z.string(), z.number()).describe("What of it is in use"),
  mode: z.enum(["push", "claim"]).describe("Whether it is pushed its jobs, or claims them when it is called"),
  listening: z.boolean().describe("It says that its channel is joined"),
  deaf: z.boolean().describe("It beats but does not hear its channel, and is served by polling"),
  ephemeral: z.boolean().describe("It is forgotten once it is gone"),
  lastSeenAt: Instant.nullable(),
  drainRequestedAt: Instant.nullable(),
  cordonedAt: Instant.nullable().describe("Since then it is given nothing new, and stays online"),
  currentJobs: z.array(Id),
  metrics: z.unknown().describe("What the worker last reported about itself"),
  version: z.string().nullable(),
  createdAt: Instant,
}).meta({ id: "Worker" });
export type Worker = z.infer<typeof Worker>;

export const WorkerList = z.object({ workers: z.array(Worker) }).meta({ id: "WorkerList" });
export type WorkerList = z.infer<typeof WorkerList>;
