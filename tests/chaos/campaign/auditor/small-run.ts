import { join } from "node:path";
import type postgres from "postgres";
import { createTenant, createWorker, submit, type TestTenant, type TestWorker } from "../../../support/actors.ts";
import { TestDatabase } from "../../../support/database.ts";
import { Journal } from "../journal.ts";
import { audit } from "./audit.ts";
import { gather, type Roster } from "./evidence.ts";
import { Recorder } from "./recorder.ts";
import type { Violation } from "./violation.ts";

/** A small run on a database of its own, by the real functions, with everything written down as the campaign does. */
export class SmallRun implements AsyncDisposable {
  readonly db: TestDatabase;
  readonly #recorder: Recorder;
  readonly #folder: string;
  readonly #journals = new Map<string, Journal>();
  readonly #tenants: Record<string, TestTenant>;
  #scenes = 0;
  readonly workers: Record<"one" | "two" | "blue" | "liar", TestWorker>;

  private constructor(
    db: TestDatabase,
    recorder: Recorder,
    folder: string,
    tenants: Record<string, TestTenant>,
    workers: SmallRun["workers"],
  ) {
    this.db = db;
    this.#recorder = recorder;
    this.#folder = folder;
    this.#tenants = tenants;
    this.workers = workers;
  }

  static async create(): Promise<SmallRun> {
    const db = await TestDatabase.create();
    const [red, blue] = [await createTenant(db), await createTenant(db)];
    const workers = {
      one: await createWorker(db, red, { slots: 2 }),
      two: await createWorker(db, red, { slots: 2 }),
      blue: await createWorker(db, blue, { slots: 2 }),
      liar: await createWorker(db, red, { slots: 1 }),
    };
    const folder = await Deno.makeTempDir({ prefix: "muster-audit-" });
    return new SmallRun(db, await Recorder.start(db.url), folder, { red, blue }, workers);
  }

  /** Keys within a scene are its own. */
  scene<T>(act: () => Promise<T>): Promise<T> {
    this.#scenes += 1;
    return act();
  }

  /** A key as it is stored. */
  key(key: string): string {
    return `${this.#scenes}-${key}`;
  }

  journal(name: string): Journal {
    let journal = this.#journals.get(name);
    if (journal === undefined) {
      Deno.mkdirSync(join(this.#folder, name), { recursive: true });
      this.#journals.set(name, journal = new Journal(join(this.#folder, name, "journal.jsonl")));
    }
    return journal;
  }

  /** Hands in a job; answers its id. */
  async submit(name: string, more: Record<string, unknown> = {}, tenant = "red"): Promise<string> {
    const key = this.key(name);
    const app = { app: `app-${tenant}`, tenant: `tenant-${tenant}` };
    this.journal(app.app).write({ did: "ask", ...app, key });
    const [job] = await submit(this.db, this.#tenants[tenant]!, {
      idempotency_key: key,
      requires: ["compute/basic"],
      ...more,
    });
    this.journal(app.app).write({ did: "submit", ...app, key, job: job.id, created: true });
    return job.id;
  }

  /** Takes the next job up; answers what names this execution of it. */
  async begin(name: keyof SmallRun["workers"] = "one"): Promise<{ job: string; attempt: number; execution: string }> {
    const [job] = await this.workers[name].claim(1);
    const begun = { job: job!.job_id, attempt: job!.attempt, execution: crypto.randomUUID() };
    const tenant = name === "blue" ? "tenant-blue" : "tenant-red";
    this.journal(name).write({ did: "begin", ...begun, tenant });
    return begun;
  }

  /** Ends an execution well, on record too unless told otherwise. */
  async end(begun: Awaited<ReturnType<SmallRun["begin"]>>, name: keyof SmallRun["workers"] = "one"): Promise<void> {
    this.journal(name).write({ did: "end", ...begun, outcome: "succeeded" });
    const { job: job_id, attempt, execution } = begun;
    await this.workers[name].complete([{ job_id, attempt, status: "succeeded", result: { execution } }]);
  }

  /** A job from its submission to its end; answers its id. */
  async life(key: string): Promise<string> {
    const id = await this.submit(key);
    await this.end(await this.begin());
    return id;
  }

  /** Changes what no function would, in one transaction: triggers and foreign keys are off, these constraints too. */
  async force(
    change: (tx: postgres.TransactionSql) => Promise<unknown>,
    constraints: readonly string[] = [],
  ): Promise<void> {
    await this.db.sql.begin(async (tx) => {
      for (const name of constraints) {
        const [table, constraint] = name.split(".");
        await tx.unsafe(`alter table muster.${table} drop constraint if exists ${constraint}`);
      }
      await tx`set local session_replication_role = replica`;
      await change(tx);
    });
  }

  /** Forgets the last change that was recorded, as a recorder with a gap would. */
  async forgetLastCommit(): Promise<void> {
    await this.#recorder.catchUp();
    this.#recorder.commits.pop();
  }

  async judge(): Promise<Violation[]> {
    await this.#recorder.catchUp();
    const worker = (name: keyof SmallRun["workers"], tenant: string, slots: number) => ({
      ...{
        name,
        tenant,
        slots,
        workerId: this.workers[name].id,
        folder: join(this.#folder, name),
        lies: name === "liar",
      },
    });
    const roster: Roster = {
      tenants: Object.entries(this.#tenants).map(([name, { id }]) => ({ tenant: `tenant-${name}`, tenantId: id })),
      workers: [
        worker("one", "tenant-red", 2),
        worker("two", "tenant-red", 2),
        worker("blue", "tenant-blue", 2),
        worker("liar", "tenant-red", 1),
      ],
      apps: ["red", "blue"].map((name) => ({
        ...{ name: `app-${name}`, tenant: `tenant-${name}`, folder: join(this.#folder, `app-${name}`) },
      })),
    };
    return audit(await gather(this.db.url, roster, this.#recorder.commits)).violations;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const journal of this.#journals.values()) journal[Symbol.dispose]();
    await this.#recorder[Symbol.asyncDispose]();
    await this.db[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}
