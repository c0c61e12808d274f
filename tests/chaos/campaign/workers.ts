import { join, resolve } from "node:path";
import type { Kit } from "./mix/kits.ts";
import { type Proxy } from "./proxy.ts";

const here = import.meta.dirname!;
const repository = resolve(here, "../../..");
/** As `npm run worker` starts it. */
const v8Flags = "--v8-flags=--max-semi-space-size=2,--optimize-for-size";

export interface WorkerSettings {
  readonly name: string;
  readonly tenant: string;
  readonly enrollmentToken: string;
  readonly kit: Kit;
  /** A folder of its own, for its identity, its journal, its spool and its log. */
  readonly folder: string;
  /** Its way to the project. */
  readonly proxy: Proxy;
}

/** A worker process that ended although nobody told it to. */
export interface UnexpectedEnd {
  readonly worker: string;
  readonly code: number;
  readonly signal: string | null;
  readonly lastWords: string;
}

interface Line {
  readonly event: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** One machine of the campaign: its files outlive its processes, of which there are many in a run. */
export class CampaignWorker implements AsyncDisposable {
  readonly settings: WorkerSettings;
  readonly unexpectedEnds: UnexpectedEnd[] = [];
  /** Told by the control plane at the first start. */
  workerId: string | undefined;
  /** How often it said that a result came too late to count. */
  staleResults = 0;
  startCount = 0;
  #child: Deno.ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #expected = false;
  #isOnline = false;
  #isOver = false;
  /** Since when, by its own log. */
  readonly #running = new Map<string, number>();
  readonly #started = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = new Set<() => void>();
  #journalAt = 0;
  #endCount = 0;

  constructor(settings: WorkerSettings) {
    this.settings = settings;
  }

  get name(): string {
    return this.settings.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isUp(): boolean {
    return this.#child !== undefined;
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** Whether a handler of its present process has run for so long. */
  hasRunFor(milliseconds: number): boolean {
    return [...this.#running.values()].some((since) => performance.now() - since >= milliseconds);
  }

  /** Whether one of its processes began this attempt, `<job>/<attempt>`. */
  hasStarted(attempt: string): boolean {
    return this.#started.has(attempt);
  }

  /** Where its spool is kept. */
  get spool(): string {
    return join(this.settings.folder, "spool");
  }

  /** Starts a process with the identity it has, unless one runs. */
  start(): void {
    if (this.#child !== undefined || this.#isOver) return;
    const { folder, name, kit: { slots, labels, resources, claims }, proxy, enrollmentToken } = this.settings;
    const named = (option: string, values: Readonly<Record<string, unknown>>) =>
      Object.entries(values).flatMap(([key, value]) => [option, `${key}=${value}`]);
    this.#expected = false;
    this.#isOnline = false;
    this.#running.clear();
    this.startCount += 1;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-lock", "--config", join(repository, "deno.json"), v8Flags],
        ...["--preload", join(here, "settable-clock.ts"), join(repository, "worker", "cli.ts")],
        ...["--url", proxy.url, "--identity", join(folder, "identity.json"), "--log-format", "json"],
        ...["--name", name, "--slots", String(slots), "--capability", "compute/campaign"],
        ...[...named("--label", labels), ...named("--resource", resources), ...(claims ? ["--claim"] : [])],
        ...["--handlers", join(here, "handlers"), "--drain-seconds", "5"],
        ...(this.workerId === undefined ? ["--token", enrollmentToken] : []),
      ],
      env: {
        NO_COLOR: "1",
        DENO_NO_UPDATE_CHECK: "1",
        MUSTER_SPOOL_DIR: this.spool,
        MUSTER_CAMPAIGN_JOURNAL: join(folder, "journal.jsonl"),
        MUSTER_CAMPAIGN_CLOCK: join(folder, "clock"),
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#child = child;
    const read = Promise.all([this.#readLines(child), keep(child.stderr, join(folder, "errors.log"))]);
    this.#ended = child.status.then(async (status) => {
      await read;
      this.#child = undefined;
      this.#isOnline = false;
      if (!this.#expected) {
        const errors = await Deno.readTextFile(join(folder, "errors.log")).catch(() => "");
        const lastWords = errors.trimEnd().split("\n").at(-1) ?? "";
        this.unexpectedEnds.push({ worker: name, code: status.code, signal: status.signal, lastWords });
      }
      this.#look();
    });
  }

  /** One fault after the other: whoever comes while it is hit waits. */
  async hit<T>(act: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const done = Promise.withResolvers<void>();
    this.#turn = done.promise;
    await before;
    try {
      return await act();
    } finally {
      done.resolve();
    }
  }

  /** Sets its clock while it runs. */
  async setClock(offByMs: number): Promise<void> {
    await Deno.writeTextFile(join(this.settings.folder, "clock"), String(offByMs));
    this.#signal("SIGUSR2");
  }

  /** As a power cut does. */
  async kill(): Promise<void> {
    this.#expected = true;
    this.#signal("SIGKILL");
    await this.#ended;
  }

  /** Lets it finish for a few seconds, as a restart of the machine does; resolves when it is gone. */
  async stop(withinMs: number): Promise<void> {
    this.#expected = true;
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), withinMs);
    await this.#ended;
    clearTimeout(timer);
  }

  suspend(): void {
    this.#signal("SIGSTOP");
  }

  resume(): void {
    this.#signal("SIGCONT");
  }

  /** Waits until the condition holds of it, but no longer than given; answers whether it came true. */
  async until(withinMs: number, condition: () => boolean | Promise<boolean>): Promise<boolean> {
    const endsAt = performance.now() + withinMs;
    while (this.isUp && performance.now() < endsAt) {
      if (await condition()) return true;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, 20);
        this.#waiting.add(done);
      });
    }
    return false;
  }

