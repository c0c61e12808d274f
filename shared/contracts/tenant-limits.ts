import { z } from "zod";

const count = (most: number) => z.number().int().min(0).max(most);
const rate = z.number().int().min(1).max(100_000);

/** How much a tenant may have, and how often its callers may ask. Rates are requests a second. */
export const TenantLimits = z.object({
  waitingJobs: count(2_000_000_000).describe("Jobs that are scheduled, blocked or queued"),
  workers: count(2_000_000_000).describe("Enrolled workers, revoked ones left out"),
  artifactBytes: count(Number.MAX_SAFE_INTEGER).describe("Bytes of artifacts, announced ones included"),
  jobClasses: count(2_000_000_000).describe("Distinct sets of required capabilities and labels"),
  apiKeyRate: rate.describe("Of each API key"),
  apiKeyBurst: rate.describe("Requests of an API key that may come at once"),
  memberRate: rate.describe("Of each signed-in user"),
  memberBurst: rate,
  workerRate: rate.describe("Calls of each worker"),
  workerBurst: rate,
  enrollmentTokenRate: rate.describe("Enrollments by each token"),
  enrollmentTokenBurst: rate,
  retentionDays: z.number().int().min(1).max(3650).describe("For how long jobs are kept after they ended"),
}).meta({ id: "TenantLimits" });
export type TenantLimits = z.infer<typeof TenantLimits>;

/** Null goes back to the usual limit; what is left out stays as it is. */
export const SetTenantLimits = z.strictObject(
  Object.fromEntries(
    Object.entries(TenantLimits.shape).map(([name, schema]) => [name, schema.nullable().optional()]),
  ) as { [Name in keyof typeof TenantLimits.shape]: z.ZodOptional<z.ZodNullable<(typeof TenantLimits.shape)[Name]>> },
).meta({ id: "SetTenantLimits", example: { waitingJobs: 5000, apiKeyRate: null } });
export type SetTenantLimits = z.infer<typeof SetTenantLimits>;

export const LimitsDocument = z.object({
  limits: TenantLimits.describe("Those that hold"),
  changed: z.array(z.string()).describe("Names of those that are not the usual ones"),
  used: z.object({
    waitingJobs: z.number().int().describe("At most 10,000 are counted"),
    workers: z.number().int(),
    artifactBytes: z.number().int(),
    jobClasses: z.number().int(),
  }),
}).meta({ id: "LimitsDocument" });
export type LimitsDocument = z.infer<typeof LimitsDocument>;
