import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { closeSync, openSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { endWithin } from "./child.ts";
import { localKeys } from "./keys.ts";
import type { Log } from "./log.ts";
import { Pauses } from "./pauses.ts";
import { freePort, isPortFree } from "./ports.ts";
import { findPostgresHome, ownedFolder, type PostgresHome } from "./postgres-home.ts";

export type Postgres = {
  port: number;
  /** Of the moment: a server that was killed is started again. */
  readonly pid: number;
  /** As `postgres`, which owns the database but is no superuser, as on the platform. */
  dbUrl: string;
  /** As the superuser `supabase_admin`. */
  adminDbUrl: string;
  /** Stops the server and starts it again; resolves when connections are taken. */
  restart(mode: RestartMode): Promise<void>;
  stop(): Promise<void>;
};

/** As pg_ctl names them: `fast` closes the connections and shuts down, `immediate` crashes and is recovered from. */
export type RestartMode = "fast" | "immediate";

export type PostgresOptions = {
  dataDir: string;
  port: number;
  /** For data that is deleted at the end: survives a kill of Postgres, but not of the machine. */
  ephemeral?: boolean;
  /** For measurements: beside those that the stack sets, and instead of them. */
  settings?: Record<string, string>;
  /** For tests: another Postgres than the embedded one. */
  server?: PostgresServer;
  log: Log;
};

export type PostgresServer = {
  /** The folder with bin, lib and, where that one looks for it, share; whoever runs Postgres can read it. */
  native: string;
  /** Beside those that the stack sets. */
  settings: Record<string, string>;
};

const superuser = "supabase_admin";
const startWithinMs = 60_000;
const stopWithinMs = 10_000;
/** The server processes of a killed one take a moment to notice and let go of its memory. */
const pausesBetweenStarts = { firstMs: 100, mostMs: 5_000, resetAfterMs: 10_000 };

const settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  timezone: "UTC",
  log_timezone: "UTC",
  wal_level: "logical",
  max_replication_slots: "8",
  max_wal_senders: "8",
  max_connections: "100",
  // Small, for a laptop: the whole stack shall stay under 700 MB.
  shared_buffers: "48MB",
  work_mem: "4MB",
  maintenance_work_mem: "32MB",
  max_wal_size: "256MB",
  min_wal_size: "32MB",
  autovacuum_max_workers: "1",
  max_parallel_workers_per_gather: "0",
  max_worker_processes: "4",
  autovacuum_naptime: "15s",
  log_min_messages: "warning",
  log_checkpoints: "off",
  log_line_prefix: "%m [%p] %u ",
  // The schema of the stack is small and its queries short: compiling them costs more than it saves.
  jit: "off",
};

/**
 * Starts Postgres on a cluster in `dataDir`, which is made when it is not there, with the password of that folder's keys.
 * Takes the port or one after it.
 */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const { dataDir, port: preferred, ephemeral = false, server, log } = options;
  const told = { ...settings, ...(ephemeral && { fsync: "off" }), ...options.settings, ...server?.settings };
  const { databasePassword: password } = await localKeys(dataDir);
  const home = { ...await findPostgresHome(dataDir), ...(server && { native: server.native }) };
  if (!await exists(join(home.data, "PG_VERSION"))) await createCluster(home, password);
  await stopLeftover(home, log);
  // One start's log is kept, so that it does not grow for ever.
  await Deno.writeTextFile(join(dataDir, "postgres.log"), "");

  for (let port = freePort(preferred);; port = freePort(port + 1)) {
    const start = () => launch(home, dataDir, port, told);
    const running = start();
    if (await isReady(home, running)) return attach(home, running, start, { port, password, log });
    // Somebody took the port between the look and the start.
    if (!isPortFree(port)) continue;
    throw new Error(`Cannot start Postgres: see ${join(dataDir, "postgres.log")}`);
  }
}

