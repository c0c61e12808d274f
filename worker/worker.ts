import { limits } from "../shared/contracts/limits.ts";
import type { Presence } from "../shared/contracts/messages.ts";
import {
  InvalidRequestError,
  MusterError,
  SlotsExceededError,
  UnauthenticatedError,
  UnavailableError,
} from "../shared/errors.ts";
import { watchForAbsence } from "./absence.ts";
import { Artifacts } from "./artifacts.ts";
import type { Assignment } from "./attempt.ts";
import { connect, untilReached } from "./connect.ts";
import type { AnyHandlerDefinition, Handler } from "./handler.ts";
import { Identity, type IdentityStore, memoryIdentityStore } from "./identity.ts";
import { type PreparedJob, prepareJob } from "./job-context.ts";
import { JobSecrets } from "./job-secrets.ts";
import { Link } from "./link.ts";
import type { Log } from "./log.ts";
import { Loop } from "./loop.ts";
import type { Mask } from "./mask.ts";
import { Masks } from "./masks.ts";
import { Outbox } from "./outbox.ts";
import { createRpc, type WorkerMode, type WorkerRpc } from "./rpc.ts";
import { Results } from "./results.ts";
import { Runner } from "./runner.ts";
import { runtime } from "./runtime/current.ts";
import { Session } from "./session.ts";
import type { Spool } from "./spool.ts";
import { version } from "./version.ts";
import { within } from "./within.ts";
import { type Resources, WorkerResources } from "./worker-resources.ts";

export interface WorkerOptions {
  /** The project, such as `https://xyz.supabase.co`. */
  readonly url: string;
  /** Needed the first time only: afterwards the identity suffices. */
  readonly enrollmentToken?: string | undefined;
  /** Enrolls again by the key it has, for what the token allows now. Default false: a known identity needs no token. */
  readonly reEnroll?: boolean | undefined;
  /** Where the identity is kept. Default in memory: then every start needs the token, and is another worker. */
  readonly identity?: IdentityStore | undefined;
  /** Where results wait that cannot be delivered yet. Default in memory: then they last as long as the process. */
  readonly spool?: Spool | undefined;
  /** The project's publishable key. Default what the enrollment tells. */
  readonly publishableKey?: string | undefined;
  /** Shown to people. Default the host's name. */
  readonly name?: string | undefined;
  readonly capabilities?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** What jobs use up while they run, such as `{ gpu: 2, ram_gb: 64 }`. Default none. */
  readonly resources?: Readonly<Record<string, number>>;
  /** How many jobs it runs at a time, 1 to 256. Default 1. */
  readonly slots?: number;
  /** False polls only. Default true. */
  readonly realtime?: boolean;
  /**
   * How it comes to its jobs. In `push` each job is given to an idle worker, which hears of it on a channel of its own. In
   * `claim` all such workers share one channel, and each that is called takes what it can. Default `push`.
   */
  readonly mode?: WorkerMode;
  /** How long a drain lets handlers finish. Default 30. */
  readonly drainSeconds?: number;
  readonly log?: Log;
  readonly fetch?: typeof fetch;
  readonly random?: () => number;
}

/**
 * Runs jobs on this machine:
 *
 *     await using worker = new Worker({ url, enrollmentToken, capabilities: ["compute/basic"] });
 *     worker.handle("calc.add", ({ payload }) => …);
 *     await worker.start();
 *     await worker.closed;
 */
export class Worker {
  /**
   * Resolves when the worker has ended, by `drain()`, `stop()` or an order; rejects when it cannot go on, for example
   * because it was revoked.
   */
  readonly closed: Promise<void>;

