import { importJWK, type JWK, type JWTPayload, SignJWT } from "jose";
import { clientRole, workerRole } from "./roles.ts";

const issuer = "muster";

/** How long an access token lasts: a copied one dies with it. */
export const accessTokenSeconds = 600;

/** Key that the project's Data API and Realtime verify tokens with: the HS256 secret, or an imported ES256 key. */
export type SigningKey =
  | { readonly kind: "secret"; readonly secret: string }
  | { readonly kind: "jwk"; readonly jwk: JWK };

export interface AccessToken {
  readonly accessToken: string;
  readonly tokenType: "Bearer";
  readonly expiresIn: number;
  readonly expiresAt: string;
}

export interface WorkerIdentity {
  readonly workerId: string;
  readonly tenantId: string;
  /** RFC 7638 thumbprint of the device's key, which the token is bound to. */
  readonly fingerprint: string;
}

export interface ClientIdentity {
  readonly executorId: string;
  readonly tenantId: string;
}

export interface TokenSigner {
  signWorker(worker: WorkerIdentity): Promise<AccessToken>;
  signClient(client: ClientIdentity): Promise<AccessToken>;
}

/** Signs the tokens of workers and clients. */
export function createTokenSigner(
  key: SigningKey,
  { now = Date.now, lifeSeconds = accessTokenSeconds }: { now?: () => number; lifeSeconds?: number } = {},
): TokenSigner {
  const imported = importKey(key);
  async function sign(subject: string, claims: JWTPayload): Promise<AccessToken> {
    const issuedAt = Math.floor(now() / 1000);
    const expiresAt = issuedAt + lifeSeconds;
    const { alg, kid, cryptoKey } = await imported;
    const accessToken = await new SignJWT(claims)
      .setProtectedHeader({ alg, typ: "JWT", ...(kid === undefined ? {} : { kid }) })
      .setIssuer(issuer).setAudience(issuer).setSubject(subject)
      .setIssuedAt(issuedAt).setExpirationTime(expiresAt).setJti(crypto.randomUUID())
      .sign(cryptoKey);
    return {
      accessToken,
      tokenType: "Bearer",
      expiresIn: lifeSeconds,
      expiresAt: new Date(expiresAt * 1000).toISOString(),
    };
  }
  return {
    signWorker: ({ workerId, tenantId, fingerprint }) =>
      sign(workerId, { role: workerRole, tenant_id: tenantId, scopes: ["worker"], cnf: { jkt: fingerprint } }),
    signClient: ({ executorId, tenantId }) =>
      sign(executorId, { role: clientRole, tenant_id: tenantId, executor_id: executorId, scopes: ["listen"] }),
  };
}

async function importKey(
  key: SigningKey,
): Promise<{ alg: string; kid: string | undefined; cryptoKey: CryptoKey | Uint8Array }> {
  if (key.kind === "secret") return { alg: "HS256", kid: undefined, cryptoKey: new TextEncoder().encode(key.secret) };
  // Supabase's CLI writes that its private keys verify, too, with which no runtime imports one.
  const { key_ops: _, ...jwk } = key.jwk;
  return { alg: "ES256", kid: jwk.kid, cryptoKey: await importJWK(jwk, "ES256") };
}
