import fc from "fast-check";
import { type Attempt, type Call, ended, held, type JobSpec, type Kind, type Lane, type State } from "./vocabulary.ts";

/** What somebody sets out to do; it becomes a call of what the workers and apps know when its turn comes. */
export type Intent =
  | { readonly kind: "submit"; readonly items: readonly Item[] }
  | { readonly kind: "cancel"; readonly picks: readonly number[] }
  | { readonly kind: "claim"; readonly worker: number; readonly want: number; readonly lost: boolean }
  | {
    readonly kind: "heartbeat";
    readonly worker: number;
    readonly names: "all" | "none" | "late";
    readonly want: number;
    readonly hears: boolean;
    readonly listening: boolean | null;
    readonly draining: boolean;
    readonly lost: boolean;
  }
  | {
    readonly kind: "complete";
    readonly worker: number;
    readonly how: "succeeded" | "failed" | "failed for good";
    readonly names: "all" | "one" | "late";
    readonly pick: number;
    readonly want: number;
    readonly lost: boolean;
  }
  | { readonly kind: "events"; readonly worker: number; readonly names: "all" | "late"; readonly pick: number }
  | { readonly kind: "hello"; readonly worker: number; readonly restarted: boolean; readonly listening: boolean }
  | { readonly kind: "goodbye" | "drain" | "resume"; readonly worker: number }
  | { readonly kind: "tick" };

type Item = {
  readonly kind: Kind;
  readonly lane: Lane | null;
  readonly key: string | null;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly attemptSeconds: number;
  readonly totalSeconds: number | null;
  readonly delaySeconds: number;
  readonly policy: JobSpec["policy"];
  /** Picks among the jobs that are known, or earlier items. */
  readonly after: readonly number[];
  readonly afterAny: boolean;
};

/** Time passes, or calls are made: the first is held open while the others run as far as they come. */
export type Step = number | readonly Intent[];

const worker = fc.nat({ max: 2 });
const pick = fc.nat({ max: 30 });
const want = fc.constantFrom(1, 2, 0);
const rarely = fc.nat({ max: 7 }).map((n) => n === 7);
const lost = fc.nat({ max: 4 }).map((n) => n === 4);

const plain = {
  kind: fc.constantFrom("any", "any", "gpu"),
  lane: fc.constantFrom(null, null, null, "one", "two"),
  key: fc.constantFrom(null, null, null, null, "a", "b"),
  priority: fc.constantFrom(0, 0, 1),
  maxAttempts: fc.constantFrom(3, 1, 2),
  attemptSeconds: fc.constantFrom(60, 8),
  totalSeconds: fc.constantFrom(null, null, null, 12),
  delaySeconds: fc.constantFrom(0, 0, 0, 0, 3),
};

const item: fc.Arbitrary<Item> = fc.record({
  ...plain,
  policy: fc.constant("wait"),
  after: fc.constant([]),
  afterAny: fc.constant(false),
});

const gatedItem: fc.Arbitrary<Item> = fc.record({
  ...plain,
  lane: fc.constantFrom(null, "one", "two"),
  policy: fc.constantFrom("wait", "wait", "reject", "replace"),
  after: fc.array(pick, { maxLength: 3 }),
  afterAny: fc.boolean(),
});

const submitting = (of: fc.Arbitrary<Item>) => ({
  weight: 6,
  arbitrary: fc.record({ kind: fc.constant("submit"), items: fc.array(of, { minLength: 1, maxLength: 3 }) }),
});

const others = [
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("cancel"), picks: fc.array(pick, { minLength: 1, maxLength: 2 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("claim"), worker, want, lost }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("heartbeat"),
      worker,
      names: fc.constantFrom("all", "all", "none", "late"),
      want,
      hears: fc.boolean(),
      listening: fc.constantFrom(null, null, null, true, false),
      draining: rarely,
      lost,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("complete"),
      worker,
      how: fc.constantFrom("succeeded", "failed", "failed for good"),
      names: fc.constantFrom("all", "all", "one", "late"),
      pick,
      want,
      lost,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("events"),
      worker,
      names: fc.constantFrom("all", "late"),
      pick,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("hello"), worker, restarted: fc.boolean(), listening: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("drain", "resume", "goodbye"), worker }) },
  { weight: 2, arbitrary: fc.constant({ kind: "tick" }) },
];
const intent = fc.oneof(submitting(item), ...others) as fc.Arbitrary<Intent>;
const gatedIntent = fc.oneof(submitting(gatedItem), ...others) as fc.Arbitrary<Intent>;

const pause = { weight: 1, arbitrary: fc.constantFrom(3, 6, 9, 11, 16, 31, 61, 91) };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.array(intent, { minLength: 1, maxLength: 3, size: "max" }) },
  pause,
);
const gatedStep: fc.Arbitrary<Step> = fc.oneof({ weight: 5, arbitrary: fc.tuple(gatedIntent) }, pause);

/** A sequence of steps; its shrunk forms have fewer, plainer and less entangled ones. */
export const anySequence: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 1, maxLength: 14, size: "max" });

/** A sequence of calls one after the other, with jobs that come after others, reject and replace. */
export const gatedSequence: fc.Arbitrary<Step[]> = fc.array(gatedStep, { minLength: 4, maxLength: 30, size: "max" });

