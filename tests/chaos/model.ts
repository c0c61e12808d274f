import {
  type Answer,
  type Attempt,
  type Call,
  ended,
  held,
  type Job,
  type JobSpec,
  type JobStatus,
  type Kind,
  type Lane,
  laneLimits,
  type Overlap,
  type Ranks,
  type Report,
  type State,
  type Worker,
} from "./vocabulary.ts";
import { byPlace, byRank, handed, isOver } from "./ranking.ts";

/**
 * What schema muster promises, on plain data: one function a call, without SQL, locks or ids. Times are seconds since
 * the start of the sequence.
 */

const busyBeat = 5;
const idleBeat = 30;
const acknowledge = 5;
const forget = 30;
const wakeCheck = 60;
const tickLate = 10;
export const retryBase = 4;
const retryCap = 300;
const agingSeconds = 30;

const waiting: readonly JobStatus[] = ["scheduled", "blocked", "queued"];
const admitted: readonly JobStatus[] = ["queued", ...held];

type Ending = "succeeded" | "failed" | "lost" | "timed_out" | "released" | "cancelled" | "expired";

/** Carries out calls on a state, which it changes. */
export class Model {
  readonly #overlap: Overlap | undefined;
  readonly #ranks: Ranks;
  /** Jobs that have ended in this call, and what follows from that is still to come. */
  #ended: Job[] = [];

  constructor(readonly state: State, ranks: Ranks = new Map(), overlap?: Overlap) {
    this.#overlap = overlap;
    this.#ranks = ranks;
  }

