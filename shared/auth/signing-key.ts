import type { Environment } from "../platform.ts";
import type { SigningKey } from "./access-token.ts";

/** Reads the key that tokens are signed with. The function `enroll` alone has it, and a check keeps it so. */
export function readSigningKey(environment: Environment): SigningKey {
  const jwk = environment["MUSTER_JWT_JWK"];
  if (jwk) return { kind: "jwk", jwk: JSON.parse(jwk) };
  const secret = environment["MUSTER_JWT_SECRET"];
  if (secret) return { kind: "secret", secret };
  throw new Error("Cannot start: MUSTER_JWT_SECRET or MUSTER_JWT_JWK must be set");
}
