import { join } from "node:path";
import { fileURLToPath } from "node:url";

const prelude = fileURLToPath(new URL("prelude.ts", import.meta.url));
const startWithinMs = 60_000;

export interface FunctionProcess {
  readonly port: number;
  /** From the start of the process until it listened. */
  readonly startMs: number;
  stop(): Promise<void>;
}

export interface FunctionProcessOptions {
  readonly folder: string;
  /** Relative to the folder, as the CLI sent them. */
  readonly entrypoint: string;
  readonly importMap: string | undefined;
  readonly packages: string;
  /** The folder of all uploads, which no function may write to, although it lies in a temporary folder. */
  readonly root: string;
  readonly environment: Record<string, string>;
  readonly log: (line: string) => void;
}

/**
 * Runs an upload's entrypoint as it is, with the permissions of the hosted runtime: the network, its environment, its
 * own files and /tmp; no other file, no process, no library, no thread; 256 MB of heap.
 */
export async function startFunctionProcess(options: FunctionProcessOptions): Promise<FunctionProcess> {
  const { folder, entrypoint, importMap, packages, root, environment, log } = options;
  const began = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--cached-only", "--node-modules-dir=manual", "--v8-flags=--max-heap-size=256"],
      ...(importMap === undefined ? ["--no-config"] : ["--config", join(folder, importMap)]),
      ...["--preload", prelude],
      ...["--allow-net", "--allow-env", `--allow-read=${folder},${packages},/tmp`],
      ...["--allow-write=/tmp", `--deny-write=${root}`],
      join(folder, entrypoint),
    ],
    cwd: folder,
    clearEnv: true,
    env: {
      ...environment,
      DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0",
      DENO_DIR: join(root, "deno"),
      DENO_NO_UPDATE_CHECK: "1",
      NO_COLOR: "1",
      // Deno does not start without it on Windows.
      ...(Deno.build.os === "windows" ? { SystemRoot: Deno.env.get("SystemRoot") ?? "" } : {}),
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  const said: string[] = [];
  const listening = Promise.withResolvers<number>();
  const follow = async (stream: ReadableStream<Uint8Array>) => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        const port = /^Listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port !== undefined) listening.resolve(Number(port));
        said.push(line);
        log(line);
      }
    }
  };
  const read = Promise.all([follow(child.stdout), follow(child.stderr)]);
  const ended = child.status.then(async ({ code, signal }) => {
    await read;
    listening.reject(new Error(`It ended with ${signal ?? `exit code ${code}`}: ${said.slice(-8).join("\n")}`));
  });
  const timer = setTimeout(() => listening.reject(new Error("It does not listen")), startWithinMs);
  const stop = async () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It is gone already.
    }
    await ended;
  };
  try {
    const port = await listening.promise;
    return { port, startMs: performance.now() - began, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
