import { z } from "zod";
import { Id, Key, text } from "./common.ts";
import { limits } from "./limits.ts";

/** What a job does when its concurrency key has no room. Held against SQL by tests/sql. */
export const concurrencyPolicies = ["wait", "reject", "replace"] as const;

/** What a job asks of those it comes after. */
export const afterPolicies = ["succeeded", "ended"] as const;

export const ConcurrencyPolicy = z.enum(concurrencyPolicies).describe(
  "When the key has no room: wait for it (default), reject the submission, or replace what waits and then the oldest " +
    "that run. Only `wait` goes with `after` and a later `runAt`",
);

export const RateLimit = z.strictObject({
  key: Key.describe("Jobs of one key share the limit"),
  limit: z.number().int().min(1).max(limits.rateUnits).describe("How many units may start in perSeconds"),
  perSeconds: z.number().int().min(1).max(limits.ratePeriodSeconds),
  burst: z.number().int().min(1).max(limits.rateUnits).optional()
    .describe("How many units may start at once after a pause; default as many as limit"),
  units: z.number().int().min(1).max(limits.rateUnits).optional()
    .describe("How many units each start of this job takes, at most the burst; default 1"),
}).refine(({ limit, burst = limit, units = 1 }) => units <= burst, {
  path: ["units"],
  message: "Must not be more than the burst, or the job could never start",
}).meta({ example: { key: "api.example.com", limit: 10, perSeconds: 60 } });
export type RateLimit = z.infer<typeof RateLimit>;

/** A job to come after: one that is stored, or an earlier one of the same request. */
export const After = z.array(z.union([
  Id,
  z.string().regex(/^#\d{1,3}$/, "Must be the id of a job, or # and the place of an earlier one in jobs, from 0"),
])).max(limits.after).describe(
  "Jobs that must have ended first: ids, or `#0` for the first job of this request and so on; only earlier ones",
);

export const AfterPolicy = z.enum(afterPolicies).describe(
  "`succeeded` (default): when one of them fails or is cancelled, this job fails with `dependency_failed`; `ended`: " +
    "it starts however they ended",
);

/** A parent for the jobs of a request; it ends when they have. */
export const SubmitBatch = z.strictObject({
  name: text(limits.nameLength).optional().describe("For people; in the parent's payload"),
  notify: z.boolean().optional().describe("Send task.result or task.error when the batch ends; default false"),
  open: z.boolean().optional().describe("Takes more jobs by parentId until it is closed; default false"),
  idempotencyKey: text(limits.batchKeyLength).optional().describe(
    "The same key yields the same batch, and jobs of the request without a key of their own yield the same jobs",
  ),
}).meta({ id: "SubmitBatch", example: { name: "nightly", open: false } });
export type SubmitBatch = z.infer<typeof SubmitBatch>;

/** What may keep a job from the queue. Held against SQL's check by tests/sql. */
export const waitingReasons = ["dependencies", "children", "concurrency", "rate", "affinity"] as const;

/** What a job says of its gates as it is submitted. */
export const gateFields = {
  concurrencyPolicy: ConcurrencyPolicy.optional(),
  rateLimit: RateLimit.optional().describe("How often jobs of a key may start"),
  after: After.optional(),
  afterPolicy: AfterPolicy.optional(),
  parentId: Id.optional().describe("The open batch that it is added to"),
};

/** How far the jobs of a batch are. */
export const BatchCounts = z.object({
  open: z.boolean().describe("Whether it takes more jobs"),
  jobs: z.number().int().describe("How many it has"),
  waiting: z.number().int(),
  held: z.number().int().describe("Assigned or running"),
  succeeded: z.number().int(),
  failed: z.number().int(),
  cancelled: z.number().int(),
}).meta({ id: "BatchCounts" });
export type BatchCounts = z.infer<typeof BatchCounts>;

/** What a job tells of its gates. */
export const gateAnswers = {
  waitingFor: z.enum(waitingReasons).nullish().describe("What a blocked job waits for"),
  concurrencyLimit: z.number().int().optional().describe("As it was submitted"),
  concurrencyPolicy: z.enum(concurrencyPolicies).optional(),
  rateLimit: z.object({
    key: z.string(),
    limit: z.number(),
    perSeconds: z.number(),
    burst: z.number().optional(),
    units: z.number().optional(),
  }).optional(),
  after: z.array(Id).optional().describe("The jobs that it comes after"),
  afterPolicy: z.enum(afterPolicies).optional(),
  parentId: Id.nullish().describe("The batch that it belongs to"),
  batch: BatchCounts.optional().describe("Of a batch (type `muster.batch`), where one job is asked for"),
};

export const ConcurrencyKey = z.object({
  key: z.string(),
  limit: z.number().int().describe("How many of its jobs run at a time; 0 is paused"),
  fixed: z.boolean().describe("Set by an operator: submissions do not change it"),
  admitted: z.number().int().describe(
    "Jobs past the key: queued, held, or held back by something else; at most 10000 are counted",
  ),
  waiting: z.number().int().describe("Jobs that wait for it; at most 10000 are counted"),
}).meta({
  id: "ConcurrencyKey",
  example: { key: "printer-3", limit: 1, fixed: false, admitted: 1, waiting: 7 },
});
export type ConcurrencyKey = z.infer<typeof ConcurrencyKey>;

export const ConcurrencyKeyList = z.object({
  keys: z.array(ConcurrencyKey).describe("In the order of their names"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "ConcurrencyKeyList" });
export type ConcurrencyKeyList = z.infer<typeof ConcurrencyKeyList>;

export const SetConcurrencyKey = z.strictObject({
  limit: z.number().int().min(0).max(limits.concurrency).nullable()
    .describe("0 lets no more jobs in; null leaves the limit to submissions again"),
}).meta({ id: "SetConcurrencyKey", example: { limit: 0 } });

export const RateLimitState = z.object({
  key: z.string(),
  limit: z.number().int(),
  perSeconds: z.number(),
  burst: z.number().int(),
  tokens: z.number().describe("Units that may be let in now"),
  waiting: z.number().int().describe("Jobs that wait for it; at most 10000 are counted"),
  nextAt: z.string().nullable().describe("When the next of them may be let in; null when none waits"),
}).meta({
  id: "RateLimitState",
  example: {
    key: "api.example.com",
    limit: 10,
    perSeconds: 60,
    burst: 10,
    tokens: 0.5,
    waiting: 3,
    nextAt: "2026-01-31T12:00:03.000Z",
  },
});

export const RateLimitList = z.object({
  rateLimits: z.array(RateLimitState).describe("In the order of their keys"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "RateLimitList" });
export type RateLimitList = z.infer<typeof RateLimitList>;

export const KeyParams = z.object({ key: Key.describe("The key") });

export const KeyListQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Keys a page"),
  cursor: text(limits.keyLength).optional().describe("nextCursor of the page before"),
});
