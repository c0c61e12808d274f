import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Log } from "./log.ts";

export type Child = {
  pid: number;
  /** What the child printed as its first line: `{"port": 1234}`. */
  port: number;
  stop(): Promise<void>;
};

export type ChildOptions = {
  name: string;
  script: string;
  args?: string[];
  env?: Record<string, string>;
  log: Log;
  /** Called when the child ends without having been stopped. */
  onExit?: (reason: string) => void;
};

/** How long a child has to finish what it is doing before it is killed. */
const stopWithinMs = 3_000;

/**
 * Starts one of our own scripts as a child process and waits for the port it serves.
 *
 * The child has its own process group, so that Ctrl-C reaches the launcher alone and parts stop in order. Its stdin is
 * a pipe to the launcher: it ends when the launcher does, however that dies, and the child then leaves by itself.
 */
export async function startChild({ name, script, args = [], env = {}, log, onExit }: ChildOptions): Promise<Child> {
  const child = spawn(Deno.execPath(), ["run", "-A", "--no-prompt", ...args, script], {
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...Deno.env.toObject(), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
  });
  let stopping = false;
  const exited = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
    child.once("error", (error) => resolve(error.message));
  });
  createInterface({ input: child.stderr! }).on("line", (line) => log(name, line));

  const port = await firstLine(child, name, exited, log);
  exited.then((reason) => {
    if (!stopping) onExit?.(reason);
  });
  return {
    pid: child.pid!,
    port,
    async stop() {
      stopping = true;
      child.stdin!.end();
      await endWithin(child, exited, stopWithinMs);
    },
  };
}

/** Waits for a process that was asked to stop, and kills it when it does not. */
export async function endWithin(child: ChildProcess, exited: Promise<unknown>, ms: number): Promise<void> {
  const timer = setTimeout(() => child.kill("SIGKILL"), ms);
  await exited;
  clearTimeout(timer);
}

function firstLine(child: ChildProcess, name: string, exited: Promise<string>, log: Log): Promise<number> {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const ready = /^\{"port":(\d+)\}$/.exec(line);
      if (ready) resolve(Number(ready[1]));
      else log(name, line);
    });
    exited.then((reason) => reject(new Error(`Cannot start ${name}: it ended with ${reason}`)));
  });
}
