import {
  type Assignment,
  type Attempt,
  createTenant,
  createWorker,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import type { Connections } from "../support/connections.ts";
import { type Actor, type Answer, type Args, service, type TestDatabase } from "../support/database.ts";
import type { Random } from "../support/random.ts";

/** The limit of each concurrency key, never changed, so that it can be checked at any moment. */
const keyLimits = { one: 1, two: 2, three: 3 } as const;
const capabilities = ["a", "b", "c"];
const labelNames = ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"];

/** Rates that let all through in the end, while most submissions meet a bucket that is empty. */
const rateLimits = [{ key: "r1", limit: 3, per_seconds: 1, burst: 4 }, {
  key: "r2",
  limit: 2,
  per_seconds: 1,
  burst: 2,
  units: 2,
}];

/** What a call may be refused with, by what was tried. */
const refusals: Readonly<Record<string, readonly string[]>> = {
  hello: ["MU007", "MU014"],
  heartbeat: ["MU014"],
  claim_jobs: ["MU014"],
  complete_jobs: ["MU014"],
  report_events: ["MU014"],
  goodbye: ["MU014"],
  retry_job: ["MU008"],
  // The key has no room, or the batch takes no more jobs.
  submit_jobs: ["MU030", "MU008"],
  close_batch: ["MU008"],
};

const weights = {
  submit: 22,
  claim: 10,
  complete: 26,
  heartbeat: 14,
  report: 5,
  cancel: 6,
  close: 2,
  retry: 3,
  restart: 4,
  goodbye: 3,
  drain: 2,
  resume: 4,
  tick: 6,
  advance: 3,
  revoke: 0.4,
};

type Machine = { worker: TestWorker; running: Map<string, number> };

/** Apps and workers that do anything at any time, over as many connections as they are given. */
export class Turmoil {
  readonly submitted = new Set<string>();
  readonly jobOfKey = new Map<string, Set<string>>();
  /** What was answered as accepted, by job. */
  readonly accepted = new Map<string, { attempt: number; status: string }>();
  readonly failures: string[] = [];
  readonly #db: TestDatabase;
  readonly #connections: Connections;
  readonly #random: Random;
  readonly #machines: Machine[] = [];
  /** Open ones. */
  readonly #batches: string[] = [];
  #tenant!: TestTenant;

  constructor(db: TestDatabase, connections: Connections, random: Random) {
    this.#db = db;
    this.#connections = connections;
    this.#random = random;
  }

  async run(callers: number, operations: number): Promise<void> {
    this.#tenant = await createTenant(this.#db);
    for (let i = 0; i < 5; i++) await this.#addMachine();
    let left = operations;
    await Promise.all(Array.from({ length: callers }, async () => {
      while (left-- > 0 && this.failures.length < 5) await this.#act(this.#random.weighted(weights));
    }));
  }

  /** Lets a worker that can do everything finish what is left; answers the jobs that would not end. */
  async settle(): Promise<string[]> {
    for (const { worker } of this.#machines) await this.#call(worker.actor, "goodbye");
    for (const job_id of this.#batches) {
      await this.#call(service, "close_batch", { caller: this.#tenant.caller, job_id });
    }
    const worker = await createWorker(this.#db, this.#tenant, {
      capabilities,
      labels: Object.fromEntries(labelNames.map((name) => [name, "1"])),
      slots: 256,
    });
    // A key of limit one lets one job end a round, so what counts is that each few rounds end some.
    let left: string[] = [];
    for (let idleRounds = 0; idleRounds < 20; idleRounds++) {
      await this.#db.advance(9);
      await this.#db.call(service, "tick");
      const { jobs } = await worker.heartbeat({ want: 256 });
      if (jobs.length > 0) await worker.complete(jobs.map((job: Assignment) => this.#report(job, "succeeded")));
      const rows = await this.#db.sql`
        select id, status, run_at from muster.jobs where status not in ('succeeded', 'failed', 'cancelled')`;
      if (rows.length === 0) return [];
      if (left.length === 0 || rows.length < left.length) idleRounds = 0;
      left = rows.map((row) => JSON.stringify(row));
    }
    return left;
  }

  async #act(what: keyof typeof weights): Promise<void> {
    const machine = this.#random.pick(this.#machines);
    const { worker, running } = machine;
    const operator = { caller: { kind: "service", tenant_id: this.#tenant.id }, worker_id: worker.id };
    switch (what) {
      case "submit":
        return await this.#submit();
      case "claim":
        return this.#take(machine, await this.#call(worker.actor, "claim_jobs", { want: this.#random.between(1, 3) }));
      case "complete":
        return await this.#complete(machine);
      case "heartbeat":
        return await this.#heartbeat(machine);
      case "report":
        await this.#call(worker.actor, "report_events", { events: this.#events(machine) });
        return;
      case "cancel": {
        const job_ids = this.#jobs(this.#random.between(1, 5));
        if (job_ids.length > 0) await this.#call(service, "cancel_jobs", { caller: this.#tenant.caller, job_ids });
        return;
      }
      case "close": {
        const job_id = this.#batches.pop();
        if (job_id === undefined) return;
        await this.#call(service, "close_batch", { caller: this.#tenant.caller, job_id });
        return;
      }
      case "retry": {
        const [job_id] = this.#jobs(1);
        if (job_id === undefined) return;
        const job = await this.#call(service, "retry_job", { caller: this.#tenant.caller, job_id });
        if (job) this.submitted.add(job.id);
        return;
      }
      case "restart":
        running.clear();
        return await this.#hello(machine);
      case "goodbye":
        running.clear();
        await this.#call(worker.actor, "goodbye");
        return await this.#hello(machine);
      case "drain":
        await this.#call(service, "drain_worker", operator);
        return;
      case "resume":
        await this.#call(service, "resume_worker", operator);
        return;
      case "tick":
        await this.#call(service, "tick");
        return;
      case "advance":
        return await this.#db.advance(this.#random.between(1, 6));
      case "revoke":
        await this.#call(service, "revoke_worker", operator);
        this.#machines.splice(this.#machines.indexOf(machine), 1);
        return await this.#addMachine();
    }
  }

  async #submit(): Promise<void> {
    const random = this.#random;
    const batch = random.chance(0.15) ? { open: random.chance(0.5) } : undefined;
    const jobs = Array.from({ length: random.between(batch ? 0 : 1, 6) }, (_, index) => {
      const key = random.chance(0.4) ? random.pick(Object.keys(keyLimits) as (keyof typeof keyLimits)[]) : undefined;
      const gates = this.#gates(index, key !== undefined, batch !== undefined);
      return {
        type: "test",
        requires: random.some(capabilities, 0.3),
        labels: random.chance(0.1) ? { [random.pick(labelNames)]: "1" } : {},
        priority: random.between(-1, 1),
        max_attempts: random.between(1, 4),
        attempt_timeout_seconds: random.between(2, 60),
        notify: random.chance(0.1),
        ...(key === undefined ? {} : { concurrency_key: key, concurrency_limit: keyLimits[key] }),
        ...gates,
        ...(random.chance(0.3) ? { idempotency_key: `i${random.between(1, 40)}` } : {}),
        ...(random.chance(0.1) ? { timeout_seconds: random.between(5, 60) } : {}),
        ...(random.chance(0.1) && !gates.concurrency_policy ? { run_at: "2026-01-01T00:00:30Z" } : {}),
      };
    });
    const answer = await this.#call(service, "submit_jobs", {
      caller: this.#tenant.caller,
      jobs,
      ...(batch === undefined ? {} : { batch }),
    });
    if (answer?.batch) {
      this.submitted.add(answer.batch.id);
      if (batch?.open) this.#batches.push(answer.batch.id);
    }
    for (const [index, { job }] of (answer?.jobs ?? []).entries()) {
      this.submitted.add(job.id);
      const key = jobs[index]!.idempotency_key;
      if (key !== undefined) this.jobOfKey.set(key, (this.jobOfKey.get(key) ?? new Set()).add(job.id));
    }
  }

  /** What holds a job back, for some: others, a rate, or its key, in ways of its own. */
  #gates(index: number, hasKey: boolean, isOfBatch: boolean): Args {
    const random = this.#random;
    const gates: Args = {};
    if (hasKey && random.chance(0.3)) gates.concurrency_policy = random.pick(["reject", "replace", "replace"]);
    else if (random.chance(0.25)) {
      gates.after = [...this.#jobs(random.between(1, 3)), ...(index > 0 ? [`#${random.between(0, index - 1)}`] : [])];
      gates.after_policy = random.pick(["succeeded", "ended"]);
    }
    if (random.chance(0.15)) gates.rate_limit = random.pick(rateLimits);
    if (!isOfBatch && this.#batches.length > 0 && random.chance(0.2)) gates.parent_id = random.pick(this.#batches);
    return gates;
  }

  async #complete(machine: Machine): Promise<void> {
    const attempts = this.#attempts(machine, 0.7);
    for (const { job_id } of attempts) machine.running.delete(job_id);
    const results = attempts.map((attempt) =>
      this.#report(attempt, this.#random.chance(0.75) ? "succeeded" : "failed")
    );
    if (this.#random.chance(0.2) && this.submitted.size > 0) {
      results.push(this.#report({ job_id: this.#jobs(1)[0]!, attempt: this.#random.between(1, 3) }, "succeeded"));
    }
    const answer = await this.#call(machine.worker.actor, "complete_jobs", {
      results,
      want: this.#random.between(0, 2),
    });
    for (const { job_id, attempt, outcome } of answer?.outcomes ?? []) {
      const { status } = results.find((result) => result.job_id === job_id && result.attempt === attempt)!;
      if (outcome === "accepted") this.accepted.set(job_id, { attempt, status });
    }
    this.#take(machine, answer);
  }

  async #heartbeat(machine: Machine): Promise<void> {
    const { worker } = machine;
    const answer = await this.#call(worker.actor, "heartbeat", {
      running: this.#attempts(machine, 0.9),
      want: this.#random.between(0, 2),
      events: this.#random.chance(0.3) ? this.#events(machine) : [],
      draining: this.#random.chance(0.05),
    });
    if (answer?.resync) return await this.#hello(machine);
    for (const { job_id } of answer?.stop ?? []) machine.running.delete(job_id);
    this.#take(machine, answer);
  }

  /** Comes back with whatever it still runs, and now and then with other abilities or another number of slots. */
  async #hello(machine: Machine): Promise<void> {
    const { worker } = machine;
    const listening = this.#random.chance(0.6);
    const answer = await this.#call(worker.actor, "hello", {
      worker: {
        listening,
        slots: this.#random.between(1, 4),
        ...(this.#random.chance(0.3) ? this.#abilities() : {}),
      },
      running: this.#attempts(machine, 1),
    });
    for (const { job_id } of answer?.stop ?? []) machine.running.delete(job_id);
    this.#take(machine, answer);
    if (answer && listening) {
      const args = { running: this.#attempts(machine, 1), listening, wake_nonce: answer.wake_nonce };
      this.#take(machine, await this.#call(worker.actor, "heartbeat", args));
    }
  }

  async #addMachine(): Promise<void> {
    const worker = await createWorker(this.#db, this.#tenant, {
      ...this.#abilities(),
      slots: this.#random.between(1, 4),
    });
    this.#machines.push({ worker, running: new Map() });
  }

  #abilities(): { capabilities: string[]; labels: Args } {
    const labels = Object.fromEntries(this.#random.some(labelNames, 0.3).map((name) => [name, "1"]));
    return { capabilities: this.#random.some(capabilities, 0.7), labels };
  }

  /** Remembers what an answer handed over; now and then the answer gets lost on the way. */
  #take(machine: Machine, answer: Answer): void {
    if (this.#random.chance(0.05)) return;
    for (const { job_id, attempt } of answer?.jobs ?? []) machine.running.set(job_id, attempt);
  }

  #attempts({ running }: Machine, probability: number): Attempt[] {
    return this.#random.some([...running].map(([job_id, attempt]) => ({ job_id, attempt })), probability);
  }

  #events(machine: Machine): Args[] {
    return this.#attempts(machine, 0.8).map((attempt) => ({
      ...attempt,
      number: this.#random.between(1, 5),
      kind: this.#random.pick(["progress", "log", "chunk"]),
      data: { fraction: 0.5 },
    }));
  }

  #report({ job_id, attempt }: Attempt, status: "succeeded" | "failed") {
    const told = status === "succeeded"
      ? { result: { attempt } }
      : { error: { code: "test", message: "It broke", retryable: this.#random.chance(0.8) } };
    return { job_id, attempt, status, ...told };
  }

  #jobs(count: number): string[] {
    const all = [...this.submitted];
    return all.length === 0 ? [] : [...new Set(Array.from({ length: count }, () => this.#random.pick(all.slice(-60))))];
  }

  async #call(actor: Actor, name: string, args: Args = {}): Promise<Answer | undefined> {
    try {
      return await this.#connections.call(actor, name, args);
    } catch (error) {
      const { code, message, detail, where } = error as Record<string, string>;
      if (!refusals[name]?.includes(code ?? "")) this.failures.push([name, code, message, detail, where].join(" | "));
      return undefined;
    }
  }
}
