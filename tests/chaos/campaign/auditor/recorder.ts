import postgres from "postgres";
import { lastingWithoutArrays } from "../../../../local/lasting-sql.ts";
import { type Commit, readCommits } from "./wal.ts";

/** What of the database is watched: enough to know at every commit who held which attempt, and what kept back the others. */
const watched: Readonly<Record<string, readonly string[]>> = {
  jobs: [
    ...["id", "tenant_id", "status", "worker_id", "attempts", "concurrency_key", "waiting_for", "parent_id", "error"],
    ...["idempotency_key", "released_count", "run_at", "started_at", "assigned_at", "updated_at"],
  ],
  worker_devices: ["id", "cordoned_at"],
  resource_holders: ["tenant_id", "name", "worker_id"],
};

/** Rows to take over in one look. */
const perLook = 20_000;
const everyMs = 1_000;
const answerWithinMs = 30_000;

/**
 * Records every committed change of the watched tables, in the order of the commits, from the database's own log: what
 * no snapshot in between could miss, and what no later change can cover. The slot keeps what was not read yet, also over
 * a crash of Postgres.
 */
export class Recorder implements AsyncDisposable {
  readonly commits: Commit[] = [];
  readonly #adminDbUrl: string;
  readonly #name: string;
  #sql: postgres.Sql;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(adminDbUrl: string, sql: postgres.Sql, name: string) {
    this.#adminDbUrl = adminDbUrl;
    this.#sql = sql;
    this.#name = name;
  }

  /** Begins to record. The connection must be a superuser's. */
  static async start(adminDbUrl: string): Promise<Recorder> {
    const sql = connect(adminDbUrl);
    const name = `audit_${crypto.randomUUID().slice(0, 8)}`;
    const tables = Object.entries(watched).map(([table, columns]) => `muster.${table} (${columns.join(", ")})`);
    await sql.unsafe(`create publication ${name} for table ${tables.join(", ")}`);
    await sql`select pg_create_logical_replication_slot(${name}, 'pgoutput')`;
    const recorder = new Recorder(adminDbUrl, sql, name);
    recorder.#later();
    return recorder;
  }

  /** Reads all that was committed until now. */
  catchUp(): Promise<void> {
    return this.#inTurn(async () => {
      while (await this.#look() > 0);
    });
  }

  /** Stops recording and takes the slot away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    try {
      await this.#sql`select pg_drop_replication_slot(${this.#name})`;
      await this.#sql.unsafe(`drop publication ${this.#name}`);
    } finally {
      await this.#sql.end({ timeout: 1 });
    }
  }

  #later(): void {
    this.#timer = setTimeout(() => {
      this.#inTurn(() => this.#look()).catch(() => {
        // Postgres is down or restarting, which is part of the campaign: the slot keeps what is missing.
      }).finally(() => {
        if (!this.#stopped) this.#later();
      });
    }, everyMs);
  }

  /** A connection that broke may leave its query without an answer for ever: the next look has another. */
  #inTurn<T>(look: () => Promise<T>): Promise<T> {
    const looked = this.#looking.then(() => within(look(), answerWithinMs)).catch(async (error) => {
      await this.#sql.end({ timeout: 0 }).catch(() => {});
      this.#sql = connect(this.#adminDbUrl);
      throw error;
    });
    this.#looking = looked.then(() => {}, () => {});
    return looked;
  }

  /** Answers how many commits were new. */
  async #look(): Promise<number> {
    const rows = await this.#sql<{ data: Uint8Array; lsn: string }[]>`
      select lsn, data from pg_logical_slot_peek_binary_changes(
        ${this.#name}, null, ${perLook}, 'proto_version', '1', 'publication_names', ${this.#name})`;
    // After a crash the slot may tell again what was read before it.
    const last = this.commits.at(-1)?.lsn ?? -1n;
    const fresh = readCommits(rows.map(({ data }) => data)).filter(({ lsn }) => lsn > last);
    this.commits.push(...fresh.filter(({ changes }) => changes.length > 0));
    // Only what has been read is let go of: a connection that breaks loses nothing.
    const end = rows.at(-1)?.lsn;
    if (end !== undefined) await this.#sql`select pg_replication_slot_advance(${this.#name}, ${end}::pg_lsn)`;
    return fresh.length;
  }
}

function connect(adminDbUrl: string): postgres.Sql {
  return postgres(adminDbUrl, {
    ...{ ...lastingWithoutArrays, max: 1, onnotice: () => {} },
    connection: { application_name: "auditor" },
  });
}

function within<T>(promise: Promise<T>, milliseconds: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`No answer in ${milliseconds} ms`)), milliseconds);
  return Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}
