import { join } from "node:path";
import postgres from "postgres";
import type { Log } from "../../local/log.ts";
import { applyMigrations } from "../../local/migrations.ts";
import { applyPlatform } from "../../local/platform.ts";
import { type Postgres, startPostgres } from "../../local/postgres.ts";
import { maintainPartitions } from "../../local/realtime/partitions.ts";
import { forgetData } from "../../local/stack.ts";

export type DebianPostgres = Pick<Postgres, "dbUrl" | "adminDbUrl"> & AsyncDisposable;

const version = "15";
const repository = join(import.meta.dirname!, "..", "..");
const packages = [`postgresql-${version}`, `postgresql-${version}-cron`, `postgresql-${version}-plpgsql-check`];
const installed = { lib: `/usr/lib/postgresql/${version}`, share: `/usr/share/postgresql/${version}` };

/** What the platform lets a project's `postgres` create, of those that tests need. */
const privilegedExtensions = ["pg_cron", "plpgsql_check"];

/** Names what is missing for `startDebianPostgres()`; undefined when all is there. */
export async function missingForDebianPostgres(): Promise<string | undefined> {
  const needed = [
    join(installed.lib, "bin", "initdb"),
    ...privilegedExtensions.map((name) => join(installed.share, "extension", `${name}.control`)),
  ];
  for (const file of needed) {
    if (!await Deno.stat(file).then(() => true, () => false)) return `Debian's packages ${packages.join(", ")}`;
  }
  return undefined;
}

/**
 * Starts a cluster of Debian's Postgres 15 with its real pg_cron and plpgsql_check in a temporary folder. Its database
 * `postgres` is a Supabase project, migrated by the Supabase CLI as the role `postgres`.
 */
export async function startDebianPostgres(log: Log): Promise<DebianPostgres> {
  const folder = await Deno.makeTempDir({ prefix: "muster-debian-" });
  // Started by root, Postgres runs as another account, which has to get to its part of the folder.
  await Deno.chmod(folder, 0o711);
  const native = await copyInstallation(join(folder, "debian"));
  const database = await startPostgres({
    ...{ dataDir: folder, port: 0, ephemeral: true, log },
    server: {
      native,
      settings: {
        shared_preload_libraries: "pg_cron,plpgsql_check",
        max_worker_processes: "16",
        "cron.database_name": "postgres",
        // Runs jobs without a login of their own: the cluster wants passwords.
        "cron.use_background_workers": "on",
      },
    },
  });
  const stop = async () => {
    await database.stop();
    await forgetData(folder);
  };
  try {
    const sql = postgres(database.adminDbUrl, { max: 1, onnotice: () => {} });
    await applyPlatform(sql);
    await maintainPartitions(sql);
    await sql.unsafe(await Deno.readTextFile(join(import.meta.dirname!, "debian-extensions.sql")));
    await sql.end();
    await applyMigrations({ project: repository, dataDir: folder, dbUrl: database.dbUrl, log });
  } catch (error) {
    await stop();
    throw error;
  }
  const { dbUrl, adminDbUrl } = database;
  return { dbUrl, adminDbUrl, [Symbol.asyncDispose]: stop };
}

// On the platform an extension lets `postgres`, which is no superuser, create some that only a superuser could. Postgres
// has a word for that in the control file, `trusted`, which Debian's files do not have. Postgres looks for its files
// beside its binaries, so a tree of links with control files of its own is enough.
async function copyInstallation(folder: string): Promise<string> {
  const native = join(folder, "lib", "postgresql", version);
  const share = join(folder, "share", "postgresql", version);
  await Deno.mkdir(join(native, "bin"), { recursive: true });
  await Deno.mkdir(join(share, "extension"), { recursive: true });
  await Deno.symlink(join(installed.lib, "lib"), join(native, "lib"));
  // A link would be followed, back to where it came from.
  for (const name of ["initdb", "pg_ctl", "postgres"]) {
    await Deno.copyFile(join(installed.lib, "bin", name), join(native, "bin", name));
  }
  for await (const { name } of Deno.readDir(installed.share)) {
    if (name !== "extension") await Deno.symlink(join(installed.share, name), join(share, name));
  }
  const extensions = join(installed.share, "extension");
  for await (const { name } of Deno.readDir(extensions)) {
    const [source, target] = [join(extensions, name), join(share, "extension", name)];
    if (!privilegedExtensions.some((extension) => name === `${extension}.control`)) await Deno.symlink(source, target);
    else await Deno.writeTextFile(target, `${await Deno.readTextFile(source)}\ntrusted = true\n`);
  }
  await addCronVersions(join(share, "extension"));
  return native;
}

/** Versions of pg_cron that differ in name only: with the stand-in's SQL surface, for what depends on the version. */
export const namedCronVersions = ["1.5", "1.6", "1.6.4", "1.10", "2.0"];

async function addCronVersions(folder: string): Promise<void> {
  const surface = await Deno.readTextFile(join(repository, "local", "cron", "cron.sql"));
  for (const version of namedCronVersions) await Deno.writeTextFile(join(folder, `pg_cron--${version}.sql`), surface);
}
