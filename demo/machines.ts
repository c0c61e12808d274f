import { resolve } from "node:path";

const repository = resolve(import.meta.dirname!, "..");

/** Worker processes that end with the demo, whatever happens to it. */
export class Machines implements AsyncDisposable {
  readonly #folder: string;
  readonly #url: string;
  readonly #token: string;
  readonly #signal: AbortSignal;
  readonly #running = new Map<string, Machine>();

  constructor(folder: string, url: string, token: string, signal: AbortSignal) {
    this.#folder = folder;
    this.#url = url;
    this.#token = token;
    this.#signal = signal;
  }

  async start(capabilities: Record<string, string[]>): Promise<void> {
    const settings = { url: this.#url, token: this.#token, slots: 4, folder: this.#folder };
    for (const [name, of] of Object.entries(capabilities)) {
      this.#running.set(name, startMachine({ name, capabilities: of, ...settings }));
    }
    const stopped = new Promise<never>((_, reject) => {
      this.#signal.addEventListener("abort", () => reject(this.#signal.reason), { once: true });
    });
    await Promise.race([Promise.all([...this.#running.values()].map(({ online }) => online)), stopped]);
  }

  async kill(name: string): Promise<void> {
    const machine = this.#running.get(name);
    if (!machine) throw new Error(`There is no machine ${name}`);
    this.#running.delete(name);
    await machine.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map((machine) => machine.stop()));
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** A worker script running as a process of its own, as on another machine. */
type Machine = {
  name: string;
  /** Resolves once it takes jobs, rejects when it ends before that. */
  online: Promise<void>;
  /** Ends it as a power cut does. */
  kill(): Promise<void>;
  /** Ends it as Ctrl-C does. */
  stop(): Promise<void>;
};

type MachineOptions = {
  name: string;
  url: string;
  token: string;
  capabilities: string[];
  slots: number;
  folder: string;
};

/** Starts `npm run worker` under another name, with an identity file of its own. */
function startMachine({ name, url, token, capabilities, slots, folder }: MachineOptions): Machine {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--no-check", resolve(repository, "worker", "cli.ts")],
      ...["--url", url, "--name", name, "--slots", String(slots), "--identity", resolve(folder, `${name}.json`)],
      ...["--handlers", resolve(repository, "demo", "handlers"), "--log-format", "json"],
      ...capabilities.flatMap((capability) => ["--capability", capability]),
    ],
    // The token is no argument: those show in the list of processes.
    env: { MUSTER_TOKEN: token },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const complaints = new Response(child.stderr).text();
  let isOnline = false;
  const online = new Promise<void>((fulfil, reject) => {
    (async () => {
      let rest = "";
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        if (!isOnline && lines.some((line) => line.includes('"worker.online"'))) {
          isOnline = true;
          fulfil();
        }
      }
      await child.status;
      if (!isOnline) {
        reject(new Error(`Worker ${name} ended at once: ${(await complaints).trim() || "it gave no reason"}`));
      }
    })();
  });
  const end = async (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It is gone already.
    }
    await child.status;
  };
  return { name, online, kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
}
