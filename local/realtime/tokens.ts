import {
  base64url,
  compactVerify,
  createLocalJWKSet,
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWK,
} from "jose";
import { isRecord, parseJson, toBytes, toText } from "./frames.ts";

export interface Claims extends Record<string, unknown> {
  /** Present, but of any type: who may be what is the database's business. */
  role: unknown;
  exp: number;
}

export type TokenErrorCode =
  | "MalformedJWT"
  | "JwtSignatureError"
  | "JwtSignerError"
  | "InvalidJWTToken"
  | "UnknownErrorOnChannel";

/** Why a token is refused; the message is what clients are told. */
export class TokenError extends Error {
  override name = "TokenError";
  readonly expired: boolean;
  /** What an open channel is told when it is given such a token. */
  readonly shutdownText: string;

  constructor(
    readonly code: TokenErrorCode,
    message: string,
    { expired = false, shutdownText = message }: { expired?: boolean; shutdownText?: string } = {},
  ) {
    super(message);
    this.expired = expired;
    this.shutdownText = shutdownText;
  }
}

export interface TokenVerifierOptions {
  jwtSecret: string;
  jwks?: JSONWebKeySet | undefined;
  now: () => number;
}

export type VerifyToken = (token: string) => Promise<Claims>;

const secretAlgorithms = ["HS256", "HS384", "HS512"];

/** Verifies signature, expiry and the two claims every token has to have; nothing of `aud`, `iss` or `nbf`. */
export function tokenVerifier({ jwtSecret, jwks, now }: TokenVerifierOptions): VerifyToken {
  const secret = toBytes(jwtSecret);
  const keySet = jwks && createLocalJWKSet(jwks);

  async function verifySignature(token: string): Promise<Uint8Array> {
    const { alg = "", kid } = protectedHeader(token);
    const key = jwks?.keys.find((candidate) => kid !== undefined && candidate.kid === kid && fits(candidate, alg));
    const bySecret = secretAlgorithms.includes(alg);
    if (!bySecret && (!keySet || !key)) throw unsigned(keySet && keyTypes.some(([name]) => name.test(alg)), kid);
    try {
      // The key set serves public keys only; a shared secret in it is used as it stands.
      if (!bySecret) return (await compactVerify(token, keySet!)).payload;
      const bytes = key?.k === undefined ? secret : base64url.decode(key.k);
      return (await compactVerify(token, bytes, { algorithms: secretAlgorithms })).payload;
    } catch (error) {
      if (error instanceof errors.JWSInvalid) throw malformed();
      throw new TokenError("JwtSignatureError", "Failed to validate JWT signature", {
        shutdownText: ":signature_error",
      });
    }
  }

  return async (raw) => {
    const token = decodeUri(raw).replace(/\s/g, "");
    if (!looksLikeToken(token)) throw malformed();
    const claims = parseJson(toText(await verifySignature(token)));
    if (!isRecord(claims)) throw malformed();
    checkTimes(claims, now());
    if (!("role" in claims) || !("exp" in claims)) {
      throw new TokenError("InvalidJWTToken", "Fields `role` and `exp` are required in JWT");
    }
    return claims as Claims;
  };
}

const keyTypes: [RegExp, string][] = [
  [/^HS(256|384|512)$/, "oct"],
  [/^RS(256|384|512)$/, "RSA"],
  [/^ES(256|384|512)$/, "EC"],
  [/^(Ed25519|Ed448|EdDSA)$/, "OKP"],
];

function fits({ kty }: JWK, alg: string): boolean {
  return keyTypes.some(([name, type]) => name.test(alg) && type === kty);
}

function unsigned(byKey: boolean | undefined, kid: string | undefined): TokenError {
  const rest = "check your JWT secret or JWKS configuration";
  if (!byKey || kid === undefined) {
    const shutdownText = ":error_generating_signer";
    return new TokenError("JwtSignerError", `Failed to generate JWT signer, ${rest}`, { shutdownText });
  }
  return new TokenError("JwtSignerError", `Failed to generate JWT signer for key ID (kid) "${kid}", ${rest}`);
}

function checkTimes({ exp, iat }: Record<string, unknown>, now: number): void {
  if (exp !== undefined && typeof exp !== "number") throw invalidClaim("exp", exp);
  if (exp !== undefined) {
    const expiredSeconds = Math.floor(now / 1000) - Math.round(exp);
    if (expiredSeconds >= 0) {
      throw new TokenError("InvalidJWTToken", `Token has expired ${expiredSeconds} seconds ago`, { expired: true });
    }
  }
  if (iat !== undefined && typeof iat !== "number") throw invalidClaim("iat", iat);
}

function invalidClaim(claim: string, value: unknown): TokenError {
  const shutdownText = `[message: "Invalid token", claim: "${claim}", claim_val: ${JSON.stringify(value)}]`;
  return new TokenError("UnknownErrorOnChannel", "Unknown Error on Channel", { shutdownText });
}

function looksLikeToken(token: string): boolean {
  const parts = token.split(".");
  if (parts.length !== 3) return false;
  try {
    const payload = atob(parts[1]!.replaceAll("-", "+").replaceAll("_", "/"));
    return isRecord(protectedHeader(token)) && isRecord(parseJson(payload));
  } catch {
    return false;
  }
}

function protectedHeader(token: string): { alg?: string; kid?: string } {
  try {
    return decodeProtectedHeader(token) as { alg?: string; kid?: string };
  } catch {
    throw malformed();
  }
}

function malformed(): TokenError {
  return new TokenError("MalformedJWT", "The token provided is not a valid JWT");
}

function decodeUri(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
