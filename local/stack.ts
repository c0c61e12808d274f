import { join, resolve } from "node:path";
import { parseProjectConfig } from "./config.ts";
import { type CronRunner, startCron } from "./cron/runner.ts";
import { startFunctions } from "./functions.ts";
import { startGateway, type Upstreams } from "./gateway.ts";
import { type LocalKeys, localKeys } from "./keys.ts";
import { startLite } from "./lite.ts";
import { type DataLock, lockData } from "./lock.ts";
import { type Log, toStderr } from "./log.ts";
import { applyMigrations } from "./migrations.ts";
import { removeCluster, startPostgres } from "./postgres.ts";
import { createRealtime, type Realtime } from "./realtime/server.ts";

export type LocalStackOptions = {
  /** Where data is kept between starts; `.muster` in the repository by default. */
  dataDir?: string;
  /** Preferred ports, by default 54321 and 54322; a taken one gives the next free one, 0 any free one. */
  ports?: { gateway?: number; database?: number };
  /** Lives in a temporary folder, on any free ports, and leaves nothing behind. */
  ephemeral?: boolean;
  /** The folder with `supabase/` and `functions/`; this repository by default. */
  project?: string;
  log?: Log;
  /** Stops the stack when it fires, also while it is still starting. */
  signal?: AbortSignal;
};

export type LocalStack = LocalKeys & AsyncDisposable & {
  url: string;
  /** As `postgres`, the role of migrations: no superuser. */
  dbUrl: string;
  /** As the superuser `supabase_admin`. */
  adminDbUrl: string;
  dataDir: string;
  /** What each part of the start took, in milliseconds since its beginning. */
  timings: Record<string, number>;
  /** The processes of the moment: a child that ended is started again under another id. */
  readonly pids: Record<string, number>;
  /** For tests: switches the service off and on, and makes faults. */
  realtime: Realtime;
  stop(): Promise<void>;
};

const repository = resolve(import.meta.dirname!, "..");
export const defaultPorts = { gateway: 54321, database: 54322 };
export const defaultDataDir = join(repository, ".muster");

/**
 * Starts Postgres, the Data API with Auth and Storage, the functions, Realtime and cron behind one gateway, with the
 * migrations of the tree applied. Nothing but a reference to it keeps it alive: stop it, or `await using` it.
 */
export async function startLocalStack(options: LocalStackOptions = {}): Promise<LocalStack> {
  const { ephemeral = false, project = repository, log = toStderr, signal } = options;
  const dataDir = ephemeral ? await temporaryFolder() : resolve(options.dataDir ?? defaultDataDir);
  const preferred = ephemeral ? { gateway: 0, database: 0, ...options.ports } : { ...defaultPorts, ...options.ports };
  const timings: Record<string, number> = {};
  const started = performance.now();
  const mark = (part: string) => timings[part] = Math.round(performance.now() - started);

  // What has been started, in order; stopping goes backwards.
  const undo: (() => Promise<void>)[] = [];
  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= unwind(undo, log);
  const check = () => signal?.throwIfAborted();

  try {
    const lock: DataLock = await lockData(dataDir);
    undo.push(async () => {
      await lock.release();
      if (ephemeral) await forgetData(dataDir);
    });

    const keys = await localKeys();
    const upstreams: Upstreams = {};
    const gateway = startGateway(preferred.gateway, keys, upstreams);
    undo.push(() => gateway.stop());
    const { url } = gateway;

    const database = await startPostgres({ dataDir, port: preferred.database, ephemeral, log });
    undo.push(() => database.stop());
    const { dbUrl, adminDbUrl } = database;
    mark("postgres");
    check();

    const config = parseProjectConfig(await Deno.readTextFile(join(project, "supabase", "config.toml")));
    const storageDir = join(dataDir, "storage");
    const liteSettings = { ...config, port: 0, adminDbUrl, jwtSecret: keys.jwtSecret, url, storageDir };
    const lite = await startLite(liteSettings, log);
    undo.push(() => lite.stop());
    upstreams.lite = lite;
    mark("lite");
    check();

    const children: Record<string, { pid: number }> = { launcher: { pid: Deno.pid }, postgres: database, lite };
    let realtime: Realtime | undefined;
    // Functions and Realtime need the platform only, so they start while the migrations run.
    await allOrThrow([
      applyMigrations({ project, dataDir, dbUrl, log }).then(() => mark("migrations")),
      (async () => {
        const functions = await startFunctions({ dir: join(project, "functions"), url, dbUrl, keys, log });
        undo.push(() => functions.stop());
        upstreams.functions = functions;
        children.functions = functions;
        mark("functions");
      })(),
      (async () => {
        const say = (line: object) => log("realtime", JSON.stringify(line));
        realtime = createRealtime({ dbUrl: adminDbUrl, jwtSecret: keys.jwtSecret, log: say });
        undo.push(() => realtime!.stop());
        await realtime.start();
        upstreams.realtime = realtime;
        mark("realtime");
      })(),
    ]);
    check();

    const cron: CronRunner = await startCron(adminDbUrl, log);
    undo.push(() => cron.stop());
    mark("cron");
    check();

    signal?.addEventListener("abort", () => void stop(), { once: true });
    await lock.describe({ pid: Deno.pid, url, dbUrl, secretKey: keys.secretKey });
    return {
      ...{ ...keys, url, dbUrl, adminDbUrl, dataDir, timings, realtime: realtime!, stop },
      get pids() {
        return Object.fromEntries(Object.entries(children).map(([name, { pid }]) => [name, pid]));
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Removes everything a stack keeps in its data folder. */
export async function forgetData(dataDir: string): Promise<void> {
  await removeCluster(dataDir);
  await Deno.remove(dataDir, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

async function temporaryFolder(): Promise<string> {
  const path = await Deno.makeTempDir({ prefix: "muster-" });
  // Started by root, Postgres runs as another account, which has to get to its part of the folder.
  if (Deno.build.os !== "windows") await Deno.chmod(path, 0o711);
  return path;
}

async function unwind(undo: (() => Promise<void>)[], log: Log): Promise<void> {
  for (const step of undo.reverse()) {
    await step().catch((error) => log("stack", `while stopping: ${error.message}`));
  }
}

// Unlike Promise.all it waits for all, so that nothing is still starting when the stop begins.
async function allOrThrow(parts: Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(parts)) if (result.status === "rejected") throw result.reason;
}
