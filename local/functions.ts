import { join } from "node:path";
import type { LocalKeys, Signing } from "./keys.ts";
import type { Log } from "./log.ts";
import { startSupervised, type Supervised } from "./supervise.ts";

export type FunctionsSettings = { dir: string };

export type FunctionsOptions = {
  dir: string;
  url: string;
  dbUrl: string;
  keys: LocalKeys;
  signing: Signing;
  log: Log;
  onPort: (port: number | undefined) => void;
};

/** Starts one process that hosts every folder of `dir` with an index.ts, with the environment the platform gives. */
export function startFunctions({ dir, url, dbUrl, keys, signing, log, onPort }: FunctionsOptions): Promise<Supervised> {
  return startSupervised({
    name: "functions",
    script: join(import.meta.dirname!, "functions", "main.ts"),
    // A function's request.signal then fires only when the caller went away.
    args: ["--unstable-no-legacy-abort"],
    env: {
      SUPABASE_URL: url,
      SUPABASE_ANON_KEY: keys.anonKey,
      SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleKey,
      SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
      SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
      SUPABASE_DB_URL: dbUrl,
      ...(signing === "ES256"
        ? { MUSTER_JWT_JWK: JSON.stringify(keys.signingJwk) }
        : { MUSTER_JWT_SECRET: keys.jwtSecret }),
      MUSTER_MASTER_KEYS: JSON.stringify(keys.masterKeys),
    },
    settings: (): FunctionsSettings => ({ dir }),
    log,
    onPort,
  });
}
