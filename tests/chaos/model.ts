import assert from "node:assert/strict";
import fc from "fast-check";
import { type Attempt, failed, succeeded, type TestTenant, type TestWorker } from "../support/actors.ts";
import { type Answer, type Args, service, type TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

export type Real = { db: TestDatabase; tenant: TestTenant; workers: TestWorker[] };

/** What somebody who only saw the answers knows. */
export type Model = {
  readonly jobs: string[];
  readonly byKey: Map<string, string>;
  /** Jobs whose end was told, with all that may never change about it. */
  readonly ended: Map<string, string>;
  /** Newest attempt of each job that was handed over. */
  readonly attempts: Map<string, number>;
  /** What each worker believes it runs: answers that got lost are missing. */
  readonly running: Map<string, number>[];
  /** Attempts that a worker once ran, for reports that come too late. */
  readonly stale: Attempt[];
};

type Row = {
  id: string;
  status: string;
  worker_id: string | null;
  attempts: number;
  result: unknown;
  error: unknown;
  finished_at: Date | null;
};

const terminal = ["succeeded", "failed", "cancelled"];
const held = ["assigned", "running"];
/** No calls go from one state to another but these, whatever the path between them. */
const impossible: Readonly<Record<string, readonly string[]>> = {
  queued: ["blocked"],
  blocked: ["scheduled"],
  running: ["assigned"],
};

export function emptyModel(workers: number): Model {
  return {
    jobs: [],
    byKey: new Map(),
    ended: new Map(),
    attempts: new Map(),
    running: Array.from({ length: workers }, () => new Map()),
    stale: [],
  };
}

/** A command that checks, after itself, all that must hold whatever it was. */
abstract class Command implements fc.AsyncCommand<Model, Real> {
  protected abstract act(model: Model, real: Real, before: Map<string, Row>): Promise<void>;
  abstract toString(): string;

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    const before = await rowsOf(real);
    await this.act(model, real, before);
    const after = await rowsOf(real);
    assert.deepEqual([...after.keys()].sort(), [...model.jobs].sort(), "I1: the jobs are those handed in");
    for (const row of after.values()) {
      const old = before.get(row.id);
      if (old) this.#checkStep(old, row);
      const told = model.ended.get(row.id);
      if (told !== undefined) assert.equal(endOf(row), told, "I2: an end that was told stands");
      else if (terminal.includes(row.status)) model.ended.set(row.id, endOf(row));
    }
    assert.deepEqual(await violations(real.db.sql), []);
  }

  #checkStep(old: Row, row: Row): void {
    const step = `job ${row.id} went from ${old.status} to ${row.status}`;
    if (terminal.includes(old.status)) assert.equal(endOf(row), endOf(old), `I2: ${step}`);
    assert.ok(row.attempts >= old.attempts, `I2: ${step}, and its attempts from ${old.attempts} to ${row.attempts}`);
    if (row.attempts === old.attempts) {
      assert.ok(!impossible[old.status]?.includes(row.status), step);
      // Within an attempt a job has one worker at most.
      if (held.includes(old.status) && held.includes(row.status)) assert.equal(row.worker_id, old.worker_id, step);
      if (["scheduled", "blocked", "queued"].includes(old.status)) {
        assert.ok(!held.includes(row.status), `${step} without a new attempt`);
      }
    }
  }
}

class Submit extends Command {
  constructor(readonly items: readonly { key: string | null; lane: string | null; maxAttempts: number }[]) {
    super();
  }

  protected async act(model: Model, { db, tenant }: Real): Promise<void> {
    const jobs = this.items.map(({ key, lane, maxAttempts }) => ({
      type: "test",
      max_attempts: maxAttempts,
      attempt_timeout_seconds: 20,
      ...(key === null ? {} : { idempotency_key: key }),
      ...(lane === null ? {} : { concurrency_key: lane, concurrency_limit: lane === "one" ? 1 : 2 }),
    }));
    const answer = await db.call(service, "submit_jobs", { caller: tenant.caller, jobs });
    for (const [index, { job, created }] of answer.jobs.entries()) {
      const key = this.items[index]!.key;
      const known = key === null ? undefined : model.byKey.get(key);
      assert.equal(
        created,
        known === undefined,
        "I3: a job is created for each new key, and for each item without one",
      );
      if (known !== undefined) assert.equal(job.id, known, "I3: a known key answers its job");
      if (created) model.jobs.push(job.id);
      if (key !== null) model.byKey.set(key, job.id);
    }
  }

  toString(): string {
    return `submit(${JSON.stringify(this.items)})`;
  }
}

/** A call of one of the workers, whose answer may get lost on the way. */
abstract class WorkerCommand extends Command {
  constructor(readonly index: number, readonly isLost: boolean) {
    super();
  }