/** What workers and apps know from the answers they got: some answers never came. */
export class Clients {
  readonly jobs: string[] = [];
  readonly #running: Map<string, number>[];
  readonly #handed: Attempt[] = [];

  constructor(workers: number) {
    this.#running = Array.from({ length: workers }, () => new Map());
  }

  /** The call that an intent comes to now; `at` numbers the calls of the sequence. */
  callOf(intent: Intent, state: State, at: number): Call {
    switch (intent.kind) {
      case "submit":
        return {
          kind: "submit",
          jobs: intent.items.map((item, index) => this.#specOf(item, index, at)),
        };
      case "cancel": {
        const jobs = new Set(intent.picks.flatMap((pick) => this.#pick(this.jobs, pick)));
        return jobs.size === 0 ? { kind: "tick" } : { kind: "cancel", jobs: [...jobs] };
      }
      case "claim":
        return { kind: "claim", worker: intent.worker, want: intent.want };
      case "heartbeat": {
        const { worker, names, want, hears, listening, draining } = intent;
        const running = names === "none" ? [] : this.#attempts(worker, names, 0, state);
        const nonce = hears ? state.workers[worker]!.nonce : null;
        return { kind: "heartbeat", worker, running, want, nonce, listening, draining };
      }
      case "complete": {
        const { worker, how, names, pick, want } = intent;
        const results = this.#attempts(worker, names, pick, state).map((attempt) => ({
          ...attempt,
          status: how === "succeeded" ? "succeeded" as const : "failed" as const,
          retryable: how !== "failed for good",
        }));
        return { kind: "complete", worker, results, want };
      }
      case "events":
        return {
          kind: "events",
          worker: intent.worker,
          attempts: this.#attempts(intent.worker, intent.names, intent.pick, state),
        };
      case "hello": {
        if (intent.restarted) this.#running[intent.worker]!.clear();
        const running = this.#attempts(intent.worker, "all", 0, state);
        return { kind: "hello", worker: intent.worker, running, listening: intent.listening };
      }
      default:
        return intent;
    }
  }

  #specOf(item: Item, index: number, at: number): JobSpec {
    const { key, after, ...rest } = item;
    // Some of the jobs of the same submission, some of those before.
    const named = after.flatMap((pick): (string | number)[] =>
      index > 0 && pick % 2 === 0 ? [pick % index] : this.#pick(this.jobs, pick)
    );
    const isLater = item.delaySeconds > 0 || named.length > 0;
    const policy = item.lane === null || isLater ? "wait" : item.policy;
    return {
      ...rest,
      policy,
      after: [...new Set(named)],
      name: `j${at}.${index}`,
      position: at * 10 + index,
      idempotencyKey: key,
    };
  }

  /** Takes note of an answer, unless it was lost. */
  hear(intent: Intent, call: Call, answer: Readonly<Record<string, unknown>>): void {
    if ("refused" in answer) return;
    if (call.kind === "submit") {
      this.jobs.push(...call.jobs.map(({ name }) => name).filter((name) => isCreated(answer, name)));
    }
    const jobs = (answer.jobs ?? []) as Attempt[];
    if (!("worker" in call) || !("worker" in intent)) return;
    if (call.kind === "claim" || call.kind === "heartbeat" || call.kind === "complete" || call.kind === "hello") {
      this.#handed.push(...jobs);
      if ("lost" in intent && intent.lost) return;
      const running = this.#running[call.worker]!;
      if (call.kind === "complete") { for (const { job } of call.results) running.delete(job); }
      for (const { job } of (answer.stop ?? []) as Attempt[]) running.delete(job);
      for (const { job, attempt } of jobs) running.set(job, attempt);
    }
    if (call.kind === "goodbye") this.#running[call.worker]!.clear();
  }

  /** What the worker believes to run; one of it; or, best of all, an attempt whose job somebody else has by now. */
  #attempts(worker: number, names: "all" | "one" | "late", pick: number, state: State): Attempt[] {
    const running = [...this.#running[worker]!].map(([job, attempt]) => ({ job, attempt }));
    if (names === "all") return running;
    if (names === "one") return this.#pick(running, pick);
    const replaced = this.#handed.filter(({ job: name, attempt }) => {
      const job = state.jobs.find((job) => job.name === name)!;
      return ended.includes(job.status) || (held.includes(job.status) && job.attempts > attempt);
    });
    return this.#pick(replaced.length > 0 ? replaced : this.#handed, pick);
  }

  #pick<T>(items: readonly T[], pick: number): T[] {
    return items.length === 0 ? [] : [items[pick % items.length]!];
  }
}

/** A sequence in a few lines, for the report of a failure. */
export function describe(steps: readonly Step[]): string {
  return steps.map((step, index) =>
    `  ${index + 1}. ${typeof step === "number" ? `${step} s pass` : step.map(describeIntent).join("  |  ")}`
  ).join("\n");
}

function describeIntent({ kind, ...details }: Intent): string {
  return `${kind} ${JSON.stringify(details).replaceAll('"', "")}`;
}

function isCreated(answer: Readonly<Record<string, unknown>>, name: string): boolean {
  return (answer.jobs as { name: string; created: boolean }[]).some((job) => job.created && job.name === name);
}