  call(call: Call): Answer {
    switch (call.kind) {
      case "submit":
        return this.#submit(call.jobs);
      case "cancel":
        return this.#cancel(call.jobs);
      case "claim": {
        if (this.#tickIsLate()) {
          this.#keepLease(call.worker, this.#heldBy(call.worker).length > 0);
          if (this.#tick().ran) return { jobs: [], again: true };
        }
        const jobs = this.#nextJobs(call.worker, call.want);
        if (jobs.length > 0) this.#keepLease(call.worker, true);
        return { jobs: handed(jobs), again: false };
      }
      case "heartbeat":
        return this.#heartbeat(call);
      case "complete":
        return this.#complete(call.worker, call.results, call.want);
      case "events": {
        const stale = call.attempts.filter((attempt) => !this.#isOwn(call.worker, attempt));
        return { accepted: call.attempts.length - stale.length, stale: sorted(stale) };
      }
      case "hello":
        return this.#hello(call.worker, call.running, call.listening);
      case "goodbye":
        return this.#goodbye(call.worker);
      case "drain": {
        const worker = this.#worker(call.worker);
        worker.drainRequested = true;
        if (worker.status === "online") worker.status = "draining";
        return { status: worker.status };
      }
      case "resume": {
        const worker = this.#worker(call.worker);
        worker.drainRequested = false;
        if (worker.status === "draining") worker.status = "online";
        this.#push();
        return { status: worker.status };
      }
      case "tick":
        return this.#tick();
    }
  }

  #submit(specs: readonly JobSpec[]): Answer {
    const { now, jobs } = this.state;
    const before = jobs.length;
    const created = new Set<string>();
    const names: string[] = [];
    for (const spec of specs) {
      const known = spec.idempotencyKey === null
        ? undefined
        : jobs.find(({ idempotencyKey }) => idempotencyKey === spec.idempotencyKey);
      names.push(known?.name ?? spec.name);
      if (known) continue;
      created.add(spec.name);
      const job: Job = {
        ...spec,
        after: spec.after.map((parent) => typeof parent === "number" ? names[parent]! : parent),
        status: "scheduled",
        attempts: 0,
        released: 0,
        worker: null,
        result: null,
        error: null,
        runAt: now + spec.delaySeconds,
        retryBetween: null,
        deadline: null,
        startedAt: null,
        expiresAt: spec.totalSeconds === null ? null : now + spec.totalSeconds,
        rank: 0,
        raisedTo: spec.priority,
        queuedAt: now,
        holders: [],
        late: [],
      };
      jobs.push(job);
      if (spec.delaySeconds <= 0) this.#queue(job);
    }
    const added = jobs.slice(before);
    for (const lane of ["one", "two"] as const) {
      if (this.#enforce(lane, added)) continue;
      jobs.length = before;
      return { refused: "MU030" };
    }
    this.#admit(added.map(({ lane }) => lane));
    // Those that come after a job that has ended badly already.
    const settled = jobs.filter(({ name, status }) =>
      ended.includes(status) && added.some(({ after }) => after.includes(name))
    );
    this.#ended.push(...settled);
    this.#unblock([]);
    if (created.size > 0) this.#push();
    return {
      jobs: names.map((name, index) => ({
        name,
        created: name === specs[index]!.name,
        status: this.#job(name).status,
      })),
    };
  }

  /** Whether new jobs find room in a lane: false where one of them rejects. Makes room for those that replace. */
  #enforce(lane: Lane, added: readonly Job[]): boolean {
    const isNew = (job: Job) => job.lane === lane && job.status === "blocked" && !this.#isHeldBack(job);
    const fresh = added.filter(isNew);
    const most = laneLimits[lane];
    const old = this.state.jobs.filter((job) =>
      job.lane === lane && !added.includes(job) &&
      (admitted.includes(job.status) || job.status === "blocked" && !this.#isHeldBack(job))
    );
    let count = old.length;
    for (const { policy } of fresh) {
      count = policy === "replace" ? Math.min(count + 1, most) : count + 1;
      if (policy === "reject" && count > most) return false;
    }
    if (!fresh.some(({ policy }) => policy === "replace")) return true;
    const place = (job: Job) =>
      fresh.includes(job) ? 3 : job.status === "blocked" ? 0 : job.status === "queued" ? 1 : 2;
    const inTheWay = [...old, ...fresh].sort((a, b) => place(a) - place(b) || a.position - b.position);
    for (const job of inTheWay.slice(0, Math.max(old.length + fresh.length - most, 0))) {
      this.#close(job, "cancelled", { error: "replaced" });
    }
    return true;
  }

  /** Whether a job waits for others. */
  #isHeldBack({ after, afterAny }: Job): boolean {
    return after.some((name) => {
      const { status } = this.#job(name);
      return !ended.includes(status) || (status !== "succeeded" && !afterAny);
    });
  }

  /** What follows from the end of jobs: some that come after them fail, others wait for no other any more. */
  #settle(): Job[] {
    const free: Job[] = [];
    for (let job = this.#ended.shift(); job; job = this.#ended.shift()) {
      for (
        const next of this.state.jobs.filter(({ after, status }) =>
          after.includes(job.name) && waiting.includes(status)
        )
      ) {
        if (job.status !== "succeeded" && !next.afterAny) this.#close(next, "failed", { error: "dependency_failed" });
        else if (next.status === "blocked" && !this.#isHeldBack(next)) free.push(next);
      }
    }
    const left = free.filter(({ status }) => status === "blocked");
    for (const job of left) if (job.lane === null) this.#enter(job);
    return left;
  }

  #cancel(names: readonly string[]): Answer {
    const jobs = names.map((name) => this.#job(name));
    for (const job of jobs) {
      if (waiting.includes(job.status)) this.#close(job, "cancelled", { error: "cancelled" });
      else if (held.includes(job.status)) this.#end(job, "cancelled", { error: "cancelled" });
    }
    this.#unblock(jobs);
    this.#push();
    return { jobs: jobs.map(({ name, status }) => ({ name, status })) };
  }

  #heartbeat(call: Extract<Call, { kind: "heartbeat" }>): Answer {
    const { now } = this.state;
    const worker = this.#worker(call.worker);
    const nothing = { deaf: worker.deaf, next: 0, stop: [], jobs: [], commands: [] };
    if (worker.status === "offline") return { ...nothing, deaf: false, resync: true };
    let isBusy = this.#heldBy(call.worker).length > 0;
    this.#keepLease(call.worker, isBusy);
    if (call.nonce !== null && call.nonce === worker.nonce) worker.wakeHeard = now;
    // A call that does the late tick does nothing else.
    if (this.#tickIsLate() && this.#tick().ran) return { ...nothing, resync: false };
    const wasListening = worker.listening;
    worker.listening = call.listening ?? worker.listening;
    if (!worker.listening) worker.deaf = false;
    else if (worker.wakeHeard !== null && worker.wakeHeard >= worker.wakeSent) worker.deaf = false;
    else if (worker.wakeSent < now - wakeCheck) worker.deaf = true;
    else worker.deaf ||= !wasListening;
    worker.status = call.draining || worker.drainRequested ? "draining" : "online";
    if (worker.listening && (!wasListening || worker.wakeSent < now - wakeCheck)) this.#wake(worker);

    const unnamed = this.#unnamed(call.worker, call.running);
    const forgotten = unnamed.filter((job) => job.startedAt! + forget < now);
    for (const job of forgotten) this.#end(job, "lost", { error: "job_forgotten" });
    this.#unblock(forgotten);
    const jobs = this.#nextJobs(call.worker, call.want);
    jobs.push(...unnamed.filter((job) => !forgotten.includes(job)));
    if (forgotten.length > 0) this.#push();
    if (!isBusy && jobs.length > 0) {
      isBusy = true;
      this.#keepLease(call.worker, true);
    }
    return {
      resync: false,
      deaf: worker.deaf,
      next: this.#nextBeat(isBusy),
      stop: this.#stops(call.worker, call.running),
      jobs: handed(jobs),
      commands: worker.drainRequested ? ["drain"] : [],
    };
  }

  #complete(index: number, results: readonly Report[], want: number): Answer {
    const mine = results.filter((result) => this.#isOwn(index, result));
    for (const { job: name, attempt, status, retryable } of mine) {
      const job = this.#job(name);
      if (status === "succeeded") this.#end(job, "succeeded", { result: attempt });
      else this.#end(job, "failed", { error: failureCode(retryable), isFinal: !retryable });
    }
    const isFreed = this.#unblock(mine.map(({ job }) => this.#job(job)));
    const outcomes = results.map((result) => {
      const { status, worker, attempts } = this.#job(result.job);
      if (mine.includes(result)) return ended.includes(status) ? "accepted" : "retrying";
      // What was reported before, word for word, is accepted again: the first answer may have been lost.
      const isRepeated = worker === index && attempts === result.attempt && status === result.status &&
        (status === "succeeded" || this.#job(result.job).error === failureCode(result.retryable));
      if (!isRepeated) this.#keepLate(index, result);
      return isRepeated ? "accepted" : "stale";
    });
    const jobs = this.#nextJobs(index, want);
    if (jobs.length > 0) this.#keepLease(index, true);
    if (mine.some(({ job }) => this.#job(job).status === "queued" || this.#job(job).lane !== null) || isFreed) {
      this.#push();
    }
    return { outcomes, jobs: handed(jobs) };
  }

  #hello(index: number, running: readonly Attempt[], listening: boolean): Answer {
    const worker = this.#worker(index);
    const forgotten = this.#unnamed(index, running);
    for (const job of forgotten) this.#end(job, "lost", { error: "worker_restarted" });
    this.#unblock(forgotten);
    worker.status = worker.drainRequested ? "draining" : "online";
    worker.listening = worker.deaf = listening;
    this.#keepLease(index, this.#heldBy(index).length > 0);
    this.#wake(worker);
    if (forgotten.length > 0) this.#push();
    const stop = this.#stops(index, running);
    return { status: worker.status, stop, jobs: handed(this.#handOver(index)) };
  }

  #goodbye(index: number): Answer {
    const worker = this.#worker(index);
    const jobs = this.#heldBy(index);
    for (const job of jobs) this.#end(job, "released", { error: "released" });
    this.#unblock(jobs);
    if (worker.status !== "offline") this.#goOffline(worker);
    if (jobs.length > 0) this.#push();
    return { released: jobs.length };
  }

  #tick(): Answer {
    const { now, jobs, workers } = this.state;
    const skipped = this.#overlap?.atStart ? this.#overlap : undefined;
    if (skipped?.tick) return { ran: false };
    const isLocked = (index: number) =>
      skipped !== undefined && (skipped.workers.has(index) || skipped.leases.has(index));

    // After ticks in time a late one excuses whoever was silent: the database itself may have been away.
    if (!this.state.wasLate && this.state.lastTick < now - tickLate) {
      for (const [index, worker] of workers.entries()) {
        const isSilent = worker.status !== "offline" && isOver(worker.leaseUntil, now + tickLate) && !isLocked(index);
        if (isSilent) worker.leaseUntil = now + tickLate;
      }
    }
    const lost = [...workers.keys()].filter((index) => {
      const { status, leaseUntil } = workers[index]!;
      return status !== "offline" && isOver(leaseUntil, now) && !isLocked(index);
    });
    const orphaned = lost.flatMap((index) => this.#heldBy(index));
    for (const job of orphaned) this.#end(job, "lost", { error: "worker_lost" });
    this.#unblock(orphaned, skipped);
    for (const index of lost) this.#goOffline(workers[index]!);
    for (const [index, worker] of workers.entries()) {
      const isGone = worker.status === "offline" && isOver(worker.leaseUntil, now) && !isLocked(index);
      if (isGone) worker.leaseUntil = null;
    }

    const overdue = jobs.filter((job) =>
      held.includes(job.status) && (job.deadline! < now || isOver(job.expiresAt, now)) &&
      !skipped?.workers.has(job.worker!) &&
      !skipped?.jobs.has(job.name)
    );
    for (const job of overdue) {
      const isUnheard = job.status === "assigned" && !isOver(job.expiresAt, now);
      if (!isUnheard) continue;
      const worker = this.#worker(job.worker!);
      worker.deaf ||= worker.listening;
      this.#wake(worker);
    }
    for (const job of overdue) {
      if (isOver(job.expiresAt, now)) this.#end(job, "expired", { error: "expired" });
      else if (job.status === "assigned") this.#end(job, "released", {});
      else this.#end(job, "timed_out", { error: "attempt_timeout" });
    }
    this.#unblock(overdue, skipped);

    const late = jobs.filter((job) =>
      waiting.includes(job.status) && isOver(job.expiresAt, now) && !skipped?.jobs.has(job.name)
    );
    for (const job of late) this.#close(job, "failed", { error: "expired" });
    this.#unblock([], skipped);
    const due = jobs.filter((job) => job.status === "scheduled" && job.runAt <= now && !skipped?.jobs.has(job.name));
    for (const job of due) this.#queue(job);
    this.#unblock(due, skipped);
    this.#raise(skipped);
    this.#unblock(jobs.filter(({ status }) => status === "blocked"), skipped);
    this.state.wasLate = this.state.lastTick < now - tickLate;
    this.state.lastTick = now;
    return {
      ran: true,
      lost_workers: lost.length,
      overdue_attempts: overdue.length,
      expired_jobs: late.length,
      due_jobs: due.length,
      assigned_jobs: this.#push(),
    };
  }

  /** Ends an attempt: for good, or the job goes back. */
  #end(job: Job, ending: Ending, { result = null, error = null, isFinal = false }: EndingDetails): void {
    const { now } = this.state;
    const spent = job.attempts - job.released;
    if (ending === "released") job.released += 1;
    const isLast = ending === "expired" || isFinal || (job.expiresAt !== null && job.expiresAt <= now) ||
      (ending !== "released" && spent >= job.maxAttempts);
    if (ending === "succeeded" || ending === "cancelled") return this.#close(job, ending, { result, error });
    if (isLast) return this.#close(job, "failed", { error: error ?? "expired" });
    const failures = ending === "released" ? 0 : ending === "lost" ? spent - 1 : spent;
    const longest = failures < 1 ? 0 : Math.min(retryCap, retryBase * 2 ** (failures - 1));
    if (longest > 0) job.status = "scheduled";
    else this.#queue(job);
    job.retryBetween = longest > 0 ? [now + longest / 2, now + longest] : null;
    job.runAt = now + longest;
    job.worker = job.deadline = null;
    job.error = error;
  }

  #close(
    job: Job,
    status: "succeeded" | "failed" | "cancelled",
    { result = null, error = null }: EndingDetails,
  ): void {
    Object.assign(job, { status, result, error, deadline: null });
    this.#ended.push(job);
  }

  /**
   * Settles what follows from the jobs that have ended, and lets blocked jobs of the keys of these jobs in, and of those
   * that wait for no other any more, as far as the limits allow. Answers whether there are any of the latter.
   */
  #unblock(jobs: readonly Job[], skipped?: Overlap): boolean {
    const free = this.#settle();
    this.#admit([...jobs, ...free].map(({ lane }) => lane), skipped);
    return free.length > 0;
  }

