import { createLocalJWKSet, decodeProtectedHeader, errors, type JWTPayload, jwtVerify, SignJWT } from "jose";
import type { VerifyingKeys } from "../keys.ts";
import { errorAnswer } from "./rpc-errors.ts";

export type Claims = JWTPayload & { role: string };

/** The claims of a bearer token, those of `anon` when there is none, or PostgREST's refusal. */
export async function verifyBearer(authorization: string | null, keys: VerifyingKeys): Promise<Claims | Response> {
  const token = tokenOf(authorization);
  if (token === undefined) return { role: "anon" };
  try {
    const payload = await verify(token, keys);
    return { ...payload, role: typeof payload.role === "string" ? payload.role : "anon" };
  } catch (error) {
    if (error instanceof errors.JWTExpired) return refusal("PGRST303", "JWT expired", null);
    if (error instanceof errors.JWTClaimValidationFailed) return refusal("PGRST303", error.message, null);
    const parts = token.split(".").length;
    return parts === 3
      ? refusal("PGRST301", "No suitable key or wrong key type", "None of the keys was able to decode the JWT")
      : refusal("PGRST301", `Expected 3 parts in JWT; got ${parts}`, null);
  }
}

/** Lite knows tokens of the secret only: one of the imported key is verified here, and goes on as one of the secret. */
export async function asSecretToken(request: Request, keys: VerifyingKeys): Promise<Request | Response> {
  const token = tokenOf(request.headers.get("authorization"));
  if (keys.jwks === undefined || token === undefined || !isByImportedKey(token)) return request;
  const claims = await verifyBearer(`Bearer ${token}`, keys);
  if (claims instanceof Response) return claims;
  const secret = new TextEncoder().encode(keys.jwtSecret);
  const translated = await new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(secret);
  const headers = new Headers(request.headers);
  headers.set("authorization", `Bearer ${translated}`);
  return new Request(request, { headers });
}

/** Which kind of key may verify a token is the algorithm's to say; a public key is never taken for a secret. */
async function verify(token: string, { jwtSecret, jwks }: VerifyingKeys): Promise<JWTPayload> {
  // PostgREST forgives clocks that are up to 30 seconds apart.
  const clockTolerance = 30;
  if (jwks !== undefined && isByImportedKey(token)) {
    const options = { algorithms: ["ES256"], clockTolerance };
    return (await jwtVerify(token, createLocalJWKSet(jwks), options)).payload;
  }
  const secret = new TextEncoder().encode(jwtSecret);
  return (await jwtVerify(token, secret, { algorithms: ["HS256"], clockTolerance })).payload;
}

function isByImportedKey(token: string): boolean {
  try {
    return decodeProtectedHeader(token).alg === "ES256";
  } catch {
    return false;
  }
}

function tokenOf(authorization: string | null): string | undefined {
  return /^Bearer\s+(.+)$/i.exec(authorization ?? "")?.[1];
}

function refusal(code: string, message: string, details: string | null): Response {
  const challenge = `Bearer error="invalid_token", error_description="${message}"`;
  return errorAnswer(401, code, message, details, null, { "www-authenticate": challenge });
}
