import type { RotateMasterKeyAnswer } from "../../shared/contracts/secrets.ts";
import type { SecretsDb, StoredSecret } from "../../shared/db/secrets.ts";
import { MusterError } from "../../shared/errors.ts";
import type { Log } from "../../shared/http/log.ts";
import type { Vault } from "./vault.ts";

/** So many a call: a request has two seconds of CPU. */
const pageSize = 100;

/**
 * Encrypts the next secrets that have an older key with the current one. What is set or deleted meanwhile is left as it
 * is: a row is replaced only if it still has the ciphertext that was read.
 */
export async function rotateMasterKey(
  db: Pick<SecretsDb, "listSecretsToRotate" | "rotateSecrets">,
  vault: Vault,
  after: string | null,
  log: Log,
): Promise<RotateMasterKeyAnswer> {
  const page = await db.listSecretsToRotate(vault.keyId, pageSize, after);
  const items = (await Promise.all(page.map((secret) => reencrypted(vault, secret, log)))).filter((item) =>
    item !== null
  );
  const done = await db.rotateSecrets(vault.keyId, items);
  return {
    keyId: vault.keyId,
    ...done,
    unreadableCount: page.length - items.length,
    next: page.length < pageSize ? null : page.at(-1)?.id ?? null,
  };
}

/** Null for one that cannot be read: it must not keep the others from being rotated. */
async function reencrypted(vault: Vault, secret: StoredSecret, log: Log) {
  const { id, tenantId, name, ciphertext } = secret;
  try {
    return { id, ciphertext, newCiphertext: await vault.encrypt(secret, await vault.decrypt(secret)) };
  } catch (error) {
    if (!(error instanceof MusterError)) throw error;
    const cause = error.cause instanceof Error ? error.cause.message : "";
    log("error", "secret.unreadable", { tenantId, name, message: error.message, cause });
    return null;
  }
}
