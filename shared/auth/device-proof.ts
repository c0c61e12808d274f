import { calculateJwkThumbprint, compactVerify, decodeProtectedHeader, errors, importJWK, SignJWT } from "jose";
import type { PublicJwk } from "../contracts/enroll.ts";
import { limits } from "../contracts/limits.ts";
import type { SealingJwk } from "../contracts/secrets.ts";
import { MusterError, musterError } from "../errors.ts";
import { sha256Hex } from "./hash.ts";

/**
 * What a device proof is for: to enroll with a token, to refresh the token of a worker, to open the secrets of an
 * attempt, or to change the worker's key. A proof for one is of no use for the others, nor with another token, worker,
 * attempt or key.
 *
 * A change takes two: `rotate`, by which the old key names the new one, and `succeed`, by which the new one answers to
 * that very proof.
 */
export type ProofPurpose =
  | { readonly kind: "enroll"; readonly token: string }
  | { readonly kind: "refresh"; readonly workerId: string }
  | { readonly kind: "rotate"; readonly workerId: string; readonly newFingerprint: string }
  | { readonly kind: "succeed"; readonly workerId: string; readonly oldProof: string }
  | {
    readonly kind: "secrets";
    readonly jobId: string;
    readonly attempt: number;
    /** Public half of the key that the secrets are to be sealed to. */
    readonly publicJwk: SealingJwk;
  };

/** What a verified proof says. */
export interface DeviceProof {
  /** RFC 7638 thumbprint of the key that signed. */
  readonly fingerprint: string;
  /** To be remembered until `expiresAt`: a proof counts once. */
  readonly jti: string;
  readonly expiresAt: Date;
}

const proofType = "muster-proof+jwt";

function audience(purpose: ProofPurpose): string {
  return `muster:${purpose.kind}`;
}

/** What a proof for a purpose must say, and how the rule for each claim reads. */
async function claimsFor(
  purpose: ProofPurpose,
): Promise<Readonly<Record<string, { value: string | number; rule: string }>>> {
  const worker = (workerId: string) => ({ value: workerId, rule: "the worker's id" });
  switch (purpose.kind) {
    case "enroll":
      return { tkh: { value: await sha256Hex(purpose.token), rule: "the sha256 of the enrollment token" } };
    case "refresh":
      return { sub: worker(purpose.workerId) };
    case "rotate":
      return {
        sub: worker(purpose.workerId),
        njkt: { value: purpose.newFingerprint, rule: "the new key's thumbprint" },
      };
    case "succeed":
      return {
        sub: worker(purpose.workerId),
        oph: { value: await sha256Hex(purpose.oldProof), rule: "the sha256 of the old key's proof" },
      };
    case "secrets":
      return {
        job: { value: purpose.jobId.toLowerCase(), rule: "the job's id" },
        att: { value: purpose.attempt, rule: "the attempt" },
        sealing_jkt: {
          value: await calculateJwkThumbprint(purpose.publicJwk, "sha256"),
          rule: "the thumbprint of publicJwk",
        },
      };
  }
}

/** RFC 7638 thumbprint of a device's key: its `device_fingerprint`, and `cnf.jkt` of its tokens. */
export function deviceFingerprint(publicJwk: PublicJwk): Promise<string> {
  return calculateJwkThumbprint({ kty: publicJwk.kty, crv: publicJwk.crv, x: publicJwk.x, y: publicJwk.y }, "sha256");
}

/** Signs a proof that the caller holds the private key; good for 60 seconds and one request. */
export async function makeDeviceProof(
  key: { readonly privateKey: CryptoKey; readonly publicJwk: PublicJwk },
  purpose: ProofPurpose,
  options: { readonly now?: () => number; readonly jti?: string } = {},
): Promise<string> {
  const { kty, crv, x, y } = key.publicJwk;
  const claims = Object.fromEntries(
    Object.entries(await claimsFor(purpose)).map(([name, { value }]) => [name, value]),
  );
  return await new SignJWT(claims)
    .setProtectedHeader({ typ: proofType, alg: "ES256", jwk: { kty, crv, x, y } })
    .setAudience(audience(purpose))
    .setJti(options.jti ?? crypto.randomUUID())
    .setIssuedAt(Math.floor((options.now?.() ?? Date.now()) / 1000))
    .sign(key.privateKey);
}

/**
 * Verifies a proof by the key in its own header. Whether that key is the worker's is for the caller to ask, by the
 * fingerprint; whether the `jti` was seen before is for the database.
 */
export async function verifyDeviceProof(
  proof: string,
  purpose: ProofPurpose,
  options: { readonly now?: () => number } = {},
): Promise<DeviceProof> {
  const nowSeconds = (options.now?.() ?? Date.now()) / 1000;
  const { jwk, claims } = await verified(proof);
  if (claims["aud"] !== audience(purpose)) throw invalid(`aud must be "${audience(purpose)}"`);
  const { iat, jti } = claims;
  if (typeof iat !== "number" || !Number.isFinite(iat)) throw invalid("iat must be a number of seconds");
  if (typeof jti !== "string" || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(jti)) {
    throw invalid("jti must be a UUID");
  }
  for (const [name, { value, rule }] of Object.entries(await claimsFor(purpose))) {
    if (claims[name] !== value) throw invalid(`${name} must be ${rule}`);
  }
  if (Math.abs(nowSeconds - iat) > limits.proofSeconds) throw skewed(iat, nowSeconds);
  return {
    fingerprint: await deviceFingerprint(jwk),
    jti: jti.toLowerCase(),
    // A proof from a clock that runs ahead stays good longer, so it is remembered longer.
    expiresAt: new Date((iat + limits.proofSeconds + 1) * 1000),
  };
}

async function verified(proof: string): Promise<{ jwk: PublicJwk; claims: Record<string, unknown> }> {
  try {
    const header = decodeProtectedHeader(proof);
    if (header.typ !== proofType) throw invalid(`typ must be "${proofType}"`);
    if (header.alg !== "ES256") throw invalid("alg must be ES256");
    const { kty, crv, x, y } = header.jwk ?? {};
    if (kty !== "EC" || crv !== "P-256" || typeof x !== "string" || typeof y !== "string") {
      throw invalid("jwk must be an EC P-256 key");
    }
    const jwk = { kty: "EC", crv: "P-256", x, y } as const;
    const { payload } = await compactVerify(proof, await importJWK(jwk, "ES256"), { algorithms: ["ES256"] });
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (typeof claims !== "object" || claims === null || Array.isArray(claims)) {
      throw invalid("claims must be an object");
    }
    return { jwk, claims: claims as Record<string, unknown> };
  } catch (error) {
    if (error instanceof MusterError) throw error;
    const why = error instanceof errors.JWSSignatureVerificationFailed ? "the signature is wrong" : "it is malformed";
    throw musterError("proof_invalid", `Cannot accept the device proof: ${why}`, { cause: error });
  }
}

function invalid(rule: string): MusterError {
  return musterError("proof_invalid", `Cannot accept the device proof: ${rule}`);
}

function skewed(iat: number, nowSeconds: number): MusterError {
  const serverTime = new Date(nowSeconds * 1000).toISOString();
  const seconds = Math.round(Math.abs(nowSeconds - iat));
  const direction = iat < nowSeconds ? "behind" : "ahead of";
  return musterError(
    "clock_skewed",
    `Cannot accept the device proof: its clock is ${seconds} s ${direction} the server's, ` +
      `which says ${serverTime}; the rule is at most ${limits.proofSeconds} s`,
    { serverTime },
  );
}
