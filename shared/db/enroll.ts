import type { DeviceProof } from "../auth/device-proof.ts";
import type { Caller } from "../auth/caller.ts";
import { errorFromSql } from "../sql-errors.ts";
import type { SqlCall } from "./sql-call.ts";

/** Of a public JWK what makes the key, and nothing else that was sent along. */
export interface EcPublicKey {
  readonly kty: "EC";
  readonly crv: "P-256";
  readonly x: string;
  readonly y: string;
}

/** A machine that asks to be let in; its proof was verified. */
export interface EnrollingWorker {
  readonly name: string | null;
  readonly publicJwk: EcPublicKey;
  readonly capabilities: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly slots: number;
  readonly version: string | null;
}

export interface EnrolledWorker {
  readonly workerId: string;
  readonly tenantId: string;
  readonly name: string;
  /** What is left of the claimed ones after the cut by the enrollment token. */
  readonly capabilities: string[];
  readonly labels: Record<string, string>;
}

export interface EnrollDb {
  /** `address` is where the request came from, if that is known. */
  enrollWorker(
    tokenHash: string,
    worker: EnrollingWorker,
    proof: DeviceProof,
    address: string | null,
  ): Promise<EnrolledWorker>;
  refreshWorker(workerId: string, proof: DeviceProof): Promise<EnrolledWorker>;
  /** `proof` is the old key's; that of the new key was verified, too. */
  rotateWorkerKey(
    workerId: string,
    proof: DeviceProof,
    newKey: { readonly publicJwk: EcPublicKey; readonly fingerprint: string },
  ): Promise<EnrolledWorker>;
  /** Counts a request of a machine against its address. */
  chargeAddress(address: string | null): Promise<void>;
  /** The executor behind an API key. */
  authorizeClient(caller: Caller): Promise<{ tenantId: string; executorId: string }>;
}

/** A refusal is an answer rather than a failed call: its row in the audit log has to stay. */
type EnrollOutcome = EnrolledWorker | {
  readonly refused: { readonly code: string; readonly message: string; readonly hint: string };
};

export function createEnrollDb(call: SqlCall): EnrollDb {
  return {
    enrollWorker: async (tokenHash, worker, { fingerprint, jti, expiresAt }, address) => {
      const outcome = await call<EnrollOutcome>("enroll_worker", {
        tokenHash,
        worker: { ...worker, fingerprint, proofJti: jti, proofExpiresAt: expiresAt.toISOString() },
        address,
      });
      if ("refused" in outcome) throw errorFromSql(outcome.refused);
      return outcome;
    },
    refreshWorker: (workerId, { fingerprint, jti, expiresAt }) =>
      call("refresh_worker", { workerId, fingerprint, proofJti: jti, proofExpiresAt: expiresAt.toISOString() }),
    rotateWorkerKey: (workerId, { fingerprint, jti, expiresAt }, newKey) =>
      call("rotate_worker_key", {
        workerId,
        fingerprint,
        newJwk: newKey.publicJwk,
        newFingerprint: newKey.fingerprint,
        proofJti: jti,
        proofExpiresAt: expiresAt.toISOString(),
      }),
    chargeAddress: (address) => call("charge_address", { address, purpose: "enroll" }),
    authorizeClient: (caller) => call("authorize_client", {}, caller),
  };
}
