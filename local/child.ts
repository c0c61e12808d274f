import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Log } from "./log.ts";

export type Child = {
  pid: number;
  /** What the child printed as its first line: `{"port": 1234}`. */
  port: number;
  /** Gives the child other settings; resolves when it has taken them, rejects when it refuses them or ends. */
  tell(settings: object): Promise<void>;
  stop(): Promise<void>;
};

export type ChildOptions = {
  name: string;
  script: string;
  args?: string[];
  env?: Record<string, string>;
  /** What the child reads by `childSettings()`. */
  settings?: object;
  log: Log;
  /** Called when the child ends without having been stopped. */
  onExit?: (reason: string) => void;
  /** How long the child has to print its port. Default 30 s. */
  startWithinMs?: number;
  /** Ends a child that is still starting. */
  signal?: AbortSignal;
};

/** How long a child has to finish what it is doing before it is killed. */
const stopWithinMs = 3_000;

/**
 * Starts one of our own scripts as a child process and waits for the port it serves.
 *
 * The child has its own process group, so that Ctrl-C reaches the launcher alone and parts stop in order. Its stdin is
 * a pipe to the launcher: it ends when the launcher does, however that dies, and the child then leaves by itself.
 */
export async function startChild(options: ChildOptions): Promise<Child> {
  const { name, script, args = [], env = {}, settings = {}, log, onExit, startWithinMs = 30_000, signal } = options;
  const child = spawn(Deno.execPath(), ["run", "-A", "--no-prompt", ...args, script], {
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...inherited(Deno.env.toObject()),
      NO_COLOR: "1",
      DENO_NO_UPDATE_CHECK: "1",
      ...env,
      MUSTER_SETTINGS: JSON.stringify(settings),
    },
  });
  let stopping = false;
  const exited = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
    child.once("error", (error) => resolve(error.message));
  });
  // Writing to a child that has just died; `exited` says so, too.
  child.stdin!.on("error", () => {});
  createInterface({ input: child.stderr! }).on("line", (line) => log(name, line));

  let endedWith: string | undefined;
  const ready = Promise.withResolvers<number>();
  const told = new Map<number, PromiseWithResolvers<void>>();
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const said = parseLine(line);
    if (said?.port !== undefined) return ready.resolve(said.port);
    if (said?.told === undefined) return log(name, line);
    const waiting = told.get(said.told);
    if (said.error === undefined) waiting?.resolve();
    else waiting?.reject(new Error(`Cannot change ${name}: ${said.error}`));
  });
  exited.then((reason) => {
    endedWith = reason;
    ready.reject(new Error(`Cannot start ${name}: it ended with ${reason}`));
    for (const { reject } of told.values()) reject(new ChildEndedError(name, reason));
  });

  const port = await orKill(ready.promise);
  exited.then((reason) => {
    if (!stopping) onExit?.(reason);
  });
  let lastTold = 0;
  return {
    pid: child.pid!,
    port,
    async tell(settings) {
      if (endedWith !== undefined) throw new ChildEndedError(name, endedWith);
      const id = ++lastTold;
      const answer = Promise.withResolvers<void>();
      told.set(id, answer);
      child.stdin!.write(JSON.stringify({ id, settings }) + "\n");
      await answer.promise.finally(() => told.delete(id));
    },
    async stop() {
      stopping = true;
      child.stdin!.end();
      await endWithin(child, exited, stopWithinMs);
    },
  };

  async function orKill(ready: Promise<number>): Promise<number> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(new Error(`Cannot start ${name}: it did not serve within ${startWithinMs / 1000} s`));
    }, startWithinMs);
    const giveUp = () => late.reject(signal!.reason);
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted) giveUp();
    try {
      return await Promise.race([ready, late.promise]);
    } catch (error) {
      child.kill("SIGKILL");
      await exited;
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    }
  }
}

/** The child was there and is gone; it may have been started again by whoever supervises it. */
export class ChildEndedError extends Error {
  override name = "ChildEndedError";
  constructor(child: string, reason: string) {
    super(`Cannot reach ${child}: it ended with ${reason}`);
  }
}

/** Waits for a process that was asked to stop, and kills it when it does not. */
export async function endWithin(child: ChildProcess, exited: Promise<unknown>, ms: number): Promise<void> {
  const timer = setTimeout(() => child.kill("SIGKILL"), ms);
  await exited;
  clearTimeout(timer);
}

// What a developer's shell holds for a hosted project or another worker must not change the local one.
function inherited(environment: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !/^(MUSTER|SUPABASE)_/.test(name)));
}

function parseLine(line: string): { port?: number; told?: number; error?: string } | undefined {
  // What a part logs on stdout may be JSON, too.
  if (!/^\{"(port|told)":\d+[,}]/.test(line)) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
