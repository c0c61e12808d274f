import type { DeviceProof } from "../auth/device-proof.ts";
import type { Caller } from "../auth/caller.ts";
import { errorFromSql } from "../sql-errors.ts";
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
  /** `address` is where the request came from, if that is known. */
  enrollWorker(
    tokenHash: string,
    worker: EnrollingWorker,
    proof: DeviceProof,
    address: string | null,
  ): Promise<EnrolledWorker>;
  refreshWorker(workerId: string, proof: DeviceProof): Promise<EnrolledWorker>;
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
    authorizeClient: (caller) => call("authorize_client", {}, caller),
  };
}
