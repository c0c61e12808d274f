import { isDeepStrictEqual } from "node:util";
import { type Answer, type Call, held, type Job, type Lane, Model, type Overlap, type State } from "./model.ts";

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
  const comparable = calls.length > 1 ? withoutGlances : (answer: Answer) => answer;
  let nearest: string[] | undefined;
  for (const order of permutations([...calls.keys()])) {
    for (const passes of passings(calls.length)) {
      const state = structuredClone(before);
      const answers: Answer[] = [];
      const touched: Touched[] = [];
      for (const index of order) {
        const old = structuredClone(state);
        const { over, atStart, atPush } = passes[index]!;
        // One that comes later in the order may have been waiting with its rows locked: those it would want now.
        const rows = over.map((other) => touched[other] ?? tryOut(calls[other]!, state));
        const overlap = over.length === 0 ? undefined : { ...union(rows), atStart, atPush };
        answers[index] = new Model(state, overlap).call(calls[index]!);
        touched[index] = rowsOf(calls[index]!, old, state);
      }
      const found = differences({ answers: answers.map(comparable), state }, {
        answers: observed.answers.map(comparable),
        state: observed.state,
      });
      if (found.length === 0) {
        return { state: adopt(state, observed.state), passedOver: passes.some(({ over }) => over.length > 0) };
      }
      if (nearest === undefined || found.length < nearest.length) nearest = found;
    }
  }
  throw new NoOrderError(nearest!.join("\n"));
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

function tryOut(call: Call, before: State): Touched {
  const state = structuredClone(before);
  new Model(state).call(call);
  return rowsOf(call, before, state);
}

/** The rows that a call holds until it commits: those it changed, and those it asked about. */
function rowsOf(call: Call, old: State, state: State): Touched {
  const named = new Set<string>();
  if (call.kind === "cancel") { for (const job of call.jobs) named.add(job); }
  if (call.kind === "events") { for (const { job } of call.attempts) named.add(job); }
  const jobs = state.jobs.filter((job, index) => named.has(job.name) || !isDeepStrictEqual(job, old.jobs[index]));
  const before = old.jobs.filter(({ name }) => jobs.some((job) => job.name === name));
  const workers = state.workers.flatMap((worker, index) =>
    isDeepStrictEqual(worker, old.workers[index]) ? [] : [index]
  );
  // Handing a job out leaves its concurrency key alone; letting it in, ending it and cancelling it do not.
  const locksItsLane = ({ name, status }: Job) => {
    const old = before.find((job) => job.name === name)?.status;
    return call.kind === "cancel" || !(held.includes(status) && (old === "queued" || held.includes(old!)));
  };
  const holders = [...jobs, ...before].flatMap(({ worker }) => worker === null ? [] : [worker]);
  return {
    workers: new Set([...workers, ...holders, ...("worker" in call && call.kind !== "events" ? [call.worker] : [])]),
    jobs: new Set(jobs.map(({ name }) => name)),
    lanes: new Set(jobs.filter(locksItsLane).flatMap(({ lane }): Lane[] => lane === null ? [] : [lane])),
    heads: before.filter((job: Job) => job.status === "queued"),
    tick: call.kind === "tick" || state.lastTick !== old.lastTick ? old : null,
  };
}

function union(all: readonly Touched[]): Touched {
  return {
    workers: new Set(all.flatMap(({ workers }) => [...workers])),
    jobs: new Set(all.flatMap(({ jobs }) => [...jobs])),
    lanes: new Set(all.flatMap(({ lanes }) => [...lanes])),
    heads: all.flatMap(({ heads }) => heads),
    tick: all.find(({ tick }) => tick !== null)?.tick ?? null,
  };
}

/** Where what was expected differs from what was observed. */
function differences(expected: Outcome, observed: Outcome): string[] {
  const found: string[] = [];
  const compare = (what: string, model: unknown, real: unknown) => {
    if (!isDeepStrictEqual(model, real)) {
      found.push(`${what}: expected ${JSON.stringify(model)}, got ${JSON.stringify(real)}`);
    }
  };
  for (const [index, answer] of expected.answers.entries()) {
    const real = observed.answers[index]!;
    compare(`answer ${index + 1}`, answer, isBeatInTime(answer, real) ? { ...real, next: answer.next } : real);
  }
  const { jobs, workers, lastTick, wasLate } = observed.state;
  compare("last tick", [expected.state.lastTick, expected.state.wasLate], [lastTick, wasLate]);
  compare("jobs", expected.state.jobs.map(({ name }) => name).sort(), jobs.map(({ name }) => name).sort());
  for (const real of jobs) {
    const model = expected.state.jobs.find(({ name }) => name === real.name);
    if (!model) continue;
    for (const field of Object.keys(real) as (keyof typeof real)[]) {
      if (field === "runAt" && isRetryInTime(model, real)) continue;
      if (field === "startedAt" && real.status !== "running") continue;
      compare(`job ${real.name}, ${field}`, model[field], real[field]);
    }
  }
  for (const [index, real] of workers.entries()) {
    const model = expected.state.workers[index]!;
    for (const field of Object.keys(real) as (keyof typeof real)[]) {
      if (field in model && !(field === "nonce" && model.nonce === null)) {
        compare(`worker ${index}, ${field}`, model[field], real[field]);
      }
    }
  }
  return found;
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

function* permutations(items: readonly number[]): Generator<number[]> {
  if (items.length < 2) yield [...items];
  for (const [index, item] of items.entries()) {
    if (items.length < 2) return;
    for (const rest of permutations(items.toSpliced(index, 1))) yield [item, ...rest];
  }
}

/** Which other calls a call finds open, and whether only at its start, only at its end, or throughout. */
type Passing = { readonly over: readonly number[]; readonly atStart: boolean; readonly atPush: boolean };

const passesNothing: Passing = { over: [], atStart: false, atPush: false };

/** All ways in which calls may have passed over rows of each other; the first was done before the others began. */
function passings(count: number): Passing[][] {
  let all: Passing[][] = [[passesNothing]];
  for (let index = 1; index < count; index++) {
    const others = Array.from({ length: count }, (_, other) => other).filter((other) => other !== index);
    const own = [passesNothing];
    for (let set = 1; set < 2 ** others.length; set++) {
      const over = others.filter((_, bit) => (set >> bit) % 2 === 1);
      own.push({ over, atStart: true, atPush: false });
      own.push({ over, atStart: false, atPush: true });
      own.push({ over, atStart: true, atPush: true });
    }
    all = all.flatMap((earlier) => own.map((passing) => [...earlier, passing]));
  }
  return all;
}
