import { type ErrorCode, MusterError } from "../shared/errors.ts";
import { sleep } from "../shared/sleep.ts";
import { attemptKey, type AttemptRef, type AttemptResult, type StoppedAttempt } from "./attempt.ts";
import { Listening } from "./listening.ts";
import type { Log } from "./log.ts";
import type { Results } from "./results.ts";
import { retryDelay } from "./retry-delay.ts";
import type { HelloAnswer, HelloRequest, WorkerMode, WorkerRpc } from "./rpc.ts";
import type { Runner } from "./runner.ts";

export interface LoopOptions {
  readonly rpc: WorkerRpc;
  readonly runner: Runner;
  readonly results: Results;
  readonly slots: number;
  /** In `claim` nothing is pushed: it claims when it is called, and polls in between. Default `push`. */
  readonly mode?: WorkerMode;
  /** What a hello says, apart from `listening`, which the loop knows. */
  readonly hello: () => Omit<HelloRequest, "listening" | "mode">;
  readonly metrics: () => Readonly<Record<string, number>>;
  readonly log: Log;
  readonly random?: () => number;
  /** An order from the control plane, told once as long as it stands. */
  readonly onCommand: (command: string) => void;
  /** Subscribed, yet the control plane says that nothing is heard. */
  readonly onDeaf: () => void;
  /** After each exchange: what the worker runs may have changed. */
  readonly onChange: () => void;
}

/** What to ask of the control plane next. */
type Step = "hello" | "complete" | "heartbeat" | "claim";

/** However soon the control plane asks for the next beat: results get their turn in between. */
const leastPauseMs = 250;

/** Hello is said again after these pauses while a subscribed channel stays silent. */
const silenceMs = [3_000, 5_000, 10_000, 30_000];

/** In claim mode a call may go lost, and those who come late find nothing: so it polls, ever more rarely. */
const idlePollMs = { baseMs: 1_000, capMs: 60_000 };

/** These end the worker: no later call can succeed. */
const fatalCodes: ReadonlySet<ErrorCode> = new Set(["worker_revoked", "not_found", "proof_invalid"]);

/**
 * The worker's conversation with the control plane: one call at a time, and what comes up meanwhile goes together
 * into the next. Only answers start or stop handlers. A failing control plane stops nothing that runs: the loop
 * keeps trying, and results wait.
 */
export class Loop {
  readonly listening = new Listening();
  readonly results: Results;
  readonly #options: LoopOptions;
  readonly #ended = new AbortController();
  readonly #nudged = { hello: true, heartbeat: false, claim: false };
  #resting: AbortController | undefined;
  #draining = false;
  #failures = 0;
  #heartbeatMs = 5_000;
  #pollMs = 1_000;
  #heartbeatAt = Infinity;
  #pollAt = Infinity;
  /** How often it has claimed in vain since it last had reason to hope. */
  #idleClaims = 0;
  #silences = 0;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;
  #commands: readonly string[] = [];
  #settled: (() => void)[] = [];

  constructor(options: LoopOptions) {
    this.#options = options;
    this.results = options.results;
  }

  /** Whether it takes no new work: it is about to end, or an operator said so. */
  get draining(): boolean {
    return this.#draining || this.#commands.includes("drain");
  }

