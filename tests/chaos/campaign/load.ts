import { sleep } from "../../../shared/sleep.ts";
import { Random } from "../../support/random.ts";
import type { App } from "./apps.ts";
import { finalError, policyNames } from "./mix/policies.ts";
import { pauseUntil } from "./pauses.ts";
import { planJob, type PlannedJob } from "./work-plan.ts";

export interface LoadOptions {
  readonly seed: number;
  readonly tenant: string;
  /** One app, or two which share keys. */
  readonly apps: readonly App[];
  /** How many jobs the workers of the tenant can run at a time. */
  readonly slots: number;
  /** How many jobs of the tenant have ended so far. */
  readonly endedCount: () => number;
  /** A job of another tenant, for peeking; undefined as long as there is none. */
  readonly foreignJob: () => string | undefined;
}

/** A rush with a queue, then a lull in which workers are idle and jobs are pushed to them, over and over. */
const waveMs = 20_000;
const rushMs = 12_000;

/** Keeps a tenant's apps busy. What comes of the jobs is for the auditor to judge. */
export class Load {
  /** Every id answered so far. */
  readonly jobIds: string[] = [];
  readonly #options: LoadOptions;
  readonly #pending = new Set<Promise<void>>();
  readonly #random: Random;
  #index = 0;
  #batches = 0;
  /** Planned, and never to become jobs. */
  #refused = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  /** Submits until `until` fires; the answers come later. */
  async run(until: AbortSignal): Promise<void> {
    const { apps, tenant, endedCount, slots } = this.#options;
    let rounds = 0;
    const begunAt = performance.now();
    let nextAt = begunAt;
    // One job of every policy, so that none is missing however few there are.
    for (const name of policyNames) {
      this.#hand([{ ...planJob(this.#random, tenant, this.#index++, name), cancelAfterMs: null }]);
    }
    this.#handBatch(0);
    this.#handBatch(2);
    while (!until.aborted) {
      const isRush = (performance.now() - begunAt) % waveMs < rushMs;
      const outstanding = this.#index - endedCount() - this.#refused;
      if (outstanding >= slots * (isRush ? 4 : 0.3) || this.#pending.size > 200) {
        await sleep(50, until);
        continue;
      }
      if (this.#random.chance(0.12)) this.#handBatch(this.#random.chance(0.5) ? this.#random.between(1, 3) : 0);
      else {this.#hand(
          this.#plan(this.#random.weighted({ one: 2, some: 1 }) === "one" ? 1 : this.#random.between(2, 20)),
        );}
      rounds += 1;
      if (rounds % 15 === 0) this.#keep(this.#random.pick(apps).replay(3));
      if (rounds % 50 === 0) {
        for (const app of apps) this.#keep(app.look());
        const foreign = this.#options.foreignJob();
        if (foreign !== undefined) this.#keep(this.#random.pick(apps).peek(foreign));
      }
      // Waves come when the seed has them come, whatever has become of those before.
      nextAt = Math.max(nextAt, performance.now() - 120) + this.#random.between(20, 120);
      await pauseUntil(nextAt, until);
    }
  }

  /** Some of what has failed for good, and quickly does so again, is submitted again. */
  async replay(): Promise<void> {
    await this.#options.apps[0]!.replay(5, finalError);
  }

  /** Resolves when every call that was begun has been answered. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.race(this.#pending);
  }

  /** Jobs of a request, of which some come after others of it or of before. */
  #plan(count: number): PlannedJob[] {
    const jobs: PlannedJob[] = [];
    for (let place = 0; place < count; place += 1) {
      const job = planJob(this.#random, this.#options.tenant, this.#index++);
      const earlier = jobs.flatMap(({ alone }, index) => alone ? [] : `#${index}`);
      const known = this.#random.chance(0.3) ? this.jobIds.slice(-10) : [];
      const isAfter = this.#random.chance(0.15) && !job.alone && !job.policies.some((name) => name === "start by");
      const after = this.#random.some([...earlier, ...known], 0.3).slice(0, 3);
      if (!isAfter || after.length === 0) {
        jobs.push(job);
        continue;
      }
      const afterPolicy = this.#random.pick(["succeeded", "ended"] as const);
      const submit = { ...job.submit, after, afterPolicy };
      jobs.push({ ...job, submit, policies: [...job.policies, `after, ${afterPolicy}`], twice: false });
    }
    return jobs;
  }

  /** Hands in the jobs in one request, but for those that go alone. */
  #hand(jobs: readonly PlannedJob[]): void {
    const { apps } = this.#options;
    const first = this.#random.between(0, apps.length - 1);
    const app = apps[first]!;
    const [alone, together] = [jobs.filter(({ alone }) => alone), jobs.filter(({ alone }) => !alone)];
    for (const job of alone) this.#keep(this.#submit(app, [job]));
    if (together.length > 0) this.#keep(this.#submit(app, renumbered(jobs, together)));
    const twice = together.filter(({ twice }) => twice);
    if (apps.length > 1 && twice.length > 0) this.#keep(this.#submit(apps[(first + 1) % apps.length]!, twice, true));
  }

  /** A batch, with `later` jobs to be added while it is open. */
  #handBatch(later: number): void {
    const { apps, tenant } = this.#options;
    const jobs = this.#plan(this.#random.between(1, 6)).filter(({ alone }) => !alone || void (this.#refused += 1));
    const added = this.#plan(later).filter(({ alone }) => !alone || void (this.#refused += 1));
    const cancelAfterMs = added.length === 0 && this.#random.chance(0.1) ? this.#random.between(0, 2_000) : null;
    const isHeard = this.#random.chance(0.5);
    const app = this.#random.pick(apps);
    const key = `${tenant}-batch-${this.#batches++}`;
    const unnumbered = (jobs: readonly PlannedJob[]) =>
      jobs.map((job) => ({
        ...job,
        submit: { ...job.submit, after: job.submit.after?.filter((name) => !name.startsWith("#")) ?? [] },
      }));
    this.#keep((async () => {
      const id = await app.submitBatch(key, unnumbered(jobs), unnumbered(added));
      if (cancelAfterMs !== null) this.#keep(sleep(cancelAfterMs).then(() => app.cancel(id)));
      if (isHeard) this.#keep(app.hear(id));
    })());
  }

  async #submit(app: App, jobs: readonly PlannedJob[], again = false): Promise<void> {
    const ids = await app.submit(jobs);
    if (again) return;
    if (ids.length === 0) this.#refused += jobs.length;
    this.jobIds.push(...ids);
    for (const [index, id] of ids.entries()) {
      const { cancelAfterMs, awaited } = jobs[index]!;
      if (cancelAfterMs !== null) this.#keep(sleep(cancelAfterMs).then(() => app.cancel(id)));
      if (awaited) this.#keep(app.hear(id));
    }
  }

  #keep(task: Promise<void>): void {
    const kept = task.catch(() => {
      // Only the end of the campaign ends a call without an answer; the auditor sees what is missing.
    }).finally(() => this.#pending.delete(kept));
    this.#pending.add(kept);
  }
}

/** The jobs that go together, with the numbers by which they name each other as they stand now. */
function renumbered(all: readonly PlannedJob[], together: readonly PlannedJob[]): PlannedJob[] {
  const place = (name: string) => `#${together.indexOf(all[Number(name.slice(1))]!)}`;
  return together.map((job) => {
    const { after } = job.submit;
    if (after === undefined) return job;
    return { ...job, submit: { ...job.submit, after: after.map((name) => name.startsWith("#") ? place(name) : name) } };
  });
}
