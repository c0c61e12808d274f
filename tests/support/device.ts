import { deviceFingerprint, makeDeviceProof } from "../../shared/auth/device-proof.ts";
import type { EnrollAnswer, EnrollRequest, PublicJwk, RotateRequest } from "../../shared/contracts/enroll.ts";
import type { SealingJwk } from "../../shared/contracts/secrets.ts";
import { errorFromSql } from "../../shared/sql-errors.ts";
import { errorFromAnswer } from "../../shared/problem.ts";
import { project } from "./project.ts";
import { api } from "./tenant.ts";

/** The key of a machine, as a worker has it. */
export class Device {
  readonly publicJwk: PublicJwk;
  readonly #privateKey: CryptoKey;

  private constructor(privateKey: CryptoKey, publicJwk: PublicJwk) {
    this.#privateKey = privateKey;
    this.publicJwk = publicJwk;
  }

  static async create(): Promise<Device> {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const { x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
    if (x === undefined || y === undefined) throw new Error("The public key has no point");
    return new Device(pair.privateKey, { kty: "EC", crv: "P-256", x, y });
  }

  enrollProof(token: string, options?: { now?: () => number; jti?: string }): Promise<string> {
    return makeDeviceProof(this.#keys, { kind: "enroll", token }, options);
  }

  refreshProof(workerId: string, options?: { now?: () => number; jti?: string }): Promise<string> {
    return makeDeviceProof(this.#keys, { kind: "refresh", workerId }, options);
  }

  /** The body of `POST /enroll/rotate` by which `next` follows this key. */
  async rotateRequest(
    workerId: string,
    next: Device,
    options?: { now?: () => number; jti?: string },
  ): Promise<RotateRequest> {
    const newFingerprint = await deviceFingerprint(next.publicJwk);
    const proof = await makeDeviceProof(this.#keys, { kind: "rotate", workerId, newFingerprint }, options);
    return { workerId, publicJwk: next.publicJwk, proof, newProof: await next.succeedProof(workerId, proof) };
  }

  succeedProof(workerId: string, oldProof: string): Promise<string> {
    return makeDeviceProof(this.#keys, { kind: "succeed", workerId, oldProof });
  }

  secretsProof(
    of: { jobId: string; attempt: number; publicJwk: SealingJwk },
    options?: { now?: () => number; jti?: string },
  ): Promise<string> {
    return makeDeviceProof(this.#keys, { kind: "secrets", ...of }, options);
  }

  /** The body of `POST /enroll`. */
  async enrollRequest(token: string, more: Partial<EnrollRequest> = {}): Promise<EnrollRequest> {
    return {
      token,
      publicJwk: this.publicJwk,
      proof: await this.enrollProof(token),
      capabilities: ["compute/basic"],
      ...more,
    };
  }

  get #keys() {
    return { privateKey: this.#privateKey, publicJwk: this.publicJwk };
  }
}

/** A machine that was let in, and calls SQL functions with its own token. */
export interface EnrolledDevice {
  readonly device: Device;
  readonly enrolled: EnrollAnswer;
  /** Calls a function of schema muster as this worker; arguments and answer are in snake_case. */
  // deno-lint-ignore no-explicit-any -- tests look at answers field by field, which is the test
  readonly rpc: (name: string, args?: Record<string, unknown>) => Promise<any>;
}

/** Enrolls a new machine through the public door. */
export async function enrollDevice(token: string, more: Partial<EnrollRequest> = {}): Promise<EnrolledDevice> {
  const device = await Device.create();
  const answer = await api(null)("/enroll", { json: await device.enrollRequest(token, more) });
  if (answer.status !== 201) throw errorFromAnswer(answer.status, answer.body);
  const enrolled: EnrollAnswer = answer.body;
  return { device, enrolled, rpc: (name, args) => workerRpc(enrolled.accessToken, name, args) };
}

/** Claims jobs as a worker does: it asks again when its call had to do the tick's work first. */
export async function claimJobs(rpc: EnrolledDevice["rpc"], want = 1): ReturnType<EnrolledDevice["rpc"]> {
  while (true) {
    const { jobs, again } = await rpc("claim_jobs", { want });
    if (!again) return jobs;
  }
}

/** Calls a function of schema muster with a token; a failure is a MusterError. */
export async function workerRpc(
  accessToken: string,
  name: string,
  args: Record<string, unknown> = {},
  // deno-lint-ignore no-explicit-any -- tests look at answers field by field, which is the test
): Promise<any> {
  const response = await fetch(`${project.url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      apikey: project.publishableKey,
      authorization: `Bearer ${accessToken}`,
      "content-profile": "muster",
      "content-type": "application/json",
    },
    body: JSON.stringify(args),
  });
  const body = await response.json();
  if (!response.ok) throw errorFromSql(body, response.status);
  return body;
}
