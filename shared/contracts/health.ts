import { z } from "zod";
import { Instant } from "./common.ts";

const state = z.enum(["ok", "failed"]);

/** Where counting stops: what it costs to tell does not grow with the queue. */
const mostCounted = 10_000;

const count = z.number().int().min(0).max(mostCounted);

export const Load = z.object({
  onlineWorkers: count.describe("Workers that beat, draining ones included"),
  queuedJobs: count.describe("Jobs that wait for a worker"),
}).describe(
  `Counts up to ${mostCounted}, which stands for that many or more: for an API key and for an editor or admin those of ` +
    "the tenant, for the secret key without x-tenant-id those of all tenants; null for anybody else",
);
export type Load = z.infer<typeof Load>;

export const Health = z.object({
  status: z.enum(["ok", "degraded"]),
  checks: z.object({
    database: z.object({ status: state }),
    storage: z.object({ status: state }),
    realtime: z.object({ status: state }),
    tick: z.object({
      status: state,
      ageSeconds: z.number().nullable().describe("Seconds since the last sweep; null before the first"),
    }),
  }),
  load: Load.nullable(),
  time: Instant.describe("The server's clock"),
}).meta({ id: "Health" });
export type Health = z.infer<typeof Health>;
