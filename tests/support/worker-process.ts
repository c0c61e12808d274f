import { join } from "node:path";
import { project } from "./project.ts";

export interface WorkerProcessOptions {
  readonly token?: string | undefined;
  readonly name?: string;
  readonly capabilities?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly slots?: number;
  /** Default a new file in a temporary folder. */
  readonly identity?: string;
  readonly handlers?: string;
  readonly url?: string;
  /** Further arguments. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A script to load before the worker's, by its path in the repository. */
  readonly preload?: string;
}

/** A line that the worker script wrote with `--log-format json`. */
export interface WorkerLine {
  readonly event: string;
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** How long a test waits for what should take milliseconds, on the slowest machine. */
const patienceMs = 30_000;

/** Handlers that only tests need: test.sleep, test.flaky, test.talk, test.huge. */
export const testHandlers: string = join(import.meta.dirname ?? "", "../e2e/handlers");

/** The worker script as a process of its own, as a user starts it. */
export class WorkerProcess {
  readonly identity: string;
  readonly lines: WorkerLine[] = [];
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #waiting = new Set<() => void>();
  readonly #folder: string | undefined;
  #stderr = "";
  #isEnded = false;

  constructor(options: WorkerProcessOptions) {
    this.#folder = options.identity === undefined ? Deno.makeTempDirSync({ prefix: "muster-worker-" }) : undefined;
    this.identity = options.identity ?? join(this.#folder ?? "", "identity.json");
    const args = [
      ...["--url", options.url ?? project.url, "--identity", this.identity, "--log-format", "json"],
      ...(options.token === undefined ? [] : ["--token", options.token]),
      ...(options.name === undefined ? [] : ["--name", options.name]),
      ...(options.slots === undefined ? [] : ["--slots", String(options.slots)]),
      ...(options.handlers === undefined ? [] : ["--handlers", options.handlers]),
      ...(options.capabilities ?? []).flatMap((capability) => ["--capability", capability]),
      ...Object.entries(options.labels ?? {}).flatMap(([key, value]) => ["--label", `${key}=${value}`]),
      ...(options.args ?? []),
    ];
    const script = join(import.meta.dirname ?? "", "../../worker/cli.ts");
    const preload = options.preload === undefined
      ? []
      : [`--preload=${join(import.meta.dirname ?? "", "../..", options.preload)}`];
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", ...preload, script, ...args],
      env: { MUSTER_DEBUG: "1", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = Promise.all([this.#readLines(), this.#readErrors()]);
    this.ended = this.#child.status.then(async (status) => {
      await read;
      this.#isEnded = true;
      for (const look of this.#waiting) look();
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What it wrote to standard error so far. */
  get errors(): string {
    return this.#stderr;
  }

  /** The first line, already written or still to come, that the condition holds for. */
  waitFor(condition: string | ((line: WorkerLine) => boolean)): Promise<WorkerLine> {
    const holds = typeof condition === "string" ? (line: WorkerLine) => line.event === condition : condition;
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        act();
      };
      const look = () => {
        const found = this.lines.find(holds);
        if (found !== undefined) settle(() => resolve(found));
        else if (this.#isEnded) {
          settle(() => reject(new Error(`The worker ended without ${condition}: ${this.#story()}`)));
        }
      };
      const late = () => settle(() => reject(new Error(`The worker never said ${condition}: ${this.#story()}`)));
      const timer = setTimeout(late, patienceMs);
      this.#waiting.add(look);
      look();
    });
  }

  /** The id it enrolled with, or knew before. */
  get id(): string {
    const enrolled = this.lines.find(({ event }) => event === "worker.enrolled");
    if (enrolled === undefined) throw new Error(`The worker has not enrolled: ${this.#story()}`);
    return String(enrolled["workerId"]);
  }

  /** How many lines of the event it has written. */
  count(event: string): number {
    return this.lines.filter((line) => line.event === event).length;
  }

  /** Stands still for a while, as on a machine that sleeps. */
  async pause(milliseconds: number): Promise<void> {
    this.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    this.signal("SIGCONT");
  }

  /** The code it exits with by itself. */
  async exitCode(): Promise<number> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), patienceMs));
    const status = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (status === undefined) throw new Error(`The worker did not end: ${this.#story()}`);
    return status.code;
  }

  signal(name: Deno.Signal): void {
    this.#child.kill(name);
  }

  /** Ends it without a goodbye, as a power cut does. */
  async kill(): Promise<void> {
    if (!this.#isEnded) this.#child.kill("SIGKILL");
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#folder !== undefined) await Deno.remove(this.#folder, { recursive: true });
  }

  async #readLines(): Promise<void> {
    let rest = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) if (line !== "") this.lines.push(toLine(line));
      for (const look of this.#waiting) look();
    }
  }

  async #readErrors(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) this.#stderr += text;
  }

  #story(): string {
    return [...this.lines.map(({ event, message }) => `${event} ${message}`), this.#stderr].join("\n  ");
  }
}

/** With `--log-format text` a line is only a message. */
function toLine(line: string): WorkerLine {
  return line.startsWith("{") ? JSON.parse(line) : { event: "text", level: "info", message: line };
}

/** Starts the worker script and waits until it takes jobs. */
export async function startWorker(options: WorkerProcessOptions): Promise<WorkerProcess> {
  const worker = new WorkerProcess(options);
  try {
    await worker.waitFor("worker.online");
    return worker;
  } catch (error) {
    await worker[Symbol.asyncDispose]();
    throw error;
  }
}
