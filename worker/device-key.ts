import { exportJWK, generateKeyPair } from "jose";
import { PublicJwk } from "../shared/contracts/enroll.ts";

/** The ES256 key of a machine: what signs, and what may be told. */
export interface DeviceKey {
  readonly privateKey: CryptoKey;
  readonly publicJwk: PublicJwk;
}

/**
 * Makes the key of a machine. Not extractable, the private half cannot be read by anybody, this code included: it can
 * be kept only where a `CryptoKey` can be, as in a browser's IndexedDB.
 */
export async function makeDeviceKey({ extractable }: { readonly extractable: boolean }): Promise<DeviceKey> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable });
  return { privateKey, publicJwk: PublicJwk.parse(await exportJWK(publicKey)) };
}

/** Where private keys live that cannot be written down as text. */
export interface KeyVault {
  /** Makes a key that does not leave this place. */
  create(): Promise<DeviceKey>;
  /** The private half, or null when it is not here any more. */
  find(publicJwk: PublicJwk): Promise<CryptoKey | null>;
  remove(publicJwk: PublicJwk): Promise<void>;
}
