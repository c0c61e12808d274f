import type { ProofPurpose } from "../shared/auth/device-proof.ts";
import { EnrollAnswer } from "../shared/contracts/enroll.ts";
import { ClockSkewedError, MusterError, UnauthenticatedError } from "../shared/errors.ts";
import { errorFromAnswer } from "../shared/problem.ts";
import { sleep } from "../shared/sleep.ts";
import { exchange } from "./http.ts";
import type { Identity } from "./identity.ts";
import type { Log } from "./log.ts";
import { NotMusterError } from "./not-muster-error.ts";
import { retryDelay } from "./retry-delay.ts";

export interface SessionOptions {
  readonly url: string;
  readonly identity: Identity;
  readonly fetch: typeof fetch;
  readonly log: Log;
  /** Headers for the gateway, such as `apikey`, when the key is known. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** Called with every new token. */
  readonly onToken: (token: string) => void;
}

/** What the worker says of itself when it enrolls. */
export interface EnrollDetails {
  readonly token: string;
  readonly name?: string | undefined;
  readonly capabilities: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly slots: number;
  readonly version: string;
}

/** Makes a request's body with proofs of the given time; each try takes new ones. */
type ProvingBody = (now: () => number) => Promise<Record<string, unknown>>;

/** Calls wait for a new token: this must fit into the lease of the jobs that run. */
const timeoutMs = 8_000;

