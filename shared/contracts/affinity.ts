import { z } from "zod";
import { Id, Instant, Key } from "./common.ts";
import { limits } from "./limits.ts";
import { workerStatuses } from "./workers.ts";

export const affinityModes = ["soft", "hard"] as const;

const waitSeconds = z.number().min(0).max(limits.timeoutSeconds).optional();

/** Jobs of one key go to the same worker. */
export const Affinity = z.strictObject({
  key: Key.describe("Jobs of one key go to the worker that had the last of them"),
  mode: z.enum(affinityModes).optional()
    .describe(
      "soft, the default, wants that worker; hard takes no other as long as it is known, even while it is away",
    ),
  waitSeconds: waitSeconds.describe("How long a soft one waits for that worker while it is busy; default 0"),
  keepSeconds: z.number().min(1).max(limits.timeoutSeconds).optional()
    .describe("How long the worker of the key is known after its last job; default 3600"),
}).meta({ id: "Affinity", example: { key: "session-7", mode: "hard" } });
export type Affinity = z.infer<typeof Affinity>;

/** A job that follows a named resource. */
export const ResourceRef = z.strictObject({
  name: Key.describe("A resource that workers say they hold"),
  mode: z.enum(affinityModes).optional()
    .describe("hard, the default, waits until a worker that fits holds it; soft goes elsewhere where none is free"),
  waitSeconds: waitSeconds.describe("How long a soft one waits for a holder that is busy; default 0"),
}).meta({ id: "ResourceRef", example: { name: "model/llama-70b" } });
export type ResourceRef = z.infer<typeof ResourceRef>;

/** Fields of a job that say which worker it wants. */
export const affinityFields = {
  affinity: Affinity.optional().describe("Go where the last job of the same key went"),
  resourceRef: ResourceRef.optional().describe("Go to a worker that holds this resource"),
} as const;

/** The same of a job as it is answered. */
export const affinityAnswers = {
  affinity: Affinity.optional().describe("As it was submitted"),
  resourceRef: ResourceRef.optional().describe("As it was submitted"),
  boundTo: Id.optional().describe("The worker that an operator has named for it, by rebind"),
} as const;

export const RebindJob = z.strictObject({
  workerId: Id.nullable().describe("The worker that the job shall go to, and no other; null lets it choose again"),
}).meta({ id: "RebindJob", example: { workerId: "e4d909c2-90d0-4b1c-a068-ffaddf22cbd0" } });
export type RebindJob = z.infer<typeof RebindJob>;

export const ListResourcesQuery = z.strictObject({
  name: Key.optional().describe("Only holders of this resource"),
  workerId: Id.optional().describe("Only what this worker holds"),
});
export type ListResourcesQuery = z.infer<typeof ListResourcesQuery>;

/** A named resource that a worker says it has. */
export const HeldResource = z.object({
  name: z.string(),
  workerId: Id,
  workerName: z.string(),
  workerStatus: z.enum(workerStatuses),
  leaseSeconds: z.number().describe("Without being told of it for so long, it counts as gone"),
  sizeBytes: z.number().int().nullable(),
  metadata: z.record(z.string(), z.unknown()).describe("What its worker tells of it"),
  acquiredAt: Instant,
  touchedAt: Instant,
  expiresAt: Instant,
}).meta({ id: "HeldResource" });
export type HeldResource = z.infer<typeof HeldResource>;

export const HeldResourceList = z.object({
  resources: z.array(HeldResource).describe("By name, at most 1,000"),
}).meta({ id: "HeldResourceList" });
export type HeldResourceList = z.infer<typeof HeldResourceList>;
