import { join, resolve } from "node:path";
import { parseProjectConfig } from "./config.ts";
import { type CronRunner, startCron } from "./cron/runner.ts";
import { type FunctionsOptions, startFunctions } from "./functions.ts";
import { startGateway } from "./gateway.ts";
import { type LocalKeys, localKeys, type Signing, verifyingKeys } from "./keys.ts";
import { startLite } from "./lite.ts";
import { type DataLock, lockData } from "./lock.ts";
import { type Log, toStderr } from "./log.ts";
import { applyMigrations } from "./migrations.ts";
import { removeCluster, type RestartMode, startPostgres } from "./postgres.ts";
import { type RealtimeControl, startRealtime } from "./realtime.ts";
import type { RealtimeLimits } from "./realtime/limits.ts";

export type LocalStackOptions = {
  /** Where data is kept between starts; `.muster` in the repository by default. */
  dataDir?: string;
  /** Preferred ports, by default 54321 and 54322; a taken one gives the next free one, 0 any free one. */
  ports?: { gateway?: number; database?: number };
  /** Lives in a temporary folder, on any free ports, and leaves nothing behind. */
  ephemeral?: boolean;
  /** What signs tokens of workers and clients. `HS256`, the default, is a project that has imported no key. */
  signing?: Signing;
  /** The folder with `supabase/` and `functions/`; this repository by default. */
  project?: string;
  /** Instead of the service's own limits: a test can reach them then. */
  realtime?: { limits?: Partial<RealtimeLimits> };
  /** Instead of what the stack tells Postgres: for measurements. */
  postgresSettings?: Record<string, string>;
  /** Instead of the process that hosts all functions of `project`: a test can start others, in another way. */
  startFunctions?: (options: FunctionsOptions) => Promise<{ readonly pid: number; stop(): Promise<void> }>;
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
  /** The processes of the moment: one that ended, however, is started again under another id. */
  readonly pids: Record<"launcher" | "postgres" | "lite" | "functions" | "realtime" | "gateway", number>;
  /** For tests, like the two below. */
  realtime: RealtimeControl;
  cron: Pick<CronRunner, "pause" | "resume">;
  /** Resolves when connections are taken again; `immediate` is a crash with its recovery. */
  restartPostgres(mode: RestartMode): Promise<void>;
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
  const { ephemeral = false, project = repository, log = toStderr, signal, signing = "HS256" } = options;
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

    const keys = await localKeys(dataDir);
    const gateway = await startGateway({ port: preferred.gateway, keys, log });
    undo.push(() => gateway.stop());
    const { url } = gateway;
    mark("gateway");
    check();

    const database = await startPostgres({
      ...{ dataDir, port: preferred.database, ephemeral, log, settings: options.postgresSettings ?? {} },
    });
    undo.push(() => database.stop());
    const { dbUrl, adminDbUrl } = database;
    mark("postgres");
    check();

    const verifying = verifyingKeys(keys, signing);
    const config = parseProjectConfig(await Deno.readTextFile(join(project, "supabase", "config.toml")));
    const storageDir = join(dataDir, "storage");
    const lite = await startLite(
      { ...config, ...verifying, adminDbUrl, url, storageDir },
      log,
      (port) => gateway.setUpstream("lite", port),
    );
    undo.push(() => lite.stop());
    mark("lite");
    check();

    // Functions and Realtime need the platform only, so they start while the migrations run.
    const [functions, realtime] = await allOrThrow([
      (options.startFunctions ?? startFunctions)({
        ...{ dir: join(project, "functions"), url, dbUrl, keys, signing, log },
        onPort: (port) => gateway.setUpstream("functions", port),
      }).then((functions) => {
        undo.push(() => functions.stop());
        mark("functions");
        return functions;
      }),
      startRealtime({
        ...{ dbUrl: adminDbUrl, ...verifying, log, ...options.realtime },
        onPort: (port) => gateway.setUpstream("realtime", port),
      }).then((realtime) => {
        undo.push(() => realtime.stop());
        mark("realtime");
        return realtime;
      }),
      applyMigrations({ project, dataDir, dbUrl, log }).then(() => mark("migrations")),
    ]);
    check();

    const cron: CronRunner = await startCron(adminDbUrl, log);
    undo.push(() => cron.stop());
    mark("cron");
    check();

    await gateway.settled();
    signal?.addEventListener("abort", () => void stop(), { once: true });
    await lock.describe({ pid: Deno.pid, url, dbUrl, secretKey: keys.secretKey });
    return {
      ...{ ...keys, url, dbUrl, adminDbUrl, dataDir, timings, cron, stop },
      realtime: realtime.control,
      restartPostgres: database.restart,
      get pids() {
        return {
          ...{ launcher: Deno.pid, postgres: database.pid, lite: lite.pid, functions: functions.pid },
          ...{ realtime: realtime.pid, gateway: gateway.pid },
        };
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
async function allOrThrow<T extends unknown[]>(parts: [...{ [K in keyof T]: Promise<T[K]> }]): Promise<T> {
  const results = await Promise.allSettled(parts);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as T;
}
