import type { ProofPurpose } from "../shared/auth/device-proof.ts";
import { makeSealingKey, type SecretValues, unsealSecrets } from "../shared/auth/sealed-secrets.ts";
import { OpenSecretsAnswer } from "../shared/contracts/secrets.ts";
import { MusterError, UnauthenticatedError, UnavailableError } from "../shared/errors.ts";
import { errorFromAnswer } from "../shared/problem.ts";
import { sleep } from "../shared/sleep.ts";
import type { Assignment } from "./attempt.ts";
import { exchange } from "./http.ts";
import { retryDelay } from "./retry-delay.ts";

export interface JobSecretsOptions {
  readonly url: string;
  readonly headers: (options: { readonly renew: boolean }) => Promise<Readonly<Record<string, string>>>;
  /** Makes a call with a proof by the device key. */
  readonly withProof: <T>(purpose: ProofPurpose, call: (proof: string) => Promise<T>) => Promise<T>;
  readonly fetch: typeof fetch;
  readonly random?: () => number;
}

/** So many tries, in some seconds, before the attempt fails; the job may be tried again. */
const mostTries = 5;

/** Gets the secrets that jobs name. */
export class JobSecrets {
  readonly #options: JobSecretsOptions;

  constructor(options: JobSecretsOptions) {
    this.#options = options;
  }

  /** Opens the secrets of an attempt; a refusal throws at once, and what may pass after a few tries. */
  async open(assignment: Assignment, signal: AbortSignal): Promise<SecretValues> {
    let renew = false;
    for (let failures = 1;; failures += 1) {
      try {
        return await this.#open(assignment, signal, renew);
      } catch (error) {
        signal.throwIfAborted();
        // A token may end early: the machine slept, or the signing key was changed.
        const expired: boolean = error instanceof UnauthenticatedError && !renew;
        renew = expired;
        const passes = expired || (error instanceof MusterError && error.retryable);
        if (!passes || failures >= mostTries) throw error;
        if (!expired) await sleep(retryDelay(failures, this.#options), signal);
        signal.throwIfAborted();
      }
    }
  }

  async #open({ jobId, attempt, secrets }: Assignment, signal: AbortSignal, renew: boolean): Promise<SecretValues> {
    const { url, headers, withProof, fetch } = this.#options;
    // A key for this request alone: who records the answer cannot read it, not even with the device key.
    const key = await makeSealingKey();
    const { publicJwk } = key;
    const answer = await withProof({ kind: "secrets", jobId, attempt, publicJwk }, async (proof) => {
      const answered = await exchange(`${url}/functions/v1/secrets/open`, {
        fetch,
        method: "POST",
        headers: await headers({ renew }),
        json: { jobId, attempt, publicJwk, proof },
        signal,
      });
      if (!answered.ok) throw errorFromAnswer(answered.status, answered.body);
      return answered;
    });
    const values = await OpenSecretsAnswer.parseAsync(answer.body).then(({ sealed }) => unsealSecrets(sealed, key))
      .catch((cause) => {
        throw new UnavailableError(`Cannot read the secrets of job ${jobId}: the answer is not sealed to us`, {
          cause,
        });
      });
    const missing = secrets.find((name) => !Object.hasOwn(values, name));
    if (missing !== undefined) {
      throw new UnavailableError(`Cannot open secret ${missing}: the answer has no such secret`);
    }
    return values;
  }
}
