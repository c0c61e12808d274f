import { compactDecrypt, CompactEncrypt, exportJWK, generateKeyPair, importJWK } from "jose";
import { z } from "zod";
import { SealingJwk } from "../contracts/secrets.ts";
import { musterError } from "../errors.ts";

/** Values of secrets by their names. */
export type SecretValues = Readonly<Record<string, string>>;

const algorithm = "ECDH-ES";
const encryption = "A256GCM";

/** A key pair for one request: what is sealed to its public half can be read by who made it, and only as long as it is. */
export interface SealingKey {
  readonly publicJwk: SealingJwk;
  readonly privateKey: CryptoKey;
}

export async function makeSealingKey(): Promise<SealingKey> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { crv: "P-256", extractable: false });
  const { kty, crv, x, y } = await exportJWK(publicKey);
  return { publicJwk: SealingJwk.parse({ kty, crv, x, y }), privateKey };
}

/** Seals secrets to a key. */
export async function sealSecrets(values: SecretValues, publicJwk: SealingJwk): Promise<string> {
  const plaintext = new TextEncoder().encode(JSON.stringify(values));
  try {
    // Some runtimes look at the point when the key is read, others when it is used.
    return await new CompactEncrypt(plaintext)
      .setProtectedHeader({ alg: algorithm, enc: encryption })
      .encrypt(await importJWK(publicJwk, algorithm));
  } catch (cause) {
    throw musterError("invalid_request", "Cannot seal to publicJwk: it is not a point of the curve", { cause });
  }
}

/** Opens what was sealed to the key. */
export async function unsealSecrets(sealed: string, { privateKey }: SealingKey): Promise<SecretValues> {
  const { plaintext } = await compactDecrypt(sealed, privateKey, {
    keyManagementAlgorithms: [algorithm],
    contentEncryptionAlgorithms: [encryption],
  });
  try {
    return z.record(z.string(), z.string()).parse(JSON.parse(new TextDecoder().decode(plaintext)));
  } catch {
    // What the parser says would quote the values.
    throw musterError("internal", "Cannot read the sealed secrets: they are not an object of texts");
  }
}
