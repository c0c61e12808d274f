import { compactDecrypt, CompactEncrypt } from "jose";
import type { EncryptedSecret, SecretLabel } from "../../shared/db/secrets.ts";
import { type MusterError, musterError } from "../../shared/errors.ts";

/** The keys that secrets are encrypted with at rest. */
export interface MasterKeys {
  readonly currentId: string;
  readonly keys: ReadonlyMap<string, Uint8Array>;
}

/** Encrypts the values of secrets for their place in the database, and decrypts what is found there. */
export interface Vault {
  /** The key that `encrypt` uses. */
  readonly keyId: string;
  encrypt(label: SecretLabel, value: string): Promise<string>;
  /** Throws `unavailable` when the key is missing, or the ciphertext is not one of this secret and version. */
  decrypt(secret: EncryptedSecret): Promise<string>;
}

const type = "muster-secret";

export function createVault({ currentId, keys }: MasterKeys): Vault {
  const currentKey = keys.get(currentId);
  if (currentKey === undefined) throw new Error(`Cannot encrypt with master key "${currentId}": it is not there`);
  return {
    keyId: currentId,
    // The label is in the header, which is authenticated along with the value: a row cannot be given another's ciphertext.
    encrypt: ({ tenantId, name, version }, value) =>
      new CompactEncrypt(new TextEncoder().encode(value))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM", typ: type, kid: currentId, tenantId, name, version })
        .encrypt(currentKey),
    async decrypt({ tenantId, name, version, ciphertext }) {
      try {
        const { plaintext, protectedHeader: header } = await compactDecrypt(
          ciphertext,
          ({ kid = "" }) => keys.get(kid) ?? missing(kid),
          { keyManagementAlgorithms: ["dir"], contentEncryptionAlgorithms: ["A256GCM"] },
        );
        const fits = header.typ === type && header["tenantId"] === tenantId && header["name"] === name &&
          header["version"] === version;
        if (!fits) throw new Error("the ciphertext belongs to another secret or version");
        return new TextDecoder().decode(plaintext);
      } catch (cause) {
        throw unreadable(name, cause);
      }
    },
  };
}

function missing(kid: string): never {
  throw new Error(`master key "${kid.slice(0, 64)}" is missing in MUSTER_MASTER_KEYS`);
}

function unreadable(name: string, cause: unknown): MusterError {
  return musterError("unavailable", `Cannot decrypt secret ${name}: its master key is missing or does not fit`, {
    cause,
    advice: "Ask an operator to look at the log of the function secrets and at MUSTER_MASTER_KEYS",
  });
}
