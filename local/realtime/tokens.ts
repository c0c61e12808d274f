import { compactVerify, createLocalJWKSet, decodeProtectedHeader, errors, type JSONWebKeySet } from "jose";
import { isRecord, parseJson, toBytes, toText } from "./frames.ts";

export interface Claims extends Record<string, unknown> {
  /** Present, but of any type: who may be what is the database's business. */
  role: unknown;
  exp: number;
}

export type TokenErrorCode = "MalformedJWT" | "JwtSignatureError" | "InvalidJWTToken";

/** Why a token is refused; the message is what clients are told. */
export class TokenError extends Error {
  override name = "TokenError";

  constructor(readonly code: TokenErrorCode, message: string, readonly expired = false) {
    super(message);
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
    const { alg, kid } = protectedHeader(token);
    const named = kid !== undefined && jwks?.keys.some((key) => key.kid === kid);
    try {
      if (keySet && (named || !secretAlgorithms.includes(alg ?? ""))) {
        return (await compactVerify(token, keySet)).payload;
      }
      return (await compactVerify(token, secret, { algorithms: secretAlgorithms })).payload;
    } catch (error) {
      if (error instanceof errors.JWSInvalid) throw malformed();
      throw new TokenError("JwtSignatureError", "Failed to validate JWT signature");
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

function checkTimes({ exp, iat }: Record<string, unknown>, now: number): void {
  if (iat !== undefined && typeof iat !== "number") throw malformed();
  if (exp === undefined) return;
  if (typeof exp !== "number") throw malformed();
  const expiredSeconds = Math.floor(now / 1000) - Math.round(exp);
  if (expiredSeconds >= 0) {
    throw new TokenError("InvalidJWTToken", `Token has expired ${expiredSeconds} seconds ago`, true);
  }
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
