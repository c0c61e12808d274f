import { z } from "zod";
import { Id, Instant, Key, text } from "./common.ts";
import { SubmitJob } from "./jobs.ts";
import { limits } from "./limits.ts";

/** What happens to a run while the job of the one before has not ended. */
export const overlaps = ["allow", "skip", "replace"] as const;

/** Which of the runs that were missed, while the project was away, are made up for. */
export const catchUps = ["none", "last", "all"] as const;

export const CronExpression: z.ZodType<string> = text(limits.cronLength).meta({
  description: "Minute, hour, day, month and weekday as in cron, or a name such as @daily",
  example: "30 7 * * mon-fri",
});

export const TimeZone: z.ZodType<string> = z.string().min(1).max(limits.nameLength)
  .regex(/^[A-Za-z][A-Za-z0-9_+/-]*$/, "Must be a name of the IANA database such as Europe/Berlin")
  .meta({ description: "Name of a time zone in the IANA database", example: "Europe/Berlin" });

const ScheduleName = text(limits.nameLength);

/** What every run submits: when, under which key, and what it comes after or belongs to, is a run's own. */
export const ScheduledJob = SubmitJob.omit({
  runAt: true,
  startBy: true,
  idempotencyKey: true,
  after: true,
  parentId: true,
}).meta({
  id: "ScheduledJob",
  dependentRequired: { concurrencyPolicy: ["concurrencyKey"] },
  example: { type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"] },
});
export type ScheduledJob = z.infer<typeof ScheduledJob>;

export const CreateSchedule = z.strictObject({
  name: ScheduleName.describe("The tenant's own name for it; no two have the same"),
  cron: CronExpression,
  timeZone: TimeZone.optional().describe("Whose clocks the expression means; default UTC"),
  job: ScheduledJob.describe("What each run submits"),
  overlap: z.enum(overlaps).optional()
    .describe(
      "While the last run's job has not ended: run all the same, leave the run out, or cancel that job; default allow",
    ),
  catchUp: z.enum(catchUps).optional()
    .describe("Which missed runs are made up for; of all, the last 100, and only where they may overlap; default last"),
  jitterSeconds: z.number().int().min(0).max(limits.jitterSeconds).optional()
    .describe("Each run starts up to so much later, by a time of its own; default 0"),
  startsAt: Instant.nullish().describe("No run before this instant"),
  endsAt: Instant.nullish().describe("No run after this instant"),
}).meta({
  id: "CreateSchedule",
  example: {
    name: "nightly",
    cron: "30 2 * * *",
    timeZone: "Europe/Berlin",
    job: { type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"] },
    overlap: "skip",
  },
});
export type CreateSchedule = z.infer<typeof CreateSchedule>;

export const ChangeSchedule = CreateSchedule.partial().meta({
  id: "ChangeSchedule",
  description: "What is left out stays as it is",
  example: { cron: "0 3 * * *" },
});
export type ChangeSchedule = z.infer<typeof ChangeSchedule>;

export const Schedule = z.object({
  id: Id,
  tenantId: Id,
  name: z.string(),
  cron: z.string(),
  timeZone: z.string(),
  job: z.looseObject({ type: z.string() }).describe(
    "What each run submits, as it was given; in a list without its payload",
  ),
  executorId: Id.nullable().describe("The app whose jobs they are"),
  overlap: z.enum(overlaps),
  catchUp: z.enum(catchUps),
  jitterSeconds: z.number().int(),
  startsAt: Instant.nullable(),
  endsAt: Instant.nullable(),
  pausedAt: Instant.nullable(),
  nextRunAt: Instant.nullable().describe("Null for one that is paused or runs no more"),
  lastRunAt: Instant.nullable().describe("For when the last run was due that made a job"),
  lastJobId: Id.nullable().describe("The job of the last run, by time or by hand"),
  runCount: z.number().int().describe("How many jobs it has made"),
  lastSkip: z.object({
    runAt: Instant,
    reason: z.enum(["missed", "overlap", "refused"]),
    message: z.string().nullable().describe("How a refused run was refused"),
  }).nullable().describe("The last run that made no job"),
  createdBy: z.object({ kind: z.string(), id: z.string().nullish() }).describe("Who made it"),
  createdAt: Instant,
  updatedAt: Instant,
  nextRuns: z.array(Instant).optional().describe("Up to five; only where one schedule is asked for"),
}).meta({ id: "Schedule" });
export type Schedule = z.infer<typeof Schedule>;

export const ScheduleParams = z.object({ id: Id.describe("The schedule's id") });

export const ListSchedulesQuery = z.strictObject({
  name: ScheduleName.optional().describe("Only the schedule of this name"),
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Schedules a page"),
  cursor: text(1_000).optional().describe("nextCursor of the page before"),
});
export type ListSchedulesQuery = z.infer<typeof ListSchedulesQuery>;

export const ScheduleList = z.object({
  schedules: z.array(Schedule).describe("Newest first"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "ScheduleList" });
export type ScheduleList = z.infer<typeof ScheduleList>;

export const RunScheduleHeaders = z.object({
  "idempotency-key": Key.optional().describe("The same key yields the same job"),
});

export const PreviewSchedule = z.strictObject({
  cron: CronExpression,
  timeZone: TimeZone.optional().describe("Default UTC"),
  count: z.number().int().min(1).max(limits.previewedRuns).optional().describe("How many runs; default 5"),
  after: Instant.optional().describe("Runs after this instant; default now"),
}).meta({ id: "PreviewSchedule", example: { cron: "30 7 * * mon-fri", timeZone: "Europe/Berlin", count: 3 } });
export type PreviewSchedule = z.infer<typeof PreviewSchedule>;

export const ScheduledRuns = z.object({
  runs: z.array(Instant).describe("In order; fewer than asked for where there are no more in 50 years"),
}).meta({ id: "ScheduledRuns" });
export type ScheduledRuns = z.infer<typeof ScheduledRuns>;
