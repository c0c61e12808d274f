import type { DeviceProof } from "../auth/device-proof.ts";
import type { Caller } from "../auth/caller.ts";
import type { SqlCall } from "./sql-call.ts";

/** A machine that asks to be let in; its proof was verified. */
export interface EnrollingWorker {
  readonly name: string | null;
  readonly publicJwk: { readonly kty: "EC"; readonly crv: "P-256"; readonly x: string; readonly y: string };
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
  enrollWorker(tokenHash: string, worker: EnrollingWorker, proof: DeviceProof): Promise<EnrolledWorker>;
  refreshWorker(workerId: string, proof: DeviceProof): Promise<EnrolledWorker>;
  /** The executor behind an API key. */
  authorizeClient(caller: Caller): Promise<{ tenantId: string; executorId: string }>;
}

export function createEnrollDb(call: SqlCall): EnrollDb {
  return {
    enrollWorker: (tokenHash, worker, { fingerprint, jti, expiresAt }) =>
      call("enroll_worker", {
        tokenHash,
        worker: { ...worker, fingerprint, proofJti: jti, proofExpiresAt: expiresAt.toISOString() },
      }),
    refreshWorker: (workerId, { fingerprint, jti, expiresAt }) =>
      call("refresh_worker", { workerId, fingerprint, proofJti: jti, proofExpiresAt: expiresAt.toISOString() }),
    authorizeClient: (caller) => call("authorize_client", {}, caller),
  };
}