/** Forgets the cluster of a data folder, wherever it lives. */
export async function removeCluster(dataDir: string): Promise<void> {
  const { data } = await findPostgresHome(dataDir);
  await Deno.remove(data, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

type Running = { process: ChildProcess; exited: Promise<string> };

async function createCluster(home: PostgresHome, password: string): Promise<void> {
  await Deno.remove(home.data, { recursive: true }).catch(() => {});
  await ownedFolder(home.data, home.account);
  const passwordFile = await Deno.makeTempFile({ prefix: "muster-" });
  await Deno.writeTextFile(passwordFile, password);
  if (home.account) await Deno.chown(passwordFile, home.account.uid, home.account.gid);
  try {
    const { success, stderr } = await new Deno.Command(join(home.native, "bin", "initdb"), {
      args: [
        ...["-D", home.data, "-U", superuser, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"],
        ...["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"],
      ],
      ...asAccount(home),
      cwd: home.account ? "/" : home.data,
      stdout: "null",
    }).output();
    if (!success) throw new Error(`Cannot create a Postgres cluster: ${new TextDecoder().decode(stderr).trim()}`);
  } catch (error) {
    await Deno.remove(home.data, { recursive: true }).catch(() => {});
    throw error;
  } finally {
    await Deno.remove(passwordFile);
  }
}

// After a crash of the launcher its watcher stops Postgres; this waits for that, or does it where there is no watcher.
async function stopLeftover(home: PostgresHome, log: Log): Promise<void> {
  const pidFile = join(home.data, "postmaster.pid");
  if (!await exists(pidFile)) return;
  log("postgres", "Stopping a Postgres that an earlier start left behind");
  await pgCtl(home, ["stop", "-D", home.data, "-m", "fast", "-w", "-t", "20"]);
}

function launch(home: PostgresHome, dataDir: string, port: number, settings: Record<string, string>): Running {
  const output = openSync(join(dataDir, "postgres.log"), "a");
  const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const process = spawn(join(home.native, "bin", "postgres"), ["-D", home.data, "-p", String(port), ...options], {
    // Its own process group: Ctrl-C is for the launcher, which stops Postgres last.
    detached: true,
    cwd: home.data,
    stdio: ["ignore", output, output],
    ...asAccount(home),
  });
  closeSync(output);
  const exited = new Promise<string>((resolve) => {
    process.once("exit", (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
    process.once("error", (error) => resolve(error.message));
  });
  return { process, exited };
}

// The last line of postmaster.pid says when connections are taken; asking it costs no failed connections in the log.
async function isReady(home: PostgresHome, { process, exited }: Running): Promise<boolean> {
  let ended = false;
  exited.then(() => ended = true);
  const pidFile = join(home.data, "postmaster.pid");
  for (const deadline = Date.now() + startWithinMs; Date.now() < deadline && !ended; await wait(10)) {
    const lines = (await Deno.readTextFile(pidFile).catch(() => "")).split("\n");
    if (Number(lines[0]) === process.pid && lines[7]?.trim() === "ready") return true;
  }
  if (!ended) process.kill("SIGKILL");
  await exited;
  return false;
}

function attach(
  home: PostgresHome,
  first: Running,
  start: () => Running,
  { port, password, log }: { port: number; password: string; log: Log },
): Postgres {
  const stopping = new AbortController();
  const pauses = new Pauses(pausesBetweenStarts);
  const watcher = watch(home);
  let current = first;
  let startedAt = performance.now();
  // Resolves when the server of the moment takes connections, or the stop has begun.
  let ready: Promise<void> = Promise.resolve();
  follow();

  function follow(): void {
    current.exited.then((reason) => {
      if (!stopping.signal.aborted) ready = startAgain(reason);
    });
  }

  async function startAgain(reason: string): Promise<void> {
    for (let why = reason; !stopping.signal.aborted; why = "no connections taken") {
      log("postgres", `ended with ${why}; starting it again`);
      await wait(pauses.next(performance.now() - startedAt), stopping.signal);
      if (stopping.signal.aborted) return;
      startedAt = performance.now();
      current = start();
      if (await isReady(home, current)) return follow();
    }
  }

  async function signal(mode: RestartMode): Promise<void> {
    if (Deno.build.os === "windows") await pgCtl(home, ["stop", "-D", home.data, "-m", mode, "-W"]);
    else current.process.kill(mode === "fast" ? "SIGINT" : "SIGQUIT");
  }

  const url = (user: string) => `postgresql://${user}:${password}@127.0.0.1:${port}/postgres?sslmode=disable`;
  return {
    port,
    get pid() {
      return current.process.pid!;
    },
    dbUrl: url("postgres"),
    adminDbUrl: url(superuser),
    async restart(mode) {
      await ready;
      const { exited } = current;
      await signal(mode);
      await exited;
      await ready;
    },
    async stop() {
      stopping.abort();
      await ready;
      await signal("fast");
      await endWithin(current.process, current.exited, stopWithinMs);
      watcher?.kill("SIGKILL");
    },
  };
}

// A shell that waits for the end of a pipe from the launcher and then stops Postgres: it outlives even kill -9. Windows
// has none; there the next start stops what was left.
function watch(home: PostgresHome): ChildProcess | undefined {
  if (Deno.build.os === "windows") return undefined;
  const script = 'cat >/dev/null; exec "$0" stop -D "$1" -m fast -W';
  return spawn("/bin/sh", ["-c", script, join(home.native, "bin", "pg_ctl"), home.data], {
    detached: true,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    ...asAccount(home),
  });
}

async function pgCtl(home: PostgresHome, args: string[]): Promise<void> {
  await new Deno.Command(join(home.native, "bin", "pg_ctl"), {
    args,
    cwd: home.account ? "/" : home.data,
    stdout: "null",
    stderr: "null",
    ...asAccount(home),
  }).output();
}

function asAccount({ account }: PostgresHome): { uid?: number; gid?: number } {
  return account ? { uid: account.uid, gid: account.gid } : {};
}

function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

/** Ends early, without an error, when the signal fires. */
async function wait(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal && { signal }).catch(() => {});
}
