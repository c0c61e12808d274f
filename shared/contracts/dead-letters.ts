import { z } from "zod";
import { Id, Instant, text } from "./common.ts";
import { limits } from "./limits.ts";

export const deadLetterStates = ["open", "replayed", "dismissed"] as const;

/** What is kept of a job that failed for good, until somebody has dealt with it. */
export const DeadLetter = z.object({
  jobId: Id,
  type: z.string().describe("The job's"),
  errorCode: z.string().nullable().describe("Of the error that ended it"),
  errorMessage: z.string().nullable().describe("How the message begins; the job has all of it"),
  attempts: z.number().int().describe("How many were started"),
  failedAt: Instant,
  replayedAs: Id.nullable().describe("The job that repeats it"),
  replayedAt: Instant.nullable(),
  dismissedAt: Instant.nullable(),
}).meta({ id: "DeadLetter" });
export type DeadLetter = z.infer<typeof DeadLetter>;

const filterFields = {
  type: text(limits.typeLength).optional().describe("Only of jobs of this type"),
  errorCode: text(limits.errorCodeLength).optional().describe("Only of jobs that ended with this error"),
  after: Instant.optional().describe("Only of jobs that failed after this instant"),
  before: Instant.optional().describe("Only of jobs that failed before this instant"),
};
const cursor = text(1_000).optional();

export const ListDeadLettersQuery = z.strictObject({
  state: z.enum(deadLetterStates).default("open").describe("What has become of them"),
  ...filterFields,
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Letters a page"),
  cursor: cursor.describe("nextCursor of the page before"),
});
export type ListDeadLettersQuery = z.infer<typeof ListDeadLettersQuery>;

export const DeadLetterList = z.object({
  deadLetters: z.array(DeadLetter).describe("Newest first"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "DeadLetterList" });
export type DeadLetterList = z.infer<typeof DeadLetterList>;

const selection = {
  ids: z.array(Id).min(1).max(limits.deadLetters).optional().describe("The jobs whose letters are meant"),
  filter: z.strictObject(filterFields).optional().describe("Or all open letters that it fits, oldest first: {} is all"),
  limit: z.number().int().min(1).max(limits.deadLetters).optional()
    .describe("How many letters this call deals with at most; default 1000"),
  cursor: cursor.describe("nextCursor of the answer before, to go on"),
};
const isOneSelection = ({ ids, filter }: { ids?: unknown; filter?: unknown }) =>
  (ids === undefined) !== (filter === undefined);
const oneSelection = "Must have either ids or filter";

export const ReplayDeadLetters = z.strictObject({
  ...selection,
  changes: z.strictObject({
    priority: z.number().int().min(-limits.priority).max(limits.priority).optional(),
    maxAttempts: z.number().int().min(1).max(limits.attempts).optional(),
  }).optional().describe("What the new jobs have instead of what the old ones had"),
}).refine(isOneSelection, oneSelection)
  .meta({ id: "ReplayDeadLetters", example: { filter: { errorCode: "worker_lost" }, limit: 500 } });
export type ReplayDeadLetters = z.infer<typeof ReplayDeadLetters>;

export const ReplayedDeadLetters = z.object({
  replayed: z.number().int().describe("How many new jobs there are"),
  skipped: z.number().int().describe("How many were not open any more, or are being dealt with"),
  jobs: z.array(z.object({ jobId: Id, replayedAs: Id })).describe("Old and new"),
  nextCursor: z.string().nullable().describe("Where to go on, with the same filter; null when all are done"),
}).meta({ id: "ReplayedDeadLetters" });
export type ReplayedDeadLetters = z.infer<typeof ReplayedDeadLetters>;

export const DismissDeadLetters = z.strictObject(selection).refine(isOneSelection, oneSelection)
  .meta({ id: "DismissDeadLetters", example: { filter: { type: "photo.resize" } } });
export type DismissDeadLetters = z.infer<typeof DismissDeadLetters>;

export const DismissedDeadLetters = z.object({
  dismissed: z.number().int(),
  skipped: z.number().int().describe("How many were not open any more, or are being dealt with"),
  nextCursor: z.string().nullable().describe("Where to go on, with the same filter; null when all are done"),
}).meta({ id: "DismissedDeadLetters" });
export type DismissedDeadLetters = z.infer<typeof DismissedDeadLetters>;