  /** True once it has ended unexpectedly more often than is known; false when the signal fires first. */
  async endedUnexpectedly(known: number, signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted && this.unexpectedEnds.length <= known) {
      await new Promise<void>((resolve) => {
        const done = () => {
          signal.removeEventListener("abort", done);
          this.#waiting.delete(done);
          resolve();
        };
        signal.addEventListener("abort", done, { once: true });
        this.#waiting.add(done);
      });
    }
    return !signal.aborted;
  }

  /** How many executions have ended, by its journal: it knows before anybody is told. */
  async endCount(): Promise<number> {
    const text = await Deno.readTextFile(join(this.settings.folder, "journal.jsonl")).catch(() => "");
    this.#endCount += text.slice(this.#journalAt).split('"did":"end"').length - 1;
    this.#journalAt = text.length;
    return this.#endCount;
  }

  /** Whether a result waits on its disk. */
  async hasSpooled(): Promise<boolean> {
    try {
      for await (const { name } of Deno.readDir(this.spool)) if (name.endsWith(".json")) return true;
    } catch { /* no folder yet */ }
    return false;
  }

  /** Ends it for good. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.kill();
  }

  #signal(name: Deno.Signal): void {
    try {
      this.#child?.kill(name);
    } catch {
      // It ended by itself a moment ago.
    }
  }

  async #readLines(child: Deno.ChildProcess): Promise<void> {
    const log = await Deno.open(join(this.settings.folder, "worker.log"), { append: true, create: true });
    const encoder = new TextEncoder();
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      await log.write(encoder.encode(text));
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) if (line.startsWith("{")) this.#heard(JSON.parse(line));
      this.#look();
    }
    log.close();
  }

  #heard(line: Line): void {
    const attempt = `${line["jobId"]}/${line["attempt"]}`;
    switch (line.event) {
      case "worker.enrolled":
        this.workerId = String(line["workerId"]);
        break;
      case "worker.online":
        this.#isOnline = true;
        break;
      case "job.started":
        this.#running.set(attempt, performance.now());
        this.#started.add(attempt);
        break;
      case "job.succeeded":
      case "job.failed":
      case "job.stopped":
        this.#running.delete(attempt);
        break;
      case "result.stale":
        this.staleResults += 1;
        break;
    }
  }

  #look(): void {
    for (const look of this.#waiting) look();
  }
}

async function keep(stream: ReadableStream<Uint8Array>, path: string): Promise<void> {
  const file = await Deno.open(path, { append: true, create: true });
  await stream.pipeTo(file.writable);
}