/** The worker's token: got by enrolling, kept fresh by proofs of the device key. */
export class Session {
  readonly #options: SessionOptions;
  readonly #ended = new AbortController();
  #token: string | undefined;
  #refreshing: Promise<string> | undefined;
  #renewAt = 0;
  #expiresAt = 0;
  #clockOffsetMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Joins the project with an enrollment token. */
  async enroll(details: EnrollDetails): Promise<EnrollAnswer> {
    const { identity } = this.#options;
    const { token, name, capabilities, labels, slots, version } = details;
    const answer = await this.#post("/functions/v1/enroll", async (now) => ({
      ...{ token, capabilities, labels, slots, version },
      ...(name === undefined ? {} : { name }),
      publicJwk: identity.publicJwk,
      proof: await identity.prove({ kind: "enroll", token }, now),
    }));
    await this.#take(answer);
    return answer;
  }

  /**
   * Gives the worker a new key; the old one, and every token bound to it, is void from then on. A change that an earlier
   * process began is carried through, which is all it takes.
   */
  async rotateKey(): Promise<void> {
    // Not while a token is being got by the old key. What asks for a token meanwhile waits for this.
    while (this.#refreshing !== undefined) await this.#refreshing.catch(() => {});
    this.#refreshing = this.#rotate().finally(() => this.#refreshing = undefined);
    await this.#refreshing;
  }

  /** Gets a new token by a proof of the device key. Calls at the same time share one request. */
  refresh(): Promise<string> {
    this.#refreshing ??= this.#refresh().finally(() => this.#refreshing = undefined);
    return this.#refreshing;
  }

  /** A token that is good now; `renew` when the present one was refused. */
  async token(options: { renew?: boolean } = {}): Promise<string> {
    const expired = performance.now() >= this.#expiresAt;
    if (this.#token !== undefined && !expired && options.renew !== true) return this.#token;
    return await this.refresh();
  }

  /** The machine slept for so long: the token is older than the timers know. */
  wasAway(milliseconds: number): void {
    this.#expiresAt -= milliseconds;
    this.#renewAt -= milliseconds;
    if (this.#token !== undefined) this.#schedule();
  }

  /** Stops refreshing. */
  close(): void {
    this.#ended.abort();
    clearTimeout(this.#timer);
  }

  async #refresh(): Promise<string> {
    const { identity } = this.#options;
    const workerId = this.#workerId("refresh a token");
    if (identity.isRotating) return await this.#finishRotation(workerId);
    const answer = await this.#post("/functions/v1/enroll/refresh", async (now) => ({
      workerId,
      proof: await identity.prove({ kind: "refresh", workerId }, now),
    }));
    return await this.#take(answer);
  }

  async #rotate(): Promise<string> {
    const workerId = this.#workerId("change the key");
    await this.#options.identity.beginRotation();
    return await this.#finishRotation(workerId);
  }

  /**
   * Both keys are on disk, and one of them is the worker's. If it is the old one, the change is made (again); a request
   * of an earlier try that arrives after that finds its key void. If not, the answer to an earlier try was lost.
   */
  async #finishRotation(workerId: string): Promise<string> {
    const { identity } = this.#options;
    try {
      const rotated = await this.#post("/functions/v1/enroll/rotate", async (now) => ({
        workerId,
        ...await identity.proveRotation(workerId, now),
      }));
      return await this.#succeed(rotated);
    } catch (error) {
      if (!(error instanceof MusterError)) throw error;
      if (error.code === "conflict") await identity.dropRotation();
      if (error.code !== "proof_invalid") throw error;
    }
    const answer = await this.#post("/functions/v1/enroll/refresh", async (now) => ({
      workerId,
      proof: await identity.proveAsNext({ kind: "refresh", workerId }, now),
    }));
    return await this.#succeed(answer);
  }

  async #succeed(answer: EnrollAnswer): Promise<string> {
    await this.#options.identity.finishRotation();
    const { workerId } = answer;
    this.#options.log({ level: "info", event: "worker.key_rotated", message: "has a new key", fields: { workerId } });
    return await this.#take(answer);
  }

  #workerId(doing: string): string {
    const { workerId } = this.#options.identity;
    if (workerId === null) throw new UnauthenticatedError(`Cannot ${doing}: this worker has not enrolled`);
    return workerId;
  }

  async #take(answer: EnrollAnswer): Promise<string> {
    await this.#options.identity.remember(answer);
    this.#token = answer.accessToken;
    // Lengths of time, not instants: this machine's clock may be off.
    const lifeMs = answer.expiresIn * 1000;
    this.#expiresAt = performance.now() + lifeMs;
    this.#renewAt = performance.now() + lifeMs * 0.8;
    this.#schedule();
    this.#options.onToken(answer.accessToken);
    return answer.accessToken;
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#ended.signal.aborted) return;
    // A timer holds 31 bits of milliseconds.
    const waitMs = Math.min(Math.max(0, this.#renewAt - performance.now()), 2 ** 31 - 1);
    this.#timer = setTimeout(() => void this.#renew(), waitMs);
  }

  /** Renews ahead of the end, trying until it works: the last fifth of a token's life is spare time. */
  async #renew(): Promise<void> {
    for (let failures = 1; !this.#ended.signal.aborted; failures += 1) {
      try {
        await this.refresh();
        return;
      } catch (error) {
        this.#options.log({
          level: "warn",
          event: "token.refresh_failed",
          message: `Cannot refresh the worker's token: ${error instanceof Error ? error.message : String(error)}`,
          fields: error instanceof MusterError ? { code: error.code } : {},
        });
        // A worker that was shut out hears of it from its next call as well; asking again would not help.
        if (error instanceof MusterError && ["worker_revoked", "proof_invalid"].includes(error.code)) return;
        await sleep(retryDelay(failures, { baseMs: 1000, capMs: 30_000, error }), this.#ended.signal);
      }
    }
  }

  /** Makes a call with a proof of the device key. */
  withProof<T>(purpose: ProofPurpose, call: (proof: string) => Promise<T>): Promise<T> {
    return this.#byProjectTime(async (now) => await call(await this.#options.identity.prove(purpose, now)));
  }

  /** A proof is refused where this machine's clock is off, with the project's time: the next one goes by that. */
  async #byProjectTime<T>(call: (now: () => number) => Promise<T>): Promise<T> {
    const now = () => Date.now() + this.#clockOffsetMs;
    try {
      return await call(now);
    } catch (error) {
      const serverTime = error instanceof ClockSkewedError ? Date.parse(error.serverTime ?? "") : NaN;
      if (Number.isNaN(serverTime)) throw error;
      this.#clockOffsetMs = serverTime - Date.now();
      this.#tellClock();
      return await call(now);
    }
  }

  #post(path: string, body: ProvingBody): Promise<EnrollAnswer> {
    return this.#byProjectTime(async (now) => await this.#send(path, await body(now)));
  }

  #tellClock(): void {
    const seconds = Math.round(Math.abs(this.#clockOffsetMs) / 1000);
    const distance = seconds < 120 ? `${seconds} seconds` : `${Math.round(seconds / 60)} minutes`;
    const direction = this.#clockOffsetMs > 0 ? "behind" : "ahead of";
    this.#options.log({
      level: "warn",
      event: "clock.skewed",
      message: `this machine's clock is ${distance} ${direction} the project's: going by the project's; set the clock`,
      fields: { seconds },
    });
  }

  async #send(path: string, json: Record<string, unknown>): Promise<EnrollAnswer> {
    const { url, fetch, headers } = this.#options;
    const answer = await exchange(url + path, { fetch, method: "POST", headers: headers(), json, timeoutMs });
    if (!answer.ok) {
      const error = errorFromAnswer(answer.status, answer.body);
      // A problem document carries the request's id; a gateway that is busy may answer without one.
      if (error.correlationId !== undefined || error.code === "unavailable") throw error;
      throw new NotMusterError(url, answer.status, answer.body);
    }
    const parsed = EnrollAnswer.safeParse(answer.body);
    if (!parsed.success) throw new NotMusterError(url, answer.status, answer.body);
    return parsed.data;
  }
}
