import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import postgres from "postgres";
import type { Log } from "./log.ts";

export type MigrationsOptions = {
  /** The folder that holds `supabase/`. */
  project: string;
  dataDir: string;
  /** As `postgres`, the role that applies migrations on the platform. */
  dbUrl: string;
  log: Log;
};

const cliPath = resolve(import.meta.dirname!, "..", "node_modules", "supabase", "dist", "supabase.js");

const waitForServerMs = 30_000;

type Migration = { version: string; name: string; hash: string };

/**
 * Brings the database to the migrations of the tree, by the Supabase CLI, so that its history table is true. When the
 * history is already that of the files the CLI, which takes a second to start, is not.
 */
export async function applyMigrations({ project, dataDir, dbUrl, log }: MigrationsOptions): Promise<void> {
  const files = await readMigrations(join(project, "supabase", "migrations"));
  const applied = await readHistory(dbUrl);
  const hashFile = join(dataDir, "migrations.json");
  const hashes: Record<string, string> = JSON.parse(await Deno.readTextFile(hashFile).catch(() => "{}"));

  const edited = files.filter(({ version, hash }) =>
    applied.has(version) && hashes[version] && hashes[version] !== hash
  );
  if (edited.length > 0) {
    throw new Error(
      `Cannot migrate the database: ${edited.map(({ name }) => name).join(", ")} changed after being applied. ` +
        "Forget the data with `npm start -- --reset`, or restore the file",
    );
  }
  const known = new Set(files.map(({ version }) => version));
  const isCurrent = files.every(({ version }) => applied.has(version)) && [...applied].every((v) => known.has(v));
  if (!isCurrent) await push(project, dbUrl, log);
  await Deno.writeTextFile(
    hashFile,
    JSON.stringify(Object.fromEntries(files.map((f) => [f.version, f.hash])), null, 2),
  );
}

// Each file is applied with its line of the history in one transaction, so a push that a restart of Postgres broke off
// is simply made again.
async function push(project: string, dbUrl: string, log: Log): Promise<void> {
  for (;;) {
    const server = await serverStart(dbUrl);
    try {
      return await pushOnce(project, dbUrl, log);
    } catch (error) {
      if (await serverStart(dbUrl) === server) throw error;
      log("migrations", "Postgres was started again meanwhile; going on");
    }
  }
}

async function pushOnce(project: string, dbUrl: string, log: Log): Promise<void> {
  const cli = await new Deno.Command(Deno.env.get("MUSTER_NODE") ?? "node", {
    args: [
      cliPath,
      ...["db", "push", "--yes", "--skip-vault", `--remote=${dbUrl}`, "--workdir", project],
    ],
    cwd: project,
    env: { SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", NO_COLOR: "1", CI: "1" },
    stdin: "null",
  }).output();
  const said = new TextDecoder().decode(cli.stdout) + new TextDecoder().decode(cli.stderr);
  if (!cli.success) throw new Error(`Cannot migrate the database: supabase db push failed\n${said.trim()}`);
  for (const line of said.split("\n").filter((line) => line.startsWith("Applying"))) log("migrations", line);
}

/** When the server was started; waits for one that is being started. */
async function serverStart(dbUrl: string): Promise<string> {
  for (const deadline = Date.now() + waitForServerMs;;) {
    const sql = postgres(dbUrl, { max: 1, connect_timeout: 5, onnotice: () => {} });
    try {
      const [row] = await sql`select pg_postmaster_start_time()::text as at`;
      return row!.at;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    } finally {
      await sql.end({ timeout: 0 });
    }
    await delay(100);
  }
}

async function readMigrations(dir: string): Promise<Migration[]> {
  const migrations: Migration[] = [];
  for await (const { name } of Deno.readDir(dir)) {
    const version = /^(\d+)_.*\.sql$/.exec(name)?.[1];
    if (!version) continue;
    // The same text with Windows line ends is the same migration.
    const text = (await Deno.readTextFile(join(dir, name))).replaceAll("\r\n", "\n");
    migrations.push({ version, name, hash: createHash("sha256").update(text).digest("hex") });
  }
  return migrations.sort((a, b) => a.version.localeCompare(b.version));
}

async function readHistory(dbUrl: string): Promise<Set<string>> {
  const sql = postgres(dbUrl, { max: 1, onnotice: () => {} });
  try {
    const [history] = await sql`select to_regclass('supabase_migrations.schema_migrations') as found`;
    if (!history?.found) return new Set();
    const rows = await sql<{ version: string }[]>`select version from supabase_migrations.schema_migrations`;
    return new Set(rows.map(({ version }) => version));
  } finally {
    await sql.end();
  }
}