  /** Introduces the worker and takes the first answer. Throws when that fails: nothing runs yet. */
  async hello(): Promise<HelloAnswer> {
    const { rpc, hello, mode = "push" } = this.#options;
    this.#nudged.hello = false;
    const held = this.#held();
    const answer = await rpc.hello({ ...hello(), mode, listening: this.#mayBePushed() }, held);
    this.#heartbeatMs = answer.heartbeatSeconds * 1000;
    this.#pollMs = answer.pollSeconds * 1000;
    this.#beatWithin(held.length > 0 ? this.#heartbeatMs : answer.idleHeartbeatSeconds * 1000, true);
    this.#pollWithin();
    this.#stop(answer.stop);
    this.#start(answer.jobs);
    // Whatever waits unclaimed is asked for at once, rather than at the first poll.
    this.#nudged.claim ||= this.#want() > 0;
    // Hello puts a worker back to work: one that drains says so again.
    if (this.#draining) this.#nudged.heartbeat = true;
    return answer;
  }

  /** Converses until `end()`. Throws only what ends the worker. */
  async run(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const step = this.#next();
      if (step === null) {
        await this.#rest();
        continue;
      }
      try {
        await this.#take(step);
        if (this.#failures > 0) this.#tell("info", "control_plane.back", "the control plane answers again");
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof MusterError && fatalCodes.has(error.code)) throw error;
        await this.#failed(step, error);
      }
      this.#options.onChange();
      for (const settle of this.#settled.splice(0)) settle();
    }
  }

  /** Takes a result; it is delivered with the next call after its events are stored. */
  complete(result: AttemptResult, eventsStored: Promise<void>): void {
    this.results.add(result);
    if (this.#failures > 0) void this.results.keep();
    void eventsStored.then(() => {
      this.results.release(result);
      if (this.#failures === 0) this.#wakeUp();
    });
  }

  /** Takes the result of an attempt that was stopped and ended well all the same. */
  completeLate(result: AttemptResult): void {
    if (this.#ended.signal.aborted) return;
    this.complete(result, Promise.resolve());
    this.results.outlived([result]);
  }

  /**
   * The process was away: what it holds may be somebody else's by now, and what was sent meanwhile is lost. It asks,
   * and polls until it has heard something again.
   */
  wasAway(): void {
    if (this.listening.subscribed) this.channelOpened();
    this.nudge("hello");
  }

  /** Asks soon. Nudges that come while a call is under way make one more call. */
  nudge(what: "hello" | "heartbeat" | "claim"): void {
    this.#nudged[what] = true;
    if (this.#failures === 0) this.#wakeUp();
  }

  /** The tasks channel is joined: hello, whose `wake` tells whether anything is heard there. */
  channelOpened(): void {
    this.listening.opened();
    this.#silences = 0;
    this.#expectWake();
    this.nudge("hello");
  }

  channelClosed(): void {
    clearTimeout(this.#silenceTimer);
    this.listening.closed();
    this.#pollWithin();
    this.nudge("heartbeat");
  }

  /** A nonce came over the channel. */
  woken(nonce: string): void {
    clearTimeout(this.#silenceTimer);
    if (!this.listening.active) this.#tell("info", "realtime.listening", "listening for work over Realtime");
    this.listening.wake(nonce);
    this.nudge("heartbeat");
  }

  /** In claim mode: jobs may be waiting, for it or for another of those that are called. */
  called(): void {
    this.#idleClaims = 0;
    if (this.#want() > 0) this.nudge("claim");
  }

  /** Takes no new work from here on. */
  drain(): void {
    this.#draining = true;
    this.#nudged.heartbeat = true;
    // Also out of a pause after a failure: results have little time left.
    this.#wakeUp();
  }

  /** Resolves when no result waits to be delivered, or the signal fires. */
  async delivered(signal: AbortSignal): Promise<void> {
    while (!this.results.isEmpty && !signal.aborted) {
      const settled = Promise.withResolvers<void>();
      this.#settled.push(settled.resolve);
      signal.addEventListener("abort", () => settled.resolve(), { once: true });
      await settled.promise;
    }
  }

  /** Tries once more, after the end, to deliver what still waits. What cannot be delivered is kept in the spool. */
  async deliverRest(): Promise<void> {
    for (const attempt of this.results.waiting()) this.results.release(attempt);
    try {
      while (this.results.hasReady) {
        const batch = this.results.next();
        await this.#options.rpc.completeJobs(batch, 0, { isRetry: false });
        this.results.drop(batch);
      }
    } catch {
      // Told already, when the calls before this one failed.
    }
    await this.results.keep();
  }

  /** Ends the conversation; the call under way is not waited for. */
  end(): void {
    clearTimeout(this.#silenceTimer);
    this.#ended.abort();
    this.#wakeUp();
  }

  #next(): Step | null {
    const now = performance.now();
    if (this.#nudged.hello) return "hello";
    // Before the results: a worker that never stops completing must not forget to beat.
    if (this.#nudged.heartbeat || now >= this.#heartbeatAt) return "heartbeat";
    if (this.results.hasReady) return "complete";
    if (this.#draining) return null;
    if (this.#nudged.claim || (now >= this.#pollAt && this.#want() > 0)) return "claim";
    return null;
  }

  async #take(step: Step): Promise<void> {
    switch (step) {
      case "hello":
        await this.hello();
        return;
      case "complete":
        return await this.#complete();
      case "heartbeat":
        return await this.#heartbeat();
      case "claim": {
        this.#nudged.claim = false;
        const { jobs, again } = await this.#options.rpc.claimJobs(this.#want());
        if (jobs.length === 0 && !again) this.#idleClaims += 1;
        this.#start(jobs);
        if (again) this.#nudged.claim = true;
        return this.#pollWithin();
      }
    }
  }

  async #complete(): Promise<void> {
    const { rpc, runner, slots } = this.#options;
    const batch = this.results.next();
    // The results' own slots are free again by the time the next jobs are handed over.
    const want = this.#draining ? 0 : Math.max(0, slots - runner.count - this.results.sizeWithout(batch));
    try {
      const { outcomes, jobs } = await rpc.completeJobs(batch, want, { isRetry: this.#failures > 0 });
      this.results.drop(batch);
      for (const { jobId, attempt, outcome } of outcomes) {
        if (outcome !== "stale") continue;
        const message = `job ${jobId} was not ours any more: its result was refused, and is kept as evidence only`;
        this.#tell("warn", "result.stale", message, { jobId, attempt });
      }
      this.#start(jobs);
      this.#pollWithin();
    } catch (error) {
      const rejected = this.results.failed(batch, error);
      if (rejected === null) throw error;
      this.#tell("error", "result.rejected", rejected);
    }
  }

  async #heartbeat(): Promise<void> {
    const { rpc, metrics } = this.#options;
    this.#nudged.heartbeat = false;
    const { listening } = this;
    const { nonce } = listening;
    const answer = await rpc.heartbeat({
      running: this.#held(),
      want: this.#want(),
      metrics: metrics(),
      wakeNonce: nonce,
      // A deaf worker still says so, for the control plane goes on testing whether it hears.
      listening: listening.active || (listening.subscribed && listening.deaf),
      draining: this.#draining,
    });
    this.#beatWithin(Math.max(answer.nextSeconds * 1000, leastPauseMs), true);
    // It grows and shrinks with the fleet.
    if (answer.busySeconds !== null) this.#heartbeatMs = answer.busySeconds * 1000;
    if (answer.pollSeconds !== null) this.#pollMs = answer.pollSeconds * 1000;
    // A verdict passed before the nonce that was heard meanwhile says nothing.
    if (nonce === listening.nonce) {
      if (answer.deaf && listening.active) {
        this.#tell("warn", "realtime.deaf", "the channel is joined but silent: polling until it is heard again");
        this.#options.onDeaf();
      }
      listening.judged(answer.deaf);
    }
    this.#pollWithin();
    if (answer.resync) this.#nudged.hello = true;
    this.#stop(answer.stop);
    this.#start(answer.jobs);
    const fresh = answer.commands.filter((command) => !this.#commands.includes(command));
    this.#commands = answer.commands;
    for (const command of fresh) this.#options.onCommand(command);
  }

  #stop(attempts: readonly StoppedAttempt[]): void {
    if (attempts.length === 0) return;
    this.results.outlived(attempts);
    this.#options.runner.stop(attempts);
    // Their slots are free.
    this.#nudged.claim = true;
  }

  #start(jobs: Parameters<Runner["start"]>[0]): void {
    // A draining worker gets nothing new, so what is handed over then was its own before: it runs as well.
    // After the end nothing starts: goodbye hands back what a late answer brought.
    if (this.#ended.signal.aborted) return;
    if (jobs.length > 0) this.#idleClaims = 0;
    const started = this.#options.runner.start(jobs.filter((job) => !this.results.has(job)));
    // From now on the worker counts as busy, and the next beat was set for an idle one.
    if (started > 0) this.#beatWithin(this.#heartbeatMs, false);
  }

  /** A channel just joined is taken at its word; one that stayed silent is not. */
  #mayBePushed(): boolean {
    return this.listening.active || (this.listening.subscribed && this.#silences === 0);
  }

  /** Every attempt the worker answers for: running, or ended with its result not delivered yet. */
  #held(): AttemptRef[] {
    const held = new Map<string, AttemptRef>();
    for (const attempt of [...this.#options.runner.running(), ...this.results.waiting()]) {
      held.set(attemptKey(attempt), attempt);
    }
    return [...held.values()];
  }

  #want(): number {
    if (this.#draining) return 0;
    return Math.max(0, this.#options.slots - this.#options.runner.count - this.results.size);
  }

  async #failed(step: Step, error: unknown): Promise<void> {
    if (step !== "complete") this.#nudged[step] = true;
    // The answer that was lost may have handed jobs over; a heartbeat without them has them handed over again.
    this.#nudged.heartbeat = true;
    this.#failures += 1;
    const waitMs = retryDelay(this.#failures, {
      // Within the lease: an outage that is over must not cost the jobs that run.
      capMs: this.#held().length > 0 ? 2_000 : 15_000,
      error,
      ...(this.#options.random === undefined ? {} : { random: this.#options.random }),
    });
    void this.results.keep();
    const message = error instanceof Error ? error.message : String(error);
    // Once is enough to say it, and now and then that it still is so.
    if (this.#failures === 1 || this.#failures % 10 === 0) {
      this.#tell("warn", "control_plane.unreachable", `${message}; trying again, handlers go on`, {
        call: step,
        failures: this.#failures,
        ...(error instanceof MusterError ? { code: error.code } : {}),
      });
    }
    this.#resting = new AbortController();
    await sleep(waitMs, AbortSignal.any([this.#ended.signal, this.#resting.signal]));
  }

  #beatWithin(milliseconds: number, anew: boolean): void {
    const at = performance.now() + milliseconds;
    this.#heartbeatAt = anew ? at : Math.min(at, this.#heartbeatAt);
  }

  #pollWithin(): void {
    this.#pollAt = this.listening.active ? Infinity : performance.now() + this.#pollDelayMs();
  }

  #pollDelayMs(): number {
    const { mode, random } = this.#options;
    if (mode !== "claim") return this.#pollMs;
    return retryDelay(this.#idleClaims + 1, { ...idlePollMs, ...(random === undefined ? {} : { random }) });
  }

  #expectWake(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      if (!this.listening.subscribed || this.listening.active) return;
      if (this.#silences === 0) {
        this.#tell("warn", "realtime.silent", "the channel is joined but nothing is heard on it: polling");
      }
      this.#silences += 1;
      // A joined channel that hears nothing twice in a row is not worth keeping.
      if (this.#silences > 1) this.#options.onDeaf();
      this.#expectWake();
      this.nudge("hello");
    }, silenceMs[Math.min(this.#silences, silenceMs.length - 1)]);
  }

  async #rest(): Promise<void> {
    const now = performance.now();
    const pollAt = this.#draining || this.#want() === 0 ? Infinity : this.#pollAt;
    const waitMs = Math.max(0, Math.min(this.#heartbeatAt, pollAt) - now);
    this.#resting = new AbortController();
    // A timer holds 31 bits of milliseconds.
    await sleep(Math.min(waitMs, 2 ** 31 - 1), this.#resting.signal);
  }

  #wakeUp(): void {
    // Results come a hundred in a turn, and a second abort costs as much as the first.
    this.#resting?.abort();
    this.#resting = undefined;
  }

  #tell(level: "info" | "warn" | "error", event: string, message: string, fields: Record<string, unknown> = {}): void {
    this.#options.log({ level, event, message, fields });
  }
}
