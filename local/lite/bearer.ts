import { errors, type JWTPayload, jwtVerify } from "jose";
import { errorAnswer } from "./rpc-errors.ts";

export type Claims = JWTPayload & { role: string };

/** The claims of a bearer token, those of `anon` when there is none, or PostgREST's refusal. */
export async function verifyBearer(authorization: string | null, jwtSecret: string): Promise<Claims | Response> {
  const token = /^Bearer\s+(.+)$/i.exec(authorization ?? "")?.[1];
  if (token === undefined) return { role: "anon" };
  try {
    const secret = new TextEncoder().encode(jwtSecret);
    // PostgREST forgives clocks that are up to 30 seconds apart.
    const { payload } = await jwtVerify(token, secret, { algorithms: ["HS256"], clockTolerance: 30 });
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

function refusal(code: string, message: string, details: string | null): Response {
  const challenge = `Bearer error="invalid_token", error_description="${message}"`;
  return errorAnswer(401, code, message, details, null, { "www-authenticate": challenge });
}
