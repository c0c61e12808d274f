import { z } from "zod";
import { Id, Instant } from "./common.ts";
import { afterPolicies, BatchCounts, concurrencyPolicies } from "./gates.ts";

/** What may keep a job from the queue, in the order in which it is passed. */
export const gateNames = ["time", "dependencies", "children", "concurrency", "rate", "affinity"] as const;
export const gateStates = ["passed", "waits", "ahead"] as const;

/** What may keep a worker from a job, in the order in which it is asked. */
export const predicates = [
  ...["status", "cordon", "capability", "label", "expression", "resource", "affinity"] as const,
  ...["free_slots", "free_resource"] as const,
] as const;

export const verdicts = ["free", "busy", "unfit"] as const;

/** What would make a worker do, cheapest first. */
export const relaxationChanges = [
  ...["wait", "uncordon_worker", "resume_worker", "start_worker", "drop_affinity"] as const,
  ...["drop_label", "drop_expression", "lower_resource", "lower_grade", "drop_capability"] as const,
] as const;

export const estimateReasons = ["dependencies", "children", "affinity", "paused", "no_worker", "no_samples"] as const;

const state = {
  state: z.enum(gateStates).describe("`ahead`: still to be passed, after the one where it waits"),
  wouldWait: z.boolean().optional().describe("Of a gate that is ahead: whether it would wait there now"),
};
const counted = "at most 1000 are counted";

const Gate = z.discriminatedUnion("gate", [
  z.object({
    gate: z.literal("time"),
    ...state,
    until: Instant,
    reason: z.enum(["run_at", "retry"]).describe("As it was submitted, or a pause before the next attempt"),
    lastError: z.unknown().describe("Why it is tried again"),
  }),
  z.object({
    gate: z.literal("dependencies"),
    ...state,
    policy: z.enum(afterPolicies),
    count: z.number().int().describe("How many jobs it waits for"),
    jobs: z.array(z.object({ jobId: Id, type: z.string(), status: z.string() })).describe("The first 20 of them"),
    willFail: z.boolean().describe("One of them did not succeed, as it had to"),
  }),
  z.object({ gate: z.literal("children"), ...state, batch: BatchCounts }),
  z.object({
    gate: z.literal("concurrency"),
    ...state,
    key: z.string(),
    limit: z.number().int(),
    paused: z.boolean().describe("An operator has set the limit to 0"),
    policy: z.enum(concurrencyPolicies),
    admitted: z.number().int().describe("How many jobs have the key"),
    ahead: z.number().int().describe(`Jobs that wait for it and come first; ${counted}`),
    heldBy: z.array(z.object({
      jobId: Id,
      status: z.string(),
      workerId: Id.nullable(),
      workerName: z.string().nullable(),
    })).describe("The first 10 of the jobs that have it"),
  }),
  z.object({
    gate: z.literal("rate"),
    ...state,
    key: z.string(),
    limit: z.number(),
    perSeconds: z.number(),
    burst: z.number().int(),
    units: z.number().int().describe("What a start of this job takes"),
    tokens: z.number().describe("What may start now"),
    ahead: z.number().int().describe(`Jobs that wait for it and come first; ${counted}`),
    until: Instant.nullable().describe("When there are tokens for it and those before it"),
  }),
  z.object({
    gate: z.literal("affinity"),
    ...state,
    by: z.enum(["affinity", "resource", "bound"]),
    name: z.string().nullable().describe("The key or the resource"),
    mode: z.enum(["soft", "hard"]),
    workerId: Id.nullable().describe("The worker it is for; null for any, or for none that is there"),
    workerName: z.string().nullable(),
    until: Instant.nullable().describe("Then others may take it, or another is chosen; null is for good"),
  }),
]);

const amount = z.union([z.string(), z.number()]).nullable();

export const FailedPredicate = z.object({
  predicate: z.enum(predicates),
  name: z.string().describe("Of the capability, label or resource"),
  wanted: amount,
  has: amount.describe("Null where it has none"),
}).meta({ id: "FailedPredicate" });
export type FailedPredicate = z.infer<typeof FailedPredicate>;

const ExplainedWorker = z.object({
  id: Id,
  name: z.string(),
  status: z.string(),
  verdict: z.enum(verdicts).describe("`busy`: it would do, but for what other jobs use now"),
  failed: FailedPredicate.nullable().describe(
    "The first thing that keeps the job from it; null when it is free for it",
  ),
  fits: z.boolean().describe("It has what the job requires, whether it is there and free or not"),
  pushed: z.boolean().describe("It is handed jobs at once; others get them when they ask"),
  slots: z.number().int(),
  heldSlots: z.number().int().describe("Slots in use"),
  heldBy: z.array(Id).nullable().describe("Of a busy worker: jobs that use what is wanted, the first 5"),
});

