import type { Caller } from "../../shared/auth/caller.ts";
import type { Secret, SetSecretRequest } from "../../shared/contracts/secrets.ts";
import type { SecretsDb } from "../../shared/db/secrets.ts";
import { ConflictError } from "../../shared/errors.ts";
import type { Vault } from "./vault.ts";

/** Others may set the same secret at the same time: each try that fails is one of theirs that did not. */
const tries = 5;

/** Encrypts a value for the version it will be, and stores it. */
export async function setSecret(
  db: Pick<SecretsDb, "prepareSecret" | "setSecret">,
  vault: Vault,
  caller: Caller,
  { name, value, allowedTypes }: SetSecretRequest,
): Promise<Secret> {
  for (let count = 1;; count += 1) {
    const { tenantId, version } = await db.prepareSecret(caller, name);
    const ciphertext = await vault.encrypt({ tenantId, name, version }, value);
    try {
      return await db.setSecret(caller, {
        name,
        version,
        ciphertext,
        keyId: vault.keyId,
        allowedTypes: allowedTypes ?? null,
      });
    } catch (error) {
      if (!(error instanceof ConflictError) || count >= tries) throw error;
    }
  }
}
