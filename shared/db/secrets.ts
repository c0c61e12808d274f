import type { Caller } from "../auth/caller.ts";
import type { DeviceProof } from "../auth/device-proof.ts";
import type { ListSecretsQuery, Secret, SecretList } from "../contracts/secrets.ts";
import { type DataApiError, errorFromSql } from "../sql-errors.ts";
import type { SqlCall } from "./sql-call.ts";

/** What a value is encrypted for: a ciphertext is of no use in the place of another. */
export interface SecretLabel {
  readonly tenantId: string;
  readonly name: string;
  /** Counts the values of the name. */
  readonly version: number;
}

export interface EncryptedSecret extends SecretLabel {
  readonly ciphertext: string;
}

export interface StoredSecret extends EncryptedSecret {
  readonly id: string;
}

export interface NewSecret {
  readonly name: string;
  readonly version: number;
  readonly ciphertext: string;
  readonly keyId: string;
  /** Null keeps those of the present value. */
  readonly allowedTypes: readonly string[] | null;
}

export interface SecretsDb {
  /** What the next value of the name is encrypted for. */
  prepareSecret(caller: Caller, name: string): Promise<Pick<SecretLabel, "tenantId" | "version">>;
  /** A conflict when another value was set since `prepareSecret`. */
  setSecret(caller: Caller, secret: NewSecret): Promise<Secret>;
  listSecrets(caller: Caller, query: ListSecretsQuery): Promise<SecretList>;
  deleteSecret(caller: Caller, name: string): Promise<Secret>;
  /** The worker behind a token. */
  authorizeSecrets(caller: Caller): Promise<{ readonly workerId: string }>;
  /** What the job of an attempt names, when the worker whose device made the proof holds that attempt. */
  openSecrets(workerId: string, proof: DeviceProof, jobId: string, attempt: number): Promise<EncryptedSecret[]>;
  /** Up to 100 secrets of all tenants that are encrypted with another key. */
  listSecretsToRotate(keyId: string, pageSize: number, after: string | null): Promise<StoredSecret[]>;
  rotateSecrets(
    keyId: string,
    items: readonly { readonly id: string; readonly ciphertext: string; readonly newCiphertext: string }[],
  ): Promise<{ readonly rotatedCount: number; readonly leftCount: number }>;
}

/** A refusal comes as a value, so that the row of the audit log that tells of it stays. */
type Opened =
  | { readonly refused: DataApiError }
  | { readonly refused: null; readonly secrets: EncryptedSecret[] };

export function createSecretsDb(call: SqlCall): SecretsDb {
  return {
    prepareSecret: (caller, name) => call("prepare_secret", { name }, caller),
    setSecret: (caller, secret) => call("set_secret", { secret }, caller),
    listSecrets: (caller, { limit, cursor }) =>
      call("list_secrets", { pageSize: limit, cursor: cursor ?? null }, caller),
    deleteSecret: (caller, name) => call("delete_secret", { name }, caller),
    authorizeSecrets: (caller) => call("authorize_secrets", {}, caller),
    async openSecrets(workerId, { fingerprint, jti, expiresAt }, jobId, attempt) {
      const answer = await call<Opened>("open_secrets", {
        workerId,
        fingerprint,
        proofJti: jti,
        proofExpiresAt: expiresAt.toISOString(),
        jobId,
        attempt,
      });
      if (answer.refused !== null) throw errorFromSql(answer.refused);
      return answer.secrets;
    },
    listSecretsToRotate: async (keyId, pageSize, after) =>
      (await call<{ secrets: StoredSecret[] }>("list_secrets_to_rotate", { keyId, pageSize, after })).secrets,
    rotateSecrets: (keyId, items) => call("rotate_secrets", { keyId, items }),
  };
}