const Relaxation = z.object({
  cost: z.number().int().describe("See decision 31: 1 is to wait, 50 to ask for a capability less"),
  changes: z.array(z.object({
    change: z.enum(relaxationChanges),
    name: z.string().optional(),
    wanted: amount.optional(),
    to: amount.optional().describe("How far the amount has to be lowered for the example; null is to nothing"),
  })).describe("All of them are needed"),
  workers: z.number().int().describe("How many workers would do then"),
  example: z.object({ workerId: Id, name: z.string() }),
});

const Estimate = z.object({
  earliestAt: Instant.nullable(),
  expectedAt: Instant.nullable(),
  reason: z.enum(estimateReasons).nullable().describe("Why nobody can say"),
  basis: z.object({
    samples: z.number().int().describe("Jobs whose durations were looked at, at most 100"),
    sameRequirements: z.boolean().describe("They asked for the same; else only their type is the same"),
    meanSeconds: z.number().nullable(),
    fastSeconds: z.number().nullable().describe("The fastest tenth took no longer"),
    ahead: z.number().int(),
    slots: z.number().int().describe("How many such jobs can run at once"),
    free: z.number().int().describe("How many more can run now"),
    turns: z.number().describe("How often the mean has to pass before it is its turn"),
  }),
}).describe("Knows nothing of other jobs on the same workers, nor of those to come");

/** Why a job is not running, or would not be. */
export const Explanation = z.object({
  jobId: Id.nullable().describe("Null for a job that was not submitted"),
  type: z.string(),
  status: z.string().describe("Of a job that was not submitted, the one it would have before workers are looked for"),
  summary: z.string().describe("All of it in a sentence"),
  explainedAt: Instant,
  attempts: z.number().int(),
  maxAttempts: z.number().int(),
  startBy: Instant.nullable(),
  expiresAt: Instant.nullable(),
  gates: z.array(Gate).describe("What it has to pass before the queue, in order; only what it has"),
  queue: z.object({
    ahead: z.number().int().describe(`Queued jobs with the same requirements that come first; ${counted}`),
    priority: z.number().int(),
    effectivePriority: z.number().int().describe("With what waiting has added"),
    flow: z.string().describe("With whom it shares its turns: the fairness key, else the app"),
    weight: z.number().int(),
    queuedAt: Instant.nullable().describe("Null where it has not come to the queue"),
  }).nullable().describe("Its place in the queue, or the one it would get; null once a worker has it"),
  workers: z.array(ExplainedWorker).describe("At most 1000: those that fit first, in the order in which they get jobs"),
  counts: z.object({
    total: z.number().int().describe("Workers of the tenant"),
    examined: z.number().int(),
    fitting: z.number().int(),
    free: z.number().int(),
    freePushed: z.number().int(),
    busy: z.number().int(),
  }).describe("Of the workers that were examined"),
  relaxations: z.array(Relaxation).describe("Which workers would do if what were changed, cheapest first; at most 10"),
  estimate: Estimate.nullable().describe("Null once a worker has the job"),
}).meta({
  id: "Explanation",
  example: {
    jobId: "0b8f3a52-4a3e-4c8e-9a5c-2f8d8b6f7a10",
    type: "image.render",
    status: "queued",
    summary: "The job waits for a worker: none of 1 can take it now; 1 lacks capability gpu/a100",
    explainedAt: "2026-01-31T12:00:00.000000Z",
    attempts: 0,
    maxAttempts: 3,
    startBy: null,
    expiresAt: null,
    gates: [],
    queue: {
      ahead: 0,
      priority: 0,
      effectivePriority: 0,
      flow: "5a2c7d3e-91b4-4d1c-b0c3-6a0f5e4d3c2b",
      weight: 1,
      queuedAt: "2026-01-31T11:59:00.000000Z",
    },
    workers: [{
      id: "e4d909c2-90d0-4b1c-a068-ffaddf22cbd0",
      name: "gpu-7",
      status: "online",
      verdict: "unfit",
      failed: { predicate: "capability", name: "gpu/a100", wanted: "gpu/a100", has: null },
      fits: false,
      pushed: true,
      slots: 1,
      heldSlots: 0,
      heldBy: null,
    }],
    counts: { total: 1, examined: 1, fitting: 0, free: 0, freePushed: 0, busy: 0 },
    relaxations: [{
      cost: 50,
      changes: [{ change: "drop_capability", name: "gpu/a100", wanted: "gpu/a100" }],
      workers: 1,
      example: { workerId: "e4d909c2-90d0-4b1c-a068-ffaddf22cbd0", name: "gpu-7" },
    }],
    estimate: {
      earliestAt: null,
      expectedAt: null,
      reason: "no_worker",
      basis: {
        samples: 0,
        sameRequirements: false,
        meanSeconds: null,
        fastSeconds: null,
        ahead: 0,
        slots: 0,
        free: 0,
        turns: 0,
      },
    },
  },
});
export type Explanation = z.infer<typeof Explanation>;
