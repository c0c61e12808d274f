import { z } from "zod";
import { Instant } from "./common.ts";

const state = z.enum(["ok", "failed"]);

export const Health = z.object({
  status: z.enum(["ok", "degraded"]),
  checks: z.object({
    database: z.object({ status: state }),
    storage: z.object({ status: state }),
    realtime: z.object({
      status: state,
      partitionToday: z.boolean().nullable().describe("Whether today's messages have a partition to be stored in"),
    }),
    tick: z.object({
      status: state,
      lastTickAt: Instant.nullable(),
      ageSeconds: z.number().nullable(),
    }),
  }),
  onlineWorkers: z.number().int().nullable(),
  queuedJobs: z.number().int().nullable(),
  time: Instant.describe("The server's clock"),
}).meta({ id: "Health" });
export type Health = z.infer<typeof Health>;
