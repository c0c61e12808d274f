import { createHash } from "node:crypto";
import { resolve } from "node:path";
import postgres from "postgres";
import { applyPlatform } from "../../local/platform.ts";
import { maintainPartitions } from "../../local/realtime/partitions.ts";

const migrationsDir = resolve(import.meta.dirname!, "..", "..", "migrations");

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
  readonly #drop: () => Promise<void>;
  readonly #signatures = new Map<string, string>();

  private constructor(url: string, drop: () => Promise<void>) {
    this.#drop = drop;
    this.url = url;
    this.sql = connect(url, 4);
  }

  static async create(): Promise<TestDatabase> {
    const adminUrl = Deno.env.get("MUSTER_TEST_ADMIN_DB_URL");
    if (!adminUrl) throw new Error("Cannot run this test: MUSTER_TEST_ADMIN_DB_URL must be set, as npm test does");
    const cluster = connect(adminUrl, 1);
    const template = await ensureTemplate(cluster, adminUrl);
    const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
    await cluster.unsafe(`create database ${name} template ${template} owner postgres`);
    const database = new TestDatabase(urlOf(adminUrl, name), async () => {
      await cluster.unsafe(`drop database ${name} with (force)`);
      await cluster.end();
    });
    await database.#installClock();
    return database;
  }

  /** A migrated database that is there already, and stays, with cron and a clock that goes; as its superuser. */
  static existing(url: string): TestDatabase {
    return new TestDatabase(url, () => Promise.resolve());
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
    await this.sql.end({ timeout: 1 });
    await this.#drop();
  }

  async #installClock(): Promise<void> {
    await this.sql.unsafe(`
      create table muster_private.test_clock (at timestamptz not null);
      insert into muster_private.test_clock values ('2026-01-01T00:00:00Z');
      grant select on muster_private.test_clock to public;
      create or replace function muster_private.now() returns timestamptz language sql volatile set search_path = ''
      as $$ select at from muster_private.test_clock $$;
      update muster_private.scheduler_state set last_tick_at = '2026-01-01T00:00:00Z';
    `);
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

// The template is named for what made it, so that a changed migration gets a new one; the lock lets one process make it.
async function ensureTemplate(cluster: postgres.Sql, adminUrl: string): Promise<string> {
  const migrations = await readMigrations();
  const digest = createHash("sha256").update(migrations.join("\n")).digest("hex").slice(0, 16);
  const name = `template_${digest}`;
  await cluster`select pg_advisory_lock(hashtext(${name}))`;
  try {
    const [existing] = await cluster`select from pg_database where datname = ${name}`;
    if (existing) return name;
    const building = `${name}_building`;
    await cluster.unsafe(`drop database if exists ${building} with (force)`);
    await cluster.unsafe(`create database ${building}`);
    const sql = connect(urlOf(adminUrl, building), 1);
    try {
      await applyPlatform(sql);
      await maintainPartitions(sql);
      await sql.unsafe(`alter database ${building} owner to postgres`);
      await sql`set session authorization postgres`;
      for (const migration of migrations) await sql.unsafe(migration);
      await sql`reset session authorization`;
      // Grants and comments write functions anew: without their dead rows a copy has a third less to write.
      await sql`vacuum full pg_catalog.pg_proc`;
    } finally {
      await sql.end();
    }
    await cluster.unsafe(`alter database ${building} rename to ${name}`);
    return name;
  } finally {
    await cluster`select pg_advisory_unlock(hashtext(${name}))`;
  }
}

async function readMigrations(): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(migrationsDir)) if (entry.name.endsWith(".sql")) names.push(entry.name);
  return Promise.all(names.sort().map((name) => Deno.readTextFile(`${migrationsDir}/${name}`)));
}

function connect(url: string, max: number): postgres.Sql {
  return postgres(url, { max, onnotice: () => {}, connection: { application_name: "tests" } });
}

function urlOf(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}
