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
    const answer = await this.#post("/functions/v1/enroll", { kind: "enroll", token: details.token }, {
      token: details.token,
      publicJwk: identity.publicJwk,
      ...(details.name === undefined ? {} : { name: details.name }),
      capabilities: details.capabilities,
      labels: details.labels,
      slots: details.slots,
      version: details.version,
    });
    await this.#take(answer);
    return answer;
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
    if (identity.workerId === null) {
      throw new UnauthenticatedError("Cannot refresh a token: this worker has not enrolled");
    }
    const { workerId } = identity;
    const answer = await this.#post("/functions/v1/enroll/refresh", { kind: "refresh", workerId }, { workerId });
    return await this.#take(answer);
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
        // A revoked worker hears of it from its next call as well; asking again would not help.
        if (error instanceof MusterError && error.code === "worker_revoked") return;
        await sleep(retryDelay(failures, { baseMs: 1000, capMs: 30_000 }), this.#ended.signal);
      }
    }
  }

  /** A proof is refused where this machine's clock is off, with the project's time: the next one goes by that. */
  async #post(path: string, purpose: ProofPurpose, body: Record<string, unknown>): Promise<EnrollAnswer> {
    try {
      return await this.#postProof(path, purpose, body);
    } catch (error) {
      const serverTime = error instanceof ClockSkewedError ? Date.parse(error.serverTime ?? "") : NaN;
      if (Number.isNaN(serverTime)) throw error;
      this.#clockOffsetMs = serverTime - Date.now();
      this.#tellClock();
      return await this.#postProof(path, purpose, body);
    }
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

  async #postProof(path: string, purpose: ProofPurpose, body: Record<string, unknown>): Promise<EnrollAnswer> {
    const { url, identity, fetch, headers } = this.#options;
    const proof = await identity.prove(purpose, () => Date.now() + this.#clockOffsetMs);
    const json = { ...body, proof };
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
