import type postgres from "postgres";
import { connect, databases } from "./test-databases.ts";

/** Who makes a call: the functions with the secret key, or somebody with a token of these claims. */
export type Actor = { role: string; claims?: Record<string, unknown> };

export const service: Actor = { role: "service_role", claims: { role: "service_role" } };

/** Parameters of a function of schema muster, in the names and JSON shapes the Data API takes. */
export type Args = Record<string, unknown>;

/** What a function answers; tests look at it field by field. */
// deno-lint-ignore no-explicit-any -- the test is the check of its shape
export type Answer = any;

/**
 * A database of the test's own, with platform and migrations, on the cluster that MUSTER_TEST_ADMIN_DB_URL names. No
 * cron runs on it and its clock stands still until the test moves it, so nothing happens that the test does not do.
 */
export class TestDatabase implements AsyncDisposable {
  /** As the superuser: for looking and for arranging, never for the call under test. */
  readonly sql: postgres.Sql;
  readonly url: string;
  readonly #end: () => Promise<void>;
  readonly #signatures: Map<string, string>;

  private constructor(
    { url, sql, signatures }: { url: string; sql: postgres.Sql; signatures: Map<string, string> },
    end: () => Promise<void>,
  ) {
    this.url = url;
    this.sql = sql;
    this.#signatures = signatures;
    this.#end = end;
  }

  /** One that another test may have had before, and that is again as it was; `fresh` is nobody's before nor after. */
  static async create(options: { fresh?: boolean } = {}): Promise<TestDatabase> {
    const lease = await databases().take(options);
    return new TestDatabase(lease, () => lease.release());
  }

  /** A migrated database that is there already, and stays, with cron and a clock that goes; as its superuser. */
  static existing(url: string): TestDatabase {
    const sql = connect(url, 4);
    return new TestDatabase({ url, sql, signatures: new Map() }, () => sql.end({ timeout: 1 }));
  }

  /** Calls a function of schema muster in a transaction of its own. */
  call(actor: Actor, name: string, args: Args = {}): Promise<Answer> {
    return this.sql.begin((tx) => this.callIn(tx as unknown as postgres.Sql, actor, name, args)) as Promise<Answer>;
  }

  /** Calls a function of schema muster within a transaction that the test keeps open. */
  async callIn(tx: postgres.Sql, actor: Actor, name: string, args: Args = {}): Promise<Answer> {
    const record = await this.#record(tx, name, Object.keys(args));
    await tx`select set_config('request.jwt.claims', ${JSON.stringify(actor.claims ?? {})}, true),
      set_config('role', ${actor.role}, true)`;
    const text = record === ""
      ? `select muster.${name}() as answer`
      : `select muster.${name}(${Object.keys(args).map((a) => `${a} => r.${a}`).join(", ")}) as answer
         from jsonb_to_record($1::text::jsonb) r(${record})`;
    const [row] = await tx.unsafe(text, record === "" ? [] : [JSON.stringify(args)]);
    await tx`select set_config('role', 'none', true)`;
    return row?.answer;
  }

  /** A second connection, on which the test keeps a transaction open: for races. */
  async transaction(): Promise<OpenTransaction> {
    const connection = await this.sql.reserve();
    await connection`begin`;
    const [row] = await connection`select pg_backend_pid() as pid`;
    return new OpenTransaction(this, connection, Number(row!.pid));
  }

  /** Resolves once the given backend waits for a lock. */
  async untilBlocked(pid: number): Promise<void> {
    await until(async () => {
      const [row] = await this.sql`select cardinality(pg_blocking_pids(${pid})) > 0 as blocked`;
      return row!.blocked;
    }, `backend ${pid} waits for a lock`);
  }

  /** The time the database goes by. */
  async now(): Promise<Date> {
    const [row] = await this.sql`select at from muster_private.test_clock`;
    return row!.at;
  }

  async advance(seconds: number, { asOutage = false } = {}): Promise<void> {
    await this.sql`update muster_private.test_clock set at = at + make_interval(secs => ${seconds})`;
    if (seconds > 10 && !asOutage) await this.sql`update muster_private.scheduler_state set was_late = true`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #record(tx: postgres.Sql, name: string, args: string[]): Promise<string> {
    if (args.length === 0) return "";
    let signature = this.#signatures.get(name);
    if (signature === undefined) {
      const [row] = await tx`
        select pg_get_function_identity_arguments(p.oid) as signature
        from pg_proc p where p.pronamespace = 'muster'::regnamespace and p.proname = ${name}`;
      if (!row) throw new Error(`Cannot call muster.${name}(): there is no such function`);
      signature = row.signature as string;
      this.#signatures.set(name, signature);
    }
    const types = new Map(
      signature.split(", ").map((parameter) => {
        const [parameterName, ...type] = parameter.split(" ");
        return [parameterName!, type.join(" ")];
      }),
    );
    return args.map((arg) => {
      const type = types.get(arg);
      if (!type) throw new Error(`Cannot call muster.${name}(): it has no parameter "${arg}", only ${signature}`);
      return `${arg} ${type}`;
    }).join(", ");
  }
}

export class OpenTransaction implements AsyncDisposable {
  readonly pid: number;
  readonly #database: TestDatabase;
  readonly #connection: postgres.ReservedSql;
  #ended = false;

  constructor(database: TestDatabase, connection: postgres.ReservedSql, pid: number) {
    this.#database = database;
    this.#connection = connection;
    this.pid = pid;
  }

  call(actor: Actor, name: string, args: Args = {}): Promise<Answer> {
    return this.#database.callIn(this.#connection as unknown as postgres.Sql, actor, name, args);
  }

  /** Any statement, as the superuser. */
  query(text: string, parameters: (string | number)[] = []): Promise<unknown> {
    return this.#connection.unsafe(text, parameters);
  }

  commit(): Promise<void> {
    return this.#end("commit");
  }

  rollback(): Promise<void> {
    return this.#end("rollback");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback();
  }

  async #end(how: "commit" | "rollback"): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#connection.unsafe(how);
    this.#connection.release();
  }
}

/** Polls a condition until it holds; fails after a time that only a broken test reaches. */
export async function until(condition: () => Promise<boolean>, what: string, withinMs = 30_000): Promise<void> {
  for (const deadline = Date.now() + withinMs; !await condition();) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
