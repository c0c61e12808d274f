import { join, resolve } from "node:path";
import process from "node:process";
import { LineProcess } from "./line-process.ts";

/** Systems as they are run for comparison; graphile-worker in two ways. */
export type PeerName = "graphile default" | "graphile batched" | "pg-boss";

const folder = resolve(import.meta.dirname!, "peers");
const modes: Record<PeerName, [system: string, mode: string]> = {
  "graphile default": ["graphile", "default"],
  "graphile batched": ["graphile", "batched"],
  "pg-boss": ["pg-boss", "tuned"],
};

/** Puts what the lock file of the peers says into a folder of their own, when it is not there yet. */
export async function installPeers(): Promise<void> {
  const stamp = join(folder, "node_modules", ".muster-lock");
  const lock = await Deno.readTextFile(join(folder, "package-lock.json"));
  if (await Deno.readTextFile(stamp).catch(() => "") === lock) return;
  console.error("Installing graphile-worker, pg-boss and Node 22 with npm ci in bench/peers (once) …");
  const npmCli = process.env["npm_execpath"]?.endsWith(".js") ? process.env["npm_execpath"] : undefined;
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const command = npmCli ? [process.env["MUSTER_NODE"] ?? "node", npmCli, ...args] : ["npm", ...args];
  const { success } = await new Deno.Command(command[0]!, {
    args: command.slice(1),
    ...{ cwd: folder, stdin: "null", stdout: "inherit", stderr: "inherit" },
  }).output();
  if (!success) throw new Error("Cannot install the peers: npm ci failed in bench/peers");
  await Deno.writeTextFile(stamp, lock);
}

export async function peerVersions(): Promise<Record<string, string>> {
  return JSON.parse(await Deno.readTextFile(join(folder, "package.json"))).dependencies;
}

/** A process of Node that runs one of the peers on a database of its own, which it has prepared. */
export class Peer implements AsyncDisposable {
  readonly #process: LineProcess;

  private constructor(process: LineProcess) {
    this.#process = process;
  }

  static async start(name: PeerName, url: string): Promise<Peer> {
    const peer = new LineProcess(join(folder, "node_modules", "node", "bin", "node"), [
      join(folder, "peer.mjs"),
      ...modes[name],
      url,
    ]);
    // It says when it is ready.
    await peer.next();
    return new Peer(peer);
  }

  /** Hands in jobs by the peer's own call for many; answers how long that took. */
  add(jobs: number, options: { batch: number; queue?: string }): Promise<{ ms: number; clientCpuMs: number }> {
    return this.#process.tell({ kind: "add", jobs, ...options });
  }

  async drain(jobs: number): Promise<{ ms: number; clientCpuMs: number }> {
    const answer = await this.#process.tell<{ ms: number; jobs: number; clientCpuMs: number }>({ kind: "drain", jobs });
    if (answer.jobs !== jobs) throw new Error(`A peer did ${answer.jobs} of ${jobs} jobs`);
    return answer;
  }

  /** From handing in one job to the start of its handler, in milliseconds. */
  async latency(samples: number, warmUps: number): Promise<number[]> {
    return (await this.#process.tell<{ times: number[] }>({ kind: "latency", samples, warmUps })).times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.end({ kind: "close" });
  }
}
