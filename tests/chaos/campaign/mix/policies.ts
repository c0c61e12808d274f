import type { SubmitJob } from "../../../../shared/contracts/jobs.ts";
import type { Random } from "../../../support/random.ts";

/** What a job of the mix asks for besides its work. */
export interface Wish {
  readonly submit: Partial<SubmitJob>;
  /** Handed in alone: it may be refused, or its words do not go with others' in a request. */
  readonly alone?: boolean;
  /** Its attempts end with this code, which it says is final. */
  readonly failsWith?: string;
  /** Its worker holds this named resource from then on, or loses it when the job is done. */
  readonly holds?: string;
  readonly evicts?: boolean;
}

/** What jobs fail with that have said it is final. */
export const finalError = "campaign_bad.input";

/** Each policy, and how many of a hundred jobs ask for it. Names of keys say what the auditor has to know of them. */
const policies = {
  "concurrency, wait": {
    share: 8,
    wish: (random) => ({ submit: { ...concurrency(random) } }),
  },
  "concurrency, reject": {
    share: 3,
    wish: (random) => ({ submit: { ...concurrency(random), concurrencyPolicy: "reject" }, alone: true }),
  },
  "concurrency, replace": {
    share: 3,
    wish: (random) => ({ submit: { ...concurrency(random), concurrencyPolicy: "replace" }, alone: true }),
  },
  "rate limit": {
    share: 7,
    wish(random) {
      const number = random.between(1, 3);
      // Units that fit the burst, which is what may start at once.
      const limit = { key: `rate-${number}`, limit: 4 * number, perSeconds: 2, burst: 2 + number };
      return { submit: { rateLimit: { ...limit, units: random.between(1, 2) } } };
    },
  },
  "affinity, soft": {
    share: 6,
    wish: (random) => ({
      submit: { affinity: { key: `soft-${random.between(1, 5)}`, mode: "soft", waitSeconds: random.between(0, 2) } },
    }),
  },
  // A hard key outlives its worker for so long: then its jobs are another's.
  "affinity, hard": {
    share: 5,
    wish: (random) => ({ submit: { affinity: { key: `hard-${random.between(1, 4)}`, mode: "hard", keepSeconds: 6 } } }),
  },
  "named resource, soft": {
    share: 4,
    wish: (random) => ({ submit: { resourceRef: { name: nameOfResource(random), mode: "soft", waitSeconds: 1 } } }),
  },
  // Nobody may hold it for a while: its time is limited.
  "named resource, hard": {
    share: 4,
    wish: (random) => ({ submit: { resourceRef: { name: nameOfResource(random), mode: "hard" }, timeoutSeconds: 6 } }),
  },
  "holder of a named resource": {
    share: 8,
    wish: (random) => ({ submit: {}, holds: nameOfResource(random), evicts: random.chance(0.2) }),
  },
  "resources": {
    share: 8,
    wish: (random) => ({
      submit: {
        resources: random.pick([{ gpu: 0.5 }, { gpu: 1, ram_gb: 4 }, { ram_gb: 1.5 }, { slots: 2 }, {
          gpu: 0.25,
          slots: 2,
        }]),
      },
    }),
  },
  "label expression": {
    share: 8,
    wish: (random) => ({
      submit: {
        where: random.pick<NonNullable<SubmitJob["where"]>>([
          [{ label: "zone", operator: "=", value: "a" }],
          [{ label: "zone", operator: "!=", value: "b" }, { label: "size", operator: "exists" }],
          [{ label: "zone", operator: "in", values: ["a", "c"] }, { label: "size", operator: ">=", value: 3 }],
          [{ label: "zone", operator: "notIn", values: ["b", "c"] }],
          [{ label: "size", operator: "<=", value: 5 }, { label: "cpu", operator: "absent" }],
          [{ label: "release", operator: "semver", value: ">=1.2 <2" }],
          [{ label: "zone", operator: "matches", value: "^[ac]$" }],
        ]),
      },
    }),
  },
  "preference": {
    share: 5,
    wish: (random) => ({
      submit: {
        prefer: [{ label: "zone", operator: "=", value: random.pick(["a", "b"]), weight: random.between(1, 100) }],
      },
    }),
  },
  // It is refused when the app reaches the control plane only after that time.
  "start by": {
    share: 3,
    wish: (random, now) => ({
      submit: { startBy: new Date(now() + random.between(500, 8_000)).toISOString() },
      alone: true,
    }),
  },
  "run at": {
    share: 4,
    wish: (random, now) => ({ submit: { runAt: new Date(now() + random.between(200, 5_000)).toISOString() } }),
  },
  "retry policy": {
    share: 8,
    wish: (random) => ({
      submit: {
        retryBackoff: random.pick(["exponential", "linear", "fixed"]),
        retryJitter: random.pick([0, 0.3, 1]),
        retryBaseSeconds: 0.3,
        retryCapSeconds: 2,
      },
    }),
  },
  "final errors": {
    share: 3,
    wish: (random) => ({
      submit: { finalErrors: [random.pick(["campaign_bad.*", finalError]), "other"] },
      failsWith: finalError,
    }),
  },
  "fairness": {
    share: 10,
    wish: (random) => ({
      submit: { fairnessKey: `flow-${random.between(1, 4)}`, fairnessWeight: random.pick([1, 5, 100]) },
    }),
  },
} as const satisfies Record<string, Policy>;

interface Policy {
  readonly share: number;
  readonly wish: (random: Random, now: () => number) => Wish;
}

export type PolicyName = keyof typeof policies;
export const policyNames = Object.keys(policies) as PolicyName[];

/** What a job asks for: one policy, some together, or none. `only` asks for that one and nothing else. */
export function planWish(random: Random, now: () => number, only?: PolicyName): Wish & { names: PolicyName[] } {
  const names = only === undefined ? policyNames.filter((name) => random.chance(policies[name].share / 100)) : [only];
  // A job has one concurrency policy, and wants one worker, for its key or for a resource: the first named stays.
  const kinds = new Set<string>();
  const kept = names.filter((name) => {
    const kind = name.split(",")[0]!.replace("named resource", "affinity");
    // What comes later can only wait for its key, and must not be expired before it may start.
    const isTaken = kinds.has(kind) || name === "run at" && (kinds.has("concurrency") || kinds.has("start by"));
    kinds.add(kind);
    return !isTaken;
  });
  const wishes: Wish[] = kept.map((name) => (policies[name] as Policy).wish(random, now));
  const isAlone = wishes.some(({ alone }) => alone);
  return Object.assign({ names: kept }, ...wishes, {
    submit: Object.assign({}, ...wishes.map(({ submit }) => submit)),
    alone: isAlone,
  });
}

function concurrency(random: Random): Pick<SubmitJob, "concurrencyKey" | "concurrencyLimit"> {
  const limit = random.between(1, 3);
  return { concurrencyKey: `limit-${limit}-of-${random.between(1, 4)}`, concurrencyLimit: limit };
}

function nameOfResource(random: Random): string {
  return `model-${random.between(1, 3)}`;
}