  readonly #options: WorkerOptions;
  readonly #url: string;
  readonly #slots: number;
  readonly #handlers = new Map<string, Handler>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  /** Ends the tries to get online. */
  readonly #drained = new AbortController();
  readonly #sessionId = crypto.randomUUID();
  readonly #startedAt = performance.now();
  readonly #masks = new Masks();
  readonly #log: Log;
  readonly #fetch: typeof fetch;
  #parts: Parts | undefined;
  #identity: Identity | undefined;
  #started = false;
  #ending: Promise<void> | undefined;
  #succeeded = 0;
  #failed = 0;
  #presence = "";

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#url = checkedUrl(options.url);
    this.#slots = checkedSlots(options.slots ?? 1);
    if ((options.capabilities?.length ?? 0) > limits.capabilities) {
      throw new InvalidRequestError(
        `Cannot start a worker with ${options.capabilities?.length} capabilities: at most ${limits.capabilities}`,
      );
    }
    this.#log = this.#masks.log(options.log ?? (() => {}));
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.closed = this.#closed.promise;
    // Nobody has to look at it: a failure is also told in the log.
    this.closed.catch(() => {});
  }

  /** The worker's id, once it has enrolled. */
  get id(): string | undefined {
    return this.#parts?.workerId;
  }

  /** How many handlers run now. */
  get runningCount(): number {
    return this.#parts?.runner.count ?? 0;
  }

  /** Named resources that this worker holds, once it has started: jobs that refer to one come to who holds it. */
  get resources(): Resources {
    const parts = this.#parts;
    if (parts === undefined) throw new InvalidRequestError("Cannot hold resources: the worker has not started");
    return parts.resources;
  }

  /** The text without the secrets of jobs that run. */
  masked(text: string): string {
    return this.#masks.text(text);
  }

  /** Names the handler of a type of job. */
  handle(type: string, handler: Handler): this;
  handle(definition: AnyHandlerDefinition): this;
  handle(typeOrDefinition: string | AnyHandlerDefinition, handler?: Handler): this {
    if (typeof typeOrDefinition === "string") this.#handlers.set(typeOrDefinition, handler as Handler);
    else this.#handlers.set(typeOrDefinition.type, typeOrDefinition.handle);
    return this;
  }

  /**
   * Enrolls or loads its identity, introduces itself and begins to take jobs. A worker that has enrolled before waits
   * for a project it cannot reach; a new one gives up after a few tries.
   */
  async start(): Promise<void> {
    if (this.#started) throw new InvalidRequestError("Cannot start the worker: it was started before");
    this.#started = true;
    try {
      await this.#begin();
    } catch (error) {
      this.#parts?.session.close();
      if (this.#ending === undefined || this.#parts === undefined) await this.#identity?.release();
      if (this.#ending === undefined) this.#closed.reject(error);
      throw error;
    }
  }

  /**
   * Takes no more jobs, lets the running ones finish for `seconds`, hands the rest back and says goodbye. Resolves
   * when that is done; a second call joins the first.
   */
  drain(reason = "drained", seconds: number = this.#options.drainSeconds ?? 30): Promise<void> {
    this.#drained.abort(new Error(`The worker was ${reason}`));
    this.#ending ??= this.#end(reason, seconds);
    return this.#ending;
  }

  /** Aborts what runs, hands it back at once and says goodbye. Also cuts a drain short. */
  stop(reason = "stopped"): Promise<void> {
    this.#stopping.abort(new Error(`The worker was ${reason}`));
    return this.drain(reason, 0);
  }

  /**
   * Gives the running worker a new key, without a pause in its work. The old key, and every copy of the identity made
   * before, is void from then on.
   */
  async rotateKey(): Promise<void> {
    const parts = this.#parts;
    if (parts === undefined) throw new InvalidRequestError("Cannot change the key: the worker has not started");
    await parts.session.rotateKey();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #begin(): Promise<void> {
    const { identity: store = memoryIdentityStore(), publishableKey } = this.#options;
    const identity = await Identity.open(store, this.#url);
    this.#identity = identity;
    const headers = (): Record<string, string> => {
      const key = publishableKey ?? identity.publishableKey;
      return key === null ? {} : { apikey: key };
    };
    const session = new Session({
      url: this.#url,
      identity,
      fetch: this.#fetch,
      log: this.#log,
      headers,
      onToken: (token) => this.#parts?.link?.setToken(token),
    });
    const { enrollmentToken, name = runtime.hostName(), capabilities = [], labels = {}, reEnroll = false } =
      this.#options;
    await connect({
      identity,
      session,
      reEnroll,
      details: { token: enrollmentToken, name, capabilities, labels, slots: this.#slots, version },
      log: this.#log,
      signal: this.#stopping.signal,
    });
    const { workerId, tenantId } = identity;
    if (workerId === null || tenantId === null) throw new UnauthenticatedError("Cannot start: the worker has no id");
    const key = publishableKey ?? identity.publishableKey ?? "";
    const rpc = createRpc({
      url: this.#url,
      publishableKey: key,
      token: (options) => session.token(options),
      fetch: this.#fetch,
    });
    const parts = this.#assemble(rpc, session, workerId, headers);
    this.#parts = parts;
    await parts.loop.results.load();
    const greeting = this.#hello(parts);
    // An end that comes meanwhile waits for it: a goodbye must not be overtaken by a hello.
    parts.done = greeting.catch(() => {});
    await greeting;
    if (this.#ending !== undefined) return;
    this.#run(parts);
    if (this.#options.realtime === false) return;
    if (globalThis.WebSocket === undefined) {
      this.#tell("warn", "realtime.unavailable", "this runtime has no WebSocket: polling instead of listening");
      return;
    }
    const { loop } = parts;
    const { mode = "push" } = this.#options;
    const called = () => loop.called();
    const toClaim = {
      onOpen: () => {
        this.#tell("info", "realtime.listening", "waiting to be called over Realtime");
        // A call may have come before.
        loop.called();
      },
      onClosed: called,
      onNudge: called,
    };
    const toBePushed = {
      onOpen: () => loop.channelOpened(),
      onClosed: () => loop.channelClosed(),
      onNudge: (about: "jobs" | "orders") => loop.nudge(about === "jobs" ? "claim" : "heartbeat"),
    };
    parts.link = new Link({
      url: this.#url,
      publishableKey: key,
      workerId,
      tenantId,
      // A long wait for the project may have outlived the first token.
      token: await session.token(),
      log: this.#log,
      mode,
      ...(mode === "claim" ? toClaim : toBePushed),
      onWake: (nonce) => loop.woken(nonce),
    });
    parts.link.open();
    this.#showPresence(parts);
  }

  #assemble(
    rpc: WorkerRpc,
    session: Session,
    workerId: string,
    headers: () => Readonly<Record<string, string>>,
  ): Parts {
    const { name, capabilities = [], labels = {}, resources = {}, random } = this.#options;
    const jitter = random === undefined ? {} : { random };
    const artifacts = new Artifacts({
      url: this.#url,
      headers: async (options) => ({ ...headers(), authorization: `Bearer ${await session.token(options)}` }),
      fetch: this.#fetch,
      ...jitter,
    });
    const jobSecrets = new JobSecrets({
      url: this.#url,
      headers: async (options) => ({ ...headers(), authorization: `Bearer ${await session.token(options)}` }),
      withProof: (purpose, call) => session.withProof(purpose, call),
      fetch: this.#fetch,
      ...jitter,
    });
    const withSecrets = async (assignment: Assignment, signal: AbortSignal): Promise<PreparedJob> => {
      const secrets = await jobSecrets.open(assignment, signal);
      const onMask = (mask: Mask) => this.#masks.hold(mask);
      return prepareJob(assignment, signal, { outbox, artifacts, resources: holdings, secrets, onMask });
    };
    const holdings = new WorkerResources({
      hold: (held) => rpc.holdResources(held),
      release: (names, reason) => rpc.releaseResources(names, reason),
      log: this.#log,
    });
    const outbox = new Outbox({
      report: (events) => rpc.reportEvents(events),
      onStale: () => loop.nudge("heartbeat"),
      onDropped: (count, error) => {
        const why = error instanceof Error ? error.message : String(error);
        this.#tell("error", "events.refused", `${count} events were refused and are lost: ${why}`);
      },
      ...jitter,
    });
    const runner = new Runner({
      handlers: this.#handlers,
      prepare: (assignment, signal) => {
        if (assignment.secrets.length === 0) {
          return prepareJob(assignment, signal, { outbox, artifacts, resources: holdings });
        }
        return withSecrets(assignment, signal);
      },
      onResult: (result) => {
        if (result.status === "succeeded") this.#succeeded += 1;
        else this.#failed += 1;
        loop.complete(result, outbox.delivered(result));
      },
      onLateResult: (result) => loop.completeLate(result),
      onStopped: (attempt) => outbox.forget(attempt),
      log: this.#log,
    });
    const loop: Loop = new Loop({
      rpc,
      runner,
      results: new Results({ spool: this.#options.spool, log: this.#log }),
      slots: this.#slots,
      mode: this.#options.mode ?? "push",
      hello: () => ({ capabilities, labels, resources, slots: this.#slots, version, sessionId: this.#sessionId }),
      metrics: () => this.#metrics(),
      log: this.#log,
      onCommand: (command) => this.#obey(command),
      onDeaf: () => this.#parts?.link?.rejoin(),
      onChange: () => {
        this.#masks.prune();
        if (this.#parts !== undefined) this.#showPresence(this.#parts);
      },
      ...jitter,
    });
    return {
      rpc,
      session,
      workerId,
      name: name ?? runtime.hostName(),
      outbox,
      resources: holdings,
      runner,
      loop,
      link: undefined,
    };
  }

  async #hello({ loop, rpc }: Parts): Promise<void> {
    const signal = AbortSignal.any([this.#stopping.signal, this.#drained.signal]);
    const greet = () => untilReached(Infinity, this.#log, signal, () => loop.hello());
    const { capabilities } = await greet().catch(async (error: unknown) => {
      if (!(error instanceof SlotsExceededError)) throw error;
      // An earlier run held more than there is room for now: nothing runs here yet, so it goes back.
      await rpc.goodbye("restarted with less room");
      return await greet();
    });
    const what = capabilities.length === 0 ? "no capabilities" : capabilities.join(", ");
    const slots = this.#slots === 1 ? "1 slot" : `${this.#slots} slots`;
    this.#tell("info", "worker.online", `online with ${slots}: ${what}`, { slots: this.#slots });
  }

  #run(parts: Parts): void {
    parts.unwatch = watchForAbsence({
      onAbsence: ({ awayMs, unseenMs }) => {
        const seconds = Math.round(awayMs / 1000);
        const message = `this process was away for ${seconds} s (or the clock was set): asking what is still ours`;
        this.#tell("warn", "worker.was_away", message, { seconds });
        parts.session.wasAway(unseenMs);
        parts.loop.wasAway();
      },
    });
    parts.done = parts.loop.run().catch(async (error: unknown) => {
      this.#tell("error", "worker.failed", error instanceof Error ? error.message : String(error), {
        ...(error instanceof MusterError ? { code: error.code } : {}),
      });
      parts.runner.stopAll("the worker cannot go on");
      await this.#release(parts);
      this.#closed.reject(error);
    });
  }

  async #end(reason: string, seconds: number): Promise<void> {
    const parts = this.#parts;
    if (parts === undefined) {
      this.#stopping.abort(new Error(`The worker was ${reason}`));
      return this.#closed.resolve();
    }
    const { loop, runner, rpc } = parts;
    if (!this.#stopping.signal.aborted) {
      const running = runner.count;
      const wait = running === 0 ? "nothing runs" : `waiting up to ${seconds} s for ${running} running`;
      this.#tell("info", "worker.draining", `draining: ${wait}`, { running });
      loop.drain();
      this.#showPresence(parts);
      await Promise.race([within(seconds * 1000, runner.idle()), aborted(this.#stopping.signal)]);
      if (!this.#stopping.signal.aborted) {
        await loop.delivered(AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(5_000)]));
      }
    }
    const left = runner.count;
    runner.stopAll("the worker is stopping");
    loop.end();
    // The call under way may still hand jobs over; goodbye comes after it, so that they go back as well.
    await within(3_000, parts.done);
    await within(4_000, loop.deliverRest());
    const released = left > 0 ? `, ${left} handed back` : "";
    try {
      const said = await within(5_000, rpc.goodbye(reason).then(() => true));
      if (said !== true) throw new UnavailableError("no answer in time");
      this.#tell("info", "worker.offline", `offline${released}`, { reason, released: left });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#tell(
        "warn",
        "worker.offline",
        `offline, but could not say goodbye (${why}): its jobs go back by themselves`,
      );
    }
    await this.#release(parts);
    this.#closed.resolve();
  }

  async #release({ loop, outbox, resources, session, link, unwatch }: Parts): Promise<void> {
    unwatch?.();
    loop.end();
    resources.close();
    outbox.close();
    session.close();
    await within(1_000, link?.close());
    await this.#identity?.release();
  }

  #obey(command: string): void {
    if (command === "drain") return this.#tell("info", "worker.paused", "an operator asked for a drain: no new jobs");
    if (command !== "stop" && command !== "restart") return;
    this.#tell("info", `worker.${command}`, `an operator asked for a ${command}`);
    void this.drain(command);
  }

  #showPresence({ link, loop, runner, name }: Parts): void {
    if (link === undefined) return;
    const currentJobs = runner.running().map(({ jobId }) => jobId);
    const status = loop.draining ? "draining" : currentJobs.length > 0 ? "busy" : "idle";
    const presence: Presence = { name, capabilities: [...this.#options.capabilities ?? []], status, currentJobs };
    const text = JSON.stringify(presence);
    if (text === this.#presence) return;
    this.#presence = text;
    link.present(presence);
  }

  #metrics(): Record<string, number> {
    const memoryMb = runtime.memoryMb();
    return {
      running: this.#parts?.runner.count ?? 0,
      succeeded: this.#succeeded,
      failed: this.#failed,
      uptimeSeconds: Math.round((performance.now() - this.#startedAt) / 1000),
      ...(memoryMb === null ? {} : { memoryMb }),
    };
  }

  #tell(level: "info" | "warn" | "error", event: string, message: string, fields: Record<string, unknown> = {}): void {
    this.#log({ level, event, message, fields });
  }
}

/** What a started worker consists of. */
interface Parts {
  readonly rpc: WorkerRpc;
  readonly session: Session;
  readonly workerId: string;
  readonly name: string;
  readonly outbox: Outbox;
  readonly resources: WorkerResources;
  readonly runner: Runner;
  readonly loop: Loop;
  link: Link | undefined;
  done?: Promise<void>;
  unwatch?: () => void;
}

function checkedUrl(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new InvalidRequestError(`Cannot use the URL "${url}": it must be like https://xyz.supabase.co`, {
      advice: "Give the project's URL with --url or MUSTER_URL",
    });
  }
  return url.replace(/\/+$/, "");
}

function checkedSlots(slots: number): number {
  if (Number.isInteger(slots) && slots >= 1 && slots <= limits.slots) return slots;
  throw new InvalidRequestError(`Cannot start a worker with ${slots} slots: it must be 1 to ${limits.slots}`, {
    advice: "Give the number of jobs to run at a time with --slots",
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
