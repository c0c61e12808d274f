import { decodeJwt } from "jose";
import type { Caller } from "../../shared/auth/caller.ts";
import { type DeviceProof, verifyDeviceProof } from "../../shared/auth/device-proof.ts";
import { sealSecrets } from "../../shared/auth/sealed-secrets.ts";
import type { OpenSecretsRequest } from "../../shared/contracts/secrets.ts";
import type { SecretsDb } from "../../shared/db/secrets.ts";
import { musterError, ProofInvalidError, WorkerRevokedError } from "../../shared/errors.ts";
import type { Vault } from "./vault.ts";

const noProof: DeviceProof = { fingerprint: "", jti: "", expiresAt: new Date(0) };

/**
 * Seals the secrets of an attempt to a key that the worker made for this request. Its token tells which worker asks, the
 * proof that the machine itself does: either alone opens nothing.
 */
export async function openSecrets(
  db: Pick<SecretsDb, "authorizeSecrets" | "openSecrets">,
  vault: Vault,
  caller: Caller,
  { jobId, attempt, publicJwk, proof }: OpenSecretsRequest,
  now: () => number,
): Promise<{ sealed: string; names: string[] }> {
  // A key that is no point of the curve is found before anything is written.
  await sealSecrets({}, publicJwk);
  const workerId = await workerOf(db, caller);
  const verified = await verifyDeviceProof(proof, { kind: "secrets", jobId, attempt, publicJwk }, { now })
    .catch(async (error: unknown) => {
      // Without a key it is refused in any case: this is for the row in the audit log.
      if (error instanceof ProofInvalidError) await db.openSecrets(workerId, noProof, jobId, attempt).catch(() => {});
      throw error;
    });
  const encrypted = await db.openSecrets(workerId, verified, jobId, attempt);
  const values = await Promise.all(
    encrypted.map(async (secret) => [secret.name, await vault.decrypt(secret)] as const),
  );
  return { sealed: await sealSecrets(Object.fromEntries(values), publicJwk), names: encrypted.map(({ name }) => name) };
}

async function workerOf(db: Pick<SecretsDb, "authorizeSecrets">, caller: Caller): Promise<string> {
  if (caller.kind !== "worker") throw musterError("forbidden", "Cannot open secrets: only a worker can");
  try {
    return (await db.authorizeSecrets(caller)).workerId;
  } catch (error) {
    // The database took the token before it found the worker revoked, so the token's subject is true; open_secrets()
    // refuses as well, and leaves a row in the audit log.
    const subject = error instanceof WorkerRevokedError ? decodeJwt(caller.token).sub : undefined;
    if (subject === undefined) throw error;
    return subject;
  }
}