  protected take(model: Model, real: Real, jobs: Answer[], before: Map<string, Row>): void {
    for (const { job_id, attempt } of jobs) {
      const old = before.get(job_id);
      assert.ok(old && !terminal.includes(old.status), "I2: what has ended is handed to nobody");
      assert.ok(attempt >= (model.attempts.get(job_id) ?? 0), "an attempt handed over is never older than one before");
      model.attempts.set(job_id, attempt);
      if (!this.isLost) model.running[this.index]!.set(job_id, attempt);
      model.stale.push({ job_id, attempt });
    }
    assert.ok(
      jobs.length <= (this.index === 0 ? 2 : 1),
      `I5: worker ${real.workers[this.index]!.id} got more than its slots`,
    );
  }

  protected believed(model: Model): Attempt[] {
    return [...model.running[this.index]!].map(([job_id, attempt]) => ({ job_id, attempt }));
  }

  protected drop(model: Model, attempts: Attempt[]): void {
    for (const { job_id } of attempts) model.running[this.index]!.delete(job_id);
  }
}

class Claim extends WorkerCommand {
  protected async act(model: Model, real: Real, before: Map<string, Row>): Promise<void> {
    this.take(model, real, await real.workers[this.index]!.claim(2), before);
  }

  toString(): string {
    return `claim(${this.index}${this.isLost ? ", answer lost" : ""})`;
  }
}

class Beat extends WorkerCommand {
  protected async act(model: Model, real: Real, before: Map<string, Row>): Promise<void> {
    const worker = real.workers[this.index]!;
    const answer = await worker.heartbeat({ running: this.believed(model), want: 2 });
    const late = (attempt: Attempt) => !isCurrent(before.get(attempt.job_id), attempt, worker.id);
    const ran = this.believed(model).filter(late);
    if (!answer.resync && answer.next_seconds > 0) {
      for (const attempt of ran) {
        assert.ok(answer.stop.some((stop: Attempt) => stop.job_id === attempt.job_id), "a fenced attempt is stopped");
      }
      this.drop(model, answer.stop);
    }
    this.take(model, real, answer.jobs, before);
  }

  toString(): string {
    return `heartbeat(${this.index}${this.isLost ? ", answer lost" : ""})`;
  }
}

class Complete extends WorkerCommand {
  constructor(index: number, isLost: boolean, readonly how: "succeeded" | "failed" | "failed for good") {
    super(index, isLost);
  }

  protected async act(model: Model, real: Real, before: Map<string, Row>): Promise<void> {
    const worker = real.workers[this.index]!;
    const attempts = this.believed(model);
    const answer = await worker.complete(attempts.map((attempt) => this.report(attempt)), 2);
    for (const [n, { outcome }] of answer.outcomes.entries()) {
      const attempt = attempts[n]!;
      const row = (await rowsOf(real)).get(attempt.job_id)!;
      if (!isCurrent(before.get(attempt.job_id), attempt, worker.id)) {
        assert.notEqual(outcome, "retrying");
        continue;
      }
      assert.notEqual(outcome, "stale", "a current attempt counts");
      assert.equal(outcome === "accepted", terminal.includes(row.status));
      if (this.how === "succeeded") assert.deepEqual([row.status, row.result], ["succeeded", attempt.attempt]);
    }
    // A worker whose answer got lost says it all again next time.
    if (!this.isLost) this.drop(model, attempts);
    this.take(model, real, answer.jobs, before);
  }

  private report(attempt: Attempt): Args {
    if (this.how === "succeeded") return succeeded(attempt, attempt.attempt);
    return failed(attempt, { retryable: this.how === "failed" });
  }

  toString(): string {
    return `complete(${this.index}, ${this.how}${this.isLost ? ", answer lost" : ""})`;
  }
}

/** Reports an attempt of long ago, by a worker that may never have run it. */
class CompleteLate extends WorkerCommand {
  constructor(index: number, readonly which: number) {
    super(index, false);
  }

  protected async act(model: Model, real: Real, before: Map<string, Row>): Promise<void> {
    const { workers } = real;
    // Best of all an attempt whose job runs again, reported by the worker that runs it now.
    const isReplaced = ({ job_id, attempt }: Attempt) => {
      const row = before.get(job_id);
      return row !== undefined && held.includes(row.status) && row.attempts > attempt;
    };
    const replaced = model.stale.filter(isReplaced);
    const candidates = replaced.length > 0 ? replaced : model.stale;
    if (candidates.length === 0) return;
    const attempt = candidates[this.which % candidates.length]!;
    const holder = workers.find(({ id }) => id === before.get(attempt.job_id)?.worker_id);
    const worker = holder ?? workers[this.index]!;
    if (isCurrent(before.get(attempt.job_id), attempt, worker.id)) return;
    const { outcomes, jobs } = await worker.complete([succeeded(attempt, "late")]);
    assert.ok(["stale", "accepted"].includes(outcomes[0].outcome));
    // The answer may start what was pushed to the worker, as any answer may; the report itself changes nothing.
    const started = jobs.some((job: Attempt) => job.job_id === attempt.job_id) ? { status: "running" } : {};
    const old = before.get(attempt.job_id);
    assert.deepEqual((await rowsOf(real)).get(attempt.job_id), { ...old, ...started }, "I2: it changes nothing");
    const handedTo = workers.indexOf(worker);
    for (const { job_id, attempt } of jobs) {
      model.attempts.set(job_id, attempt);
      model.running[handedTo]!.set(job_id, attempt);
      model.stale.push({ job_id, attempt });
    }
    if (outcomes[0].outcome === "accepted") {
      const row = before.get(attempt.job_id)!;
      assert.deepEqual([row.status, row.attempts, row.worker_id], ["succeeded", attempt.attempt, worker.id]);
    }
  }