  #admit(lanes: readonly (Lane | null)[], skipped?: Overlap): void {
    for (const lane of ["one", "two"] as const) {
      if (!lanes.includes(lane) || skipped?.lanes.has(lane)) continue;
      const ofLane = this.state.jobs.filter((job) => job.lane === lane);
      const free = laneLimits[lane] - ofLane.filter(({ status }) => admitted.includes(status)).length;
      const next = ofLane.filter((job) =>
        job.status === "blocked" && !this.#isHeldBack(job) && !skipped?.jobs.has(job.name)
      ).sort(byPlace);
      for (const job of next.slice(0, Math.max(free, 0))) this.#enter(job);
    }
  }

  /** A job's time has come: into the queue, or to where its key lets it in. */
  #queue(job: Job): void {
    if (job.lane === null && !this.#isHeldBack(job)) this.#enter(job);
    else job.status = "blocked";
  }

  #enter(job: Job): void {
    job.status = "queued";
    job.rank = this.#ranks.get(job.name) ?? 0;
    job.raisedTo = job.priority;
    job.queuedAt = this.state.now;
  }

  /** Jobs that have waited 30 s for each point between them and another lane go on in that one. */
  #raise(skipped?: Overlap): void {
    const { now, jobs } = this.state;
    const queued = jobs.filter(({ status, name }) => status === "queued" && !skipped?.jobs.has(name));
    const lanes = [...new Set([...queued, ...(skipped?.heads ?? [])].map(({ raisedTo }) => raisedTo))].sort((a, b) =>
      a - b
    );
    for (const job of queued) {
      const due = job.priority + Math.floor((now - job.queuedAt) / agingSeconds);
      const lane = lanes.findLast((priority) => priority <= due);
      if (lane === undefined || lane <= job.raisedTo) continue;
      job.raisedTo = lane;
      job.rank = this.#ranks.get(job.name) ?? job.rank;
    }
  }

  /**
   * Gives queued jobs to listening workers with free slots, the best job to the least loaded: in turns, of the kind whose
   * first job ranks best as many as rank no lower than another kind's first.
   */
  #push(): number {
    const skipped = this.#overlap?.atPush ? this.#overlap : undefined;
    const passed = new Set<number>();
    const open = new Set((["any", "gpu"] as const).filter((kind) => this.#places(kind, 1, passed).length > 0));
    for (let count = 0;;) {
      const queued = this.state.jobs.filter((job) => job.status === "queued").sort(byRank);
      const shown = queued.filter(({ name }) => !skipped?.jobs.has(name));
      const seen = [...shown, ...(skipped?.heads ?? [])].sort(byRank).filter(({ kind }) => open.has(kind));
      const kind = seen[0]?.kind;
      if (kind === undefined) return count;
      const rival = seen.find((job) => job.kind !== kind);
      const places = this.#places(kind, seen.filter((job) => job.kind === kind).length, passed);
      const jobs = queued
        .filter((job) => job.kind === kind && !skipped?.jobs.has(job.name))
        .slice(0, places.length)
        .filter((job, place) => place === 0 || rival === undefined || job.raisedTo >= rival.raisedTo);
      if (jobs.length === 0) open.delete(kind);
      const chosen = places.slice(0, jobs.length);
      const given = chosen.filter((index) => !skipped?.workers.has(index));
      for (const index of chosen) if (skipped?.workers.has(index)) passed.add(index);
      for (const [place, index] of given.entries()) this.#give(jobs[place]!, index, "assigned");
      count += given.length;
    }
  }

  /** Who gets the next jobs of a kind: each worker as often as it has slots, the least loaded first. */
  #places(kind: Kind, want: number, passed: ReadonlySet<number>): number[] {
    return this.state.workers
      .flatMap(({ status, listening, deaf, slots, serves }, index) => {
        const count = this.#heldBy(index).length;
        const isFit = status === "online" && listening && !deaf && serves.includes(kind) && !passed.has(index);
        return isFit ? Array.from({ length: slots - count }, (_, n) => ({ index, load: (count + n) / slots })) : [];
      })
      .sort((a, b) => a.load - b.load || this.#lastAssigned(a.index) - this.#lastAssigned(b.index) || a.index - b.index)
      .slice(0, want)
      .map(({ index }) => index);
  }

  /** Takes queued jobs for a worker: of the kind whose first job ranks best as many as it may, then of the next. */
  #take(index: number, want: number, skipped?: Overlap): Job[] {
    const { jobs } = this.state;
    const worker = this.#worker(index);
    let left = Math.min(want, worker.slots - this.#heldBy(index).length);
    if (worker.status !== "online" || left < 1) return [];
    const taken: Job[] = [];
    const queued = jobs.filter((job) => job.status === "queued" && worker.serves.includes(job.kind));
    // What another call has queued and not committed does not show; what it takes still does.
    const shown = queued.filter(({ name }) => !skipped?.jobs.has(name));
    const heads = [...shown, ...(skipped?.heads ?? []).filter(({ kind }) => worker.serves.includes(kind))].sort(
      byRank,
    );
    for (const kind of new Set(heads.map((job) => job.kind))) {
      const next = queued.filter((job) => job.kind === kind && !skipped?.jobs.has(job.name)).sort(byRank).slice(
        0,
        left,
      );
      for (const job of next) this.#give(job, index, "running");
      taken.push(...next);
      left -= next.length;
      if (left === 0) break;
    }
    return taken;
  }

  #give(job: Job, index: number, status: "assigned" | "running"): void {
    const { now } = this.state;
    job.status = status;
    job.worker = index;
    job.attempts += 1;
    job.holders.push(index);
    job.startedAt = status === "running" ? now : null;
    job.deadline = now + (status === "running" ? job.attemptSeconds : acknowledge);
    this.#worker(index).lastAssigned = now;
  }

  /** What was pushed to the worker, and up to `want` in all from the queue. */
  #nextJobs(index: number, want: number): Job[] {
    if (this.#worker(index).status === "offline") return [];
    const jobs = this.#handOver(index);
    const skipped = this.#overlap?.atStart ? this.#overlap : undefined;
    jobs.push(...this.#take(index, want - jobs.length, skipped));
    if (skipped) jobs.push(...this.#take(index, want - jobs.length));
    return jobs;
  }

  #handOver(index: number): Job[] {
    const pushed = this.#heldBy(index).filter(({ status }) => status === "assigned");
    for (const job of pushed) {
      job.status = "running";
      job.startedAt = this.state.now;
      job.deadline = this.state.now + job.attemptSeconds;
    }
    return pushed;
  }

  #stops(index: number, running: readonly Attempt[]): unknown[] {
    return sorted(
      running.filter((attempt) => !this.#isOwn(index, attempt)).map((attempt) => {
        const { worker, attempts, status } = this.#job(attempt.job);
        return { ...attempt, reason: worker !== index || attempts !== attempt.attempt ? "replaced" : status };
      }),
    );
  }

  /** Jobs that the worker was given and does not say it runs. */
  #unnamed(index: number, running: readonly Attempt[]): Job[] {
    return this.#heldBy(index).filter((job) =>
      job.status === "running" &&
      !running.some(({ job: name, attempt }) => name === job.name && attempt === job.attempts)
    );
  }

  #isOwn(index: number, { job: name, attempt }: Attempt): boolean {
    const job = this.#job(name);
    return held.includes(job.status) && job.worker === index && job.attempts === attempt;
  }

  #goOffline(worker: Worker): void {
    Object.assign(worker, { status: "offline", listening: false, deaf: false });
  }

  #wake(worker: Worker): void {
    worker.nonce = null;
    worker.wakeSent = this.state.now;
  }

  #keepLease(index: number, isBusy: boolean): void {
    this.#worker(index).leaseUntil = this.state.now + 3 * (isBusy ? busyBeat : idleBeat);
  }

  /** What a worker says of an attempt that it did hold is kept, once. */
  #keepLate(index: number, { job: name, attempt, status }: Report): void {
    const { holders, late } = this.#job(name);
    if (holders[attempt - 1] !== index || late.some((result) => result.attempt === attempt)) return;
    late.push({ attempt, worker: index, status });
    late.sort((a, b) => a.attempt - b.attempt);
  }

  #tickIsLate(): boolean {
    // Seen before the other tick is committed; by the time this call has its own locks, it may be.
    const { lastTick } = this.#overlap?.tick ?? this.state;
    return lastTick < this.state.now - tickLate;
  }

  /** At most so long until the next heartbeat; while nobody else ticks in time, idle workers are asked to beat sooner. */
  #nextBeat(isBusy: boolean): number {
    const { wasLate } = (this.#overlap?.atPush ? this.#overlap.tick : null) ?? this.state;
    return Math.min(isBusy ? busyBeat : idleBeat, wasLate ? tickLate : Infinity);
  }

  #lastAssigned(index: number): number {
    return this.#worker(index).lastAssigned ?? -1;
  }

  #heldBy(index: number): Job[] {
    return this.state.jobs.filter((job) => job.worker === index && held.includes(job.status));
  }

  #worker(index: number): Worker {
    return this.state.workers[index]!;
  }

  #job(name: string): Job {
    const job = this.state.jobs.find((job) => job.name === name);
    if (!job) throw new Error(`The model knows no job ${name}`);
    return job;
  }
}

type EndingDetails = { result?: unknown; error?: string | null; isFinal?: boolean };

/** The code of the error with which the workers of these tests report a failure. */
export function failureCode(retryable: boolean): string {
  return retryable ? "broken" : "hopeless";
}

/** In an order that does not depend on where the items came from. */
export function sorted<T>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
}
