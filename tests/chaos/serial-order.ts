import { isDeepStrictEqual } from "node:util";
import { Model } from "./model.ts";
import {
  type Answer,
  type Call,
  held,
  type Job,
  type Lane,
  type Overlap,
  type Ranks,
  type State,
  type Worker,
} from "./vocabulary.ts";

export type Outcome = { readonly answers: readonly Answer[]; readonly state: State };

/** What no order of the calls explains. */
export class NoOrderError extends Error {}

/** The model's state after the calls, and whether one of them passed over rows that another had locked. */
export type Explanation = { readonly state: State; readonly passedOver: boolean };

/**
 * Finds an order of the calls, made one after the other on the model, that gives the answers and the state that were
 * observed. A call that ran while another was open may also have passed over the rows which that one had locked, where
 * the function says that it does (a push, a claim, the tick): never more than that.
 */
export function explain(before: State, calls: readonly Call[], observed: Outcome): Explanation {
  const ranks: Ranks = new Map(observed.state.jobs.map(({ name, rank }) => [name, rank]));
  const found = search({ calls, observed, ranks, state: before, order: [], touched: [], passedOver: false });
  if (found) return { ...found, state: adopt(found.state, observed.state) };
  // Nothing explains it: what is nearest among the plain orders is most worth a look.
  const unexplained = permutations([...calls.keys()]).map((order) => {
    const state = structuredClone(before);
    const answers: Answer[] = [];
    for (const index of order) answers[index] = new Model(state, ranks).call(calls[index]!);
    return [...answersThatDiffer(answers, observed.answers), ...statesThatDiffer(state, observed.state)];
  });
  throw new NoOrderError(unexplained.reduce((a, b) => b.length < a.length ? b : a).join("\n"));
}

type Search = {
  readonly calls: readonly Call[];
  readonly observed: Outcome;
  readonly ranks: Ranks;
  readonly state: State;
  /** The calls made so far, by their numbers, and what each has locked. */
  readonly order: readonly number[];
  readonly touched: readonly (Touched | undefined)[];
  readonly passedOver: boolean;
};

function search(soFar: Search): Explanation | null {
  const { calls, observed, ranks, state: before, order, touched } = soFar;
  if (order.length === calls.length) {
    const { state, passedOver } = soFar;
    return statesThatDiffer(state, observed.state).length === 0 ? { state, passedOver } : null;
  }
  const comparable = calls.length > 1 ? withoutGlances : (answer: Answer) => answer;
  for (const [index, call] of calls.entries()) {
    if (order.includes(index)) continue;
    for (const { over, atStart, atPush } of passings(index, calls.length)) {
      const state = structuredClone(before);
      // One that comes later in the order may have been waiting with its rows locked: those it would want now.
      const rows = over.map((other) => touched[other] ?? tryOut(calls[other]!, before, ranks));
      const overlap = over.length === 0 ? undefined : { ...union(rows), atStart, atPush };
      const answer = new Model(state, ranks, overlap).call(call);
      if (answersThatDiffer([comparable(answer)], [comparable(observed.answers[index]!)]).length > 0) continue;
      const found = search({
        ...soFar,
        state,
        order: [...order, index],
        touched: Object.assign([...touched], { [index]: rowsOf(call, before, state) }),
        passedOver: soFar.passedOver || over.length > 0,
      });
      if (found) return found;
    }
  }
  return null;
}

type Touched = Omit<Overlap, "atPush" | "atStart">;

/**
 * An answer without what is only looked at, in rows that the call leaves to others: the status of a job that was known
 * before, and why an attempt is over. Another call may change that between the look and the commit.
 */
function withoutGlances(answer: Answer): Answer {
  const items = (name: string, change: (item: Record<string, unknown>) => Record<string, unknown>) =>
    Array.isArray(answer[name]) ? { [name]: answer[name].map(change) } : {};
  return {
    ...answer,
    ...items("jobs", ({ status, ...job }) => job.created === false ? job : { ...job, status }),
    ...items("stop", ({ reason: _, ...attempt }) => attempt),
  };
}

function tryOut(call: Call, before: State, ranks: Ranks): Touched {
  const state = structuredClone(before);
  new Model(state, ranks).call(call);
  return rowsOf(call, before, state);
}