  toString(): string {
    return `completeLate(${this.index}, ${this.which})`;
  }
}

/** The worker process starts anew: with what it ran, or without. */
class Hello extends WorkerCommand {
  constructor(index: number, readonly isRestart: boolean) {
    super(index, false);
  }

  protected async act(model: Model, real: Real, before: Map<string, Row>): Promise<void> {
    if (this.isRestart) model.running[this.index]!.clear();
    const worker = real.workers[this.index]!;
    const listening = this.index === 0;
    const answer = await worker.hello({ listening }, this.believed(model));
    this.drop(model, answer.stop);
    this.take(model, real, answer.jobs, before);
    const beat = await worker.heartbeat({ running: this.believed(model), listening, wake_nonce: answer.wake_nonce });
    this.drop(model, beat.stop);
    this.take(model, real, beat.jobs, before);
  }

  toString(): string {
    return `hello(${this.index}${this.isRestart ? ", restarted" : ""})`;
  }
}

class Goodbye extends WorkerCommand {
  protected async act(model: Model, { db, workers }: Real, before: Map<string, Row>): Promise<void> {
    const worker = workers[this.index]!;
    const holds = [...before.values()].filter((row) => held.includes(row.status) && row.worker_id === worker.id);
    assert.deepEqual(await db.call(worker.actor, "goodbye"), { released: holds.length });
    model.running[this.index]!.clear();
  }

  toString(): string {
    return `goodbye(${this.index})`;
  }
}

class Cancel extends Command {
  constructor(readonly which: number) {
    super();
  }

  protected async act(model: Model, { db, tenant }: Real, before: Map<string, Row>): Promise<void> {
    const id = model.jobs[this.which % Math.max(model.jobs.length, 1)];
    if (id === undefined) return;
    const { jobs } = await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [id] });
    const old = before.get(id)!.status;
    assert.equal(jobs[0].status, terminal.includes(old) ? old : "cancelled");
  }

  toString(): string {
    return `cancel(${this.which})`;
  }
}

class Pass extends Command {
  constructor(readonly seconds: number) {
    super();
  }

  protected async act(_: Model, { db }: Real): Promise<void> {
    await db.advance(this.seconds);
    assert.equal((await db.call(service, "tick")).ran, true);
  }

  toString(): string {
    return `pass(${this.seconds} s)`;
  }
}

const index = fc.integer({ min: 0, max: 1 });
const isLost = fc.boolean();
const number = fc.nat({ max: 99 });
const item = fc.record({
  key: fc.option(fc.constantFrom("a", "b", "c", "d")),
  lane: fc.option(fc.constantFrom("one", "two")),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
});

export const anyCommand: readonly fc.Arbitrary<fc.AsyncCommand<Model, Real>>[] = [
  fc.array(item, { minLength: 1, maxLength: 4 }).map((items) => new Submit(items)),
  fc.tuple(index, isLost).map(([index, lost]) => new Claim(index, lost)),
  fc.tuple(index, isLost).map(([index, lost]) => new Beat(index, lost)),
  fc.tuple(index, isLost, fc.constantFrom("succeeded" as const, "failed" as const, "failed for good" as const))
    .map(([index, lost, how]) => new Complete(index, lost, how)),
  fc.tuple(index, number).map(([index, which]) => new CompleteLate(index, which)),
  fc.tuple(index, fc.boolean()).map(([index, restart]) => new Hello(index, restart)),
  index.map((index) => new Goodbye(index, false)),
  number.map((which) => new Cancel(which)),
  fc.constantFrom(1, 3, 6, 11, 16, 30).map((seconds) => new Pass(seconds)),
];

async function rowsOf({ db, tenant }: Real): Promise<Map<string, Row>> {
  const rows = await db.sql<Row[]>`
    select id, status, worker_id, attempts, result, error, finished_at from muster.jobs where tenant_id = ${tenant.id}`;
  return new Map(rows.map((row) => [row.id, row]));
}

function endOf({ status, attempts, result, error, finished_at }: Row): string {
  return JSON.stringify({ status, attempts, result, error, finished_at });
}

function isCurrent(row: Row | undefined, { attempt }: Attempt, workerId: string): boolean {
  return row !== undefined && held.includes(row.status) && row.attempts === attempt && row.worker_id === workerId;
}
