import { createHash } from "node:crypto";
import { resolve } from "node:path";
import postgres from "postgres";
import { applyPlatform } from "../../local/platform.ts";
import { maintainPartitions } from "../../local/realtime/partitions.ts";

const migrationsDir = resolve(import.meta.dirname!, "..", "..", "migrations");
/** A connection that a broken test never gave back is not waited for. */
const answersWithinMs = 10_000;

/** A database for a test, and its connections: kept for the next one, for their functions are compiled. */
export interface Lease {
  readonly url: string;
  readonly sql: postgres.Sql;
  readonly signatures: Map<string, string>;
  /** Gives it back, whatever was done to it. */
  release(): Promise<void>;
}

type Held = Omit<Lease, "release"> & { readonly name: string };

/**
 * The databases on a cluster that this test file has had. Making one costs ten times as much as bringing one back to
 * what it was like before: so a free one is taken, of this file or one that has ended, and left where that does not do.
 */
class Databases {
  readonly #adminUrl: string;
  /** Its advisory locks say which databases are in use, until the file ends. */
  readonly #cluster: postgres.Sql;
  readonly #free: Held[] = [];
  /** Those that its locks are for: a lock of one's own is no hindrance. */
  readonly #names = new Set<string>();
  #template: Promise<string> | undefined;

  constructor(adminUrl: string) {
    this.#adminUrl = adminUrl;
    this.#cluster = connect(adminUrl, 1);
  }

  async take({ fresh = false } = {}): Promise<Lease> {
    const template = await (this.#template ??= ensureTemplate(this.#cluster, this.#adminUrl));
    const held = (fresh ? undefined : await this.#restored(template)) ?? await this.#make(template);
    return {
      ...held,
      release: fresh ? () => this.#drop(held) : () => {
        this.#free.push(held);
        return Promise.resolve();
      },
    };
  }

  async #restored(template: string): Promise<Held | undefined> {
    for (;;) {
      const held = this.#free.pop() ?? await this.#adopt(template);
      if (held === undefined) return undefined;
      if (await restore(held)) return held;
      await this.#drop(held);
    }
  }

  /** One that a file which has ended left. */
  async #adopt(template: string): Promise<Held | undefined> {
    const names = await this.#cluster`
      select d.datname as name from pg_database d where starts_with(d.datname, ${prefixOf(template)}) and not exists (
        select from pg_locks l where l.locktype = 'advisory' and l.classid = hashtext('tests')::oid
          and l.objid = hashtext(d.datname)::oid)`;
    for (const { name } of names) {
      if (this.#names.has(name)) continue;
      this.#names.add(name);
      const [row] = await this.#cluster`
        select case when pg_try_advisory_lock(hashtext('tests'), hashtext(${name}))
          then exists (select from pg_database where datname = ${name}) end as is_there`;
      if (row!.is_there) return this.#open(name);
      this.#names.delete(name);
    }
    return undefined;
  }

  async #make(template: string): Promise<Held> {
    const name = `${prefixOf(template)}${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
    this.#names.add(name);
    await this.#cluster`select pg_advisory_lock(hashtext('tests'), hashtext(${name}))`;
    await this.#cluster.unsafe(`create database ${name} template ${template} owner postgres`);
    return this.#open(name);
  }

  #open(name: string): Held {
    const url = urlOf(this.#adminUrl, name);
    return { name, url, sql: connect(url, 4), signatures: new Map() };
  }

  async #drop({ name, sql }: Held): Promise<void> {
    await sql.end({ timeout: 1 });
    await this.#cluster.unsafe(`drop database ${name} with (force)`);
    await this.#cluster`select pg_advisory_unlock(hashtext('tests'), hashtext(${name}))`;
    this.#names.delete(name);
  }
}

const clusters = new Map<string, Databases>();

/** The databases on the cluster that MUSTER_TEST_ADMIN_DB_URL names. */
export function databases(): Databases {
  const adminUrl = Deno.env.get("MUSTER_TEST_ADMIN_DB_URL");
  if (!adminUrl) throw new Error("Cannot run this test: MUSTER_TEST_ADMIN_DB_URL must be set, as npm test does");
  const known = clusters.get(adminUrl) ?? new Databases(adminUrl);
  clusters.set(adminUrl, known);
  return known;
}

export function connect(url: string, max: number): postgres.Sql {
  return postgres(url, {
    max,
    max_lifetime: null,
    onnotice: () => {},
    connection: { application_name: "tests" },
  });
}

/** Whether the database is again as it was made; if not, nobody shall have it. */
async function restore({ sql }: Held): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(false), answersWithinMs));
  const restored = (async () => {
    const connection = await sql.reserve();
    try {
      // What a test left running or open, it has no use for any more.
      const [row] = await connection`
        select coalesce(bool_and(pg_terminate_backend(pid, ${answersWithinMs})), true) as is_alone from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type <> 'autovacuum worker'`;
      if (!row!.is_alone) return false;
      await connection.unsafe(
        "reset session authorization; reset role; reset all; unlisten *; select pg_advisory_unlock_all()",
      );
      const [answer] = await connection`select test_support.restore() as is_restored`;
      return answer!.is_restored as boolean;
    } finally {
      connection.release();
    }
  })().catch(() => false);
  return await Promise.race([restored, late]).finally(() => clearTimeout(timer));
}

// The template is named for what made it, so that a changed migration gets a new one; the lock lets one process make it.
async function ensureTemplate(cluster: postgres.Sql, adminUrl: string): Promise<string> {
  const migrations = await readMigrations();
  const support = await Deno.readTextFile(resolve(import.meta.dirname!, "test-database.sql"));
  const digest = createHash("sha256").update([...migrations, support].join("\n")).digest("hex").slice(0, 16);
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
      await sql.unsafe(support);
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

function prefixOf(template: string): string {
  return template.replace("template_", "test_") + "_";
}

function urlOf(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}
