import { z } from "zod";
import type { Random } from "../../support/random.ts";
import type { SubmitJob } from "../../../shared/contracts/jobs.ts";
import { planWish, type PolicyName } from "./mix/policies.ts";

/** What a handler of the campaign is to do with a job. */
export const WorkPlan = z.object({
  milliseconds: z.number(),
  reportEveryMs: z.number(),
  /** So many attempts fail before one succeeds. */
  failures: z.number(),
  /** A failure is not to be tried again. */
  failsFinally: z.boolean(),
  /** Goes on after it was told to stop, and succeeds late. */
  ignoresAbort: z.boolean(),
  resultBytes: z.number(),
  /** The code of its failures, if not the usual one. */
  failsWith: z.string().nullable(),
  /** A resource that its worker holds from then on, or until the job ends. */
  holds: z.string().nullable(),
  evicts: z.boolean(),
});
export type WorkPlan = z.output<typeof WorkPlan>;

/** A job of the campaign, and what its app does with it besides submitting it. */
export interface PlannedJob {
  readonly key: string;
  readonly submit: SubmitJob & { readonly idempotencyKey: string };
  /** What of the mix it asks for. */
  readonly policies: readonly string[];
  /** In a request of its own, because it may be refused. */
  readonly alone: boolean;
  /** Both apps of the tenant hand it in, at the same time. */
  readonly twice: boolean;
  /** Cancelled so long after it was handed in. */
  readonly cancelAfterMs: number | null;
  /** Its result is waited for through the API. */
  readonly awaited: boolean;
}

/** Job number `index` of a tenant; the same for the same random numbers. `only` is the one policy that it asks for. */
export function planJob(random: Random, tenant: string, index: number, only?: PolicyName): PlannedJob {
  const key = `${tenant}-${index}`;
  const length = random.weighted({ short: 70, middling: 22, long: 8 });
  const milliseconds = length === "short"
    ? random.between(0, 40)
    : length === "middling"
    ? random.between(200, 1_200)
    : random.between(2_500, 7_000);
  const failsFinally = random.chance(0.03);
  const wish = planWish(random, Date.now, only);
  const plan: WorkPlan = {
    milliseconds,
    reportEveryMs: random.between(100, 500),
    failures: wish.failsWith !== undefined ? 15 : failsFinally ? 1 : random.chance(0.15) ? random.between(1, 2) : 0,
    failsFinally,
    ignoresAbort: random.chance(0.1),
    resultBytes: random.chance(0.03) ? random.between(20_000, 60_000) : random.between(0, 200),
    failsWith: wish.failsWith ?? null,
    holds: wish.holds ?? null,
    evicts: wish.evicts ?? false,
  };
  // Shorter than the work: the server ends the attempt, and the handler succeeds too late.
  const isTooLong = length === "long" && random.chance(0.1);
  return {
    key,
    submit: {
      type: "campaign.work",
      payload: { tenant, key, plan },
      requires: ["compute/campaign"],
      priority: random.chance(0.2) ? random.between(-2, 2) : 0,
      maxAttempts: random.chance(0.1) ? 3 : 15,
      retryBaseSeconds: 0.2,
      retryCapSeconds: 3,
      ...(isTooLong ? { attemptTimeoutSeconds: 2, maxAttempts: 2 } : {}),
      ...wish.submit,
      idempotencyKey: key,
    },
    policies: wish.names,
    alone: wish.alone ?? false,
    twice: random.chance(0.3),
    cancelAfterMs: random.chance(0.04) ? random.between(0, 4_000) : null,
    awaited: random.chance(0.1),
  };
}