/** The rows that a call holds until it commits: those it changed, and those it asked about. */
function rowsOf(call: Call, old: State, state: State): Touched {
  const named = new Set<string>();
  if (call.kind === "cancel") { for (const job of call.jobs) named.add(job); }
  if (call.kind === "events") { for (const { job } of call.attempts) named.add(job); }
  // Late results are rows of their own, and so are heartbeats.
  const row = ({ late: _, ...job }: Job) => job;
  const jobs = state.jobs.filter((job, index) => {
    const known = old.jobs[index];
    return named.has(job.name) || known === undefined || !isDeepStrictEqual(row(job), row(known));
  });
  const before = old.jobs.filter(({ name }) => jobs.some((job) => job.name === name));
  // Handing a job out leaves its concurrency key alone; letting it in, ending it and cancelling it do not.
  const locksItsLane = ({ name, status }: Job) => {
    const old = before.find((job) => job.name === name)?.status;
    return call.kind === "cancel" || !(held.includes(status) && (old === "queued" || held.includes(old!)));
  };
  const device = ({ leaseUntil: _, nonce: __, wakeSent: ___, wakeHeard: ____, ...worker }: Worker) => worker;
  const workers = state.workers.flatMap((worker, index) =>
    isDeepStrictEqual(device(worker), device(old.workers[index]!)) ? [] : [index]
  );
  const leases = state.workers.flatMap(({ leaseUntil, nonce, wakeSent, wakeHeard }, index) => {
    const known = old.workers[index]!;
    const isSame = leaseUntil === known.leaseUntil && nonce === known.nonce && wakeSent === known.wakeSent &&
      wakeHeard === known.wakeHeard;
    const beats = (call.kind === "heartbeat" || call.kind === "hello") && call.worker === index;
    return isSame && !beats ? [] : [index];
  });
  const holders = [...jobs, ...before].flatMap(({ worker }) => worker === null ? [] : [worker]);
  const callers = "worker" in call ? [call.worker] : [];
  return {
    // Events are stored under the locks of their jobs alone.
    workers: new Set(call.kind === "events" ? [] : [...workers, ...holders, ...callers]),
    leases: new Set(leases),
    jobs: new Set(jobs.map(({ name }) => name)),
    lanes: new Set(jobs.filter(locksItsLane).flatMap(({ lane }): Lane[] => lane === null ? [] : [lane])),
    heads: before.filter((job: Job) => job.status === "queued"),
    tick: call.kind === "tick" || state.lastTick !== old.lastTick ? old : null,
  };
}

function union(all: readonly Touched[]): Touched {
  return {
    workers: new Set(all.flatMap(({ workers }) => [...workers])),
    leases: new Set(all.flatMap(({ leases }) => [...leases])),
    jobs: new Set(all.flatMap(({ jobs }) => [...jobs])),
    lanes: new Set(all.flatMap(({ lanes }) => [...lanes])),
    heads: all.flatMap(({ heads }) => heads),
    tick: all.find(({ tick }) => tick !== null)?.tick ?? null,
  };
}

function differs(what: string, model: unknown, real: unknown): string[] {
  return isDeepStrictEqual(model, real)
    ? []
    : [`${what}: expected ${JSON.stringify(model)}, got ${JSON.stringify(real)}`];
}

function answersThatDiffer(model: readonly Answer[], real: readonly Answer[]): string[] {
  return model.flatMap((answer, index) => {
    const { next } = answer;
    const observed = real[index]!;
    return differs(`answer ${index + 1}`, answer, isBeatInTime(answer, observed) ? { ...observed, next } : observed);
  });
}

function statesThatDiffer(model: State, real: State): string[] {
  return [
    ...differs("last tick", [model.lastTick, model.wasLate], [real.lastTick, real.wasLate]),
    ...differs("jobs", model.jobs.map(({ name }) => name).sort(), real.jobs.map(({ name }) => name).sort()),
    ...real.jobs.flatMap((job) => {
      const expected = model.jobs.find(({ name }) => name === job.name);
      return expected === undefined ? [] : Object.keys(job).flatMap((key) => {
        const field = key as keyof Job;
        if (field === "runAt" && isRetryInTime(expected, job)) return [];
        // Given to the model; the lane that a job has come to is its own to say, while the job is queued.
        if (field === "rank" || (field === "raisedTo" && job.status !== "queued")) return [];
        if (field === "startedAt" && job.status !== "running") return [];
        return differs(`job ${job.name}, ${field}`, expected[field], job[field]);
      });
    }),
    ...real.workers.flatMap((worker, index) => {
      const expected = model.workers[index]!;
      return Object.keys(worker).flatMap((key) => {
        const field = key as keyof Worker;
        if (!(field in expected) || (field === "nonce" && expected.nonce === null)) return [];
        return differs(`worker ${index}, ${field}`, expected[field], worker[field]);
      });
    }),
  ];
}

function isRetryInTime({ retryBetween }: Job, { runAt }: Job): boolean {
  return retryBetween !== null && retryBetween[0] <= runAt && runAt <= retryBetween[1];
}

/** Beats are spread: a worker may be told to come up to a fifth sooner. */
function isBeatInTime({ next: longest }: Answer, { next }: Answer): boolean {
  return typeof longest === "number" && typeof next === "number" && 0.8 * longest <= next && next <= longest;
}

/** Takes over what only the database can know: nonces, and where between its bounds a retry's random wait ends. */
function adopt(state: State, real: State): State {
  for (const job of state.jobs) {
    if (job.retryBetween !== null) job.runAt = real.jobs.find(({ name }) => name === job.name)!.runAt;
    job.retryBetween = null;
  }
  for (const [index, worker] of state.workers.entries()) worker.nonce = real.workers[index]!.nonce;
  return state;
}

function permutations(items: readonly number[]): number[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
}

/**
 * Which other calls a call finds open, and when it still does: as it starts, as it pushes jobs in the end, or only when
 * it looks whether the tick is late.
 */
type Passing = { readonly over: readonly number[]; readonly atStart: boolean; readonly atPush: boolean };

/** All ways in which a call may have passed over rows of the others; the first was done before the others began. */
function passings(index: number, count: number): Passing[] {
  const all: Passing[] = [{ over: [], atStart: false, atPush: false }];
  if (index === 0) return all;
  const others = Array.from({ length: count }, (_, other) => other).filter((other) => other !== index);
  for (let set = 1; set < 2 ** others.length; set++) {
    const over = others.filter((_, bit) => (set >> bit) % 2 === 1);
    for (const atStart of [false, true]) for (const atPush of [false, true]) all.push({ over, atStart, atPush });
  }
  return all;
}
