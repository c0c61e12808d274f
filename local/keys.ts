import { SignJWT } from "jose";

// Fixed development values, the same on every machine as those of `supabase start`. They protect nothing: the local
// stack listens on the loopback interface only. A hosted project has its own.
const jwtSecret = "super-secret-jwt-token-with-at-least-32-characters-long";
const publishableKey = "sb_publishable_local_development_only_muster";
const secretKey = "sb_secret_local_development_only_muster";

/** 2024-01-01 and ten years later: tokens that are the same at every start. */
const issuedAt = 1_704_067_200;
const expiresAt = 2_019_686_400;

export type LocalKeys = {
  jwtSecret: string;
  publishableKey: string;
  secretKey: string;
  /** The JWT with role `anon` that the gateway puts in place of the publishable key. */
  anonKey: string;
  /** The JWT with role `service_role` that the gateway puts in place of the secret key. */
  serviceRoleKey: string;
};

/** The keys of the local stack: well known, for development only. */
export async function localKeys(): Promise<LocalKeys> {
  return {
    jwtSecret,
    publishableKey,
    secretKey,
    anonKey: await roleToken("anon"),
    serviceRoleKey: await roleToken("service_role"),
  };
}

function roleToken(role: string): Promise<string> {
  return new SignJWT({ role })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer("supabase-local")
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(new TextEncoder().encode(jwtSecret));
}
