import type { LocalKeys } from "../../../local/keys.ts";

/** The two generations of keys that the platform gives to functions: a project may have either, or both. */
export const keyNames = ["new keys", "legacy keys"] as const;
export type KeyNames = typeof keyNames[number];

export interface HostedProject {
  readonly url: string;
  readonly dbUrl: string;
  readonly keys: LocalKeys;
}

/** What a function finds in its environment on the platform: what that sets, and the secrets of docs/guides/deploy.md. */
export function hostedEnvironment({ url, dbUrl, keys }: HostedProject, names: KeyNames): Record<string, string> {
  const ofProject: Record<string, string> = names === "new keys"
    ? {
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
      SUPABASE_JWKS: JSON.stringify({ keys: [] }),
    }
    : { SUPABASE_ANON_KEY: keys.anonKey, SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey };
  return {
    SUPABASE_URL: url,
    SUPABASE_DB_URL: dbUrl,
    ...ofProject,
    SB_REGION: "eu-west-1",
    SB_EXECUTION_ID: crypto.randomUUID(),
    DENO_DEPLOYMENT_ID: "stand-in_1",
    MUSTER_JWT_SECRET: keys.jwtSecret,
    MUSTER_MASTER_KEYS: masterKeys,
  };
}

/** One for the life of this process, so that what one start sealed the next can open. */
const masterKeys = JSON.stringify({
  k1: crypto.getRandomValues(new Uint8Array(32)).toBase64({ alphabet: "base64url", omitPadding: true }),
});
