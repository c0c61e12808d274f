import type { JWK } from "jose";

/** The project that tests run against, as tests/run.ts names it in the environment. */
export interface Project {
  readonly url: string;
  readonly publishableKey: string;
  readonly secretKey: string;
  readonly dbUrl: string;
  readonly jwtSecret: string;
  /** The ES256 key it has imported to sign tokens of workers, if it has one. */
  readonly signingJwk: JWK | undefined;
}

export const project: Project = {
  get url() {
    return required("SUPABASE_URL").replace(/\/+$/, "");
  },
  get publishableKey() {
    return required("SUPABASE_PUBLISHABLE_KEY");
  },
  get secretKey() {
    return required("SUPABASE_SECRET_KEY");
  },
  get dbUrl() {
    return required("SUPABASE_DB_URL");
  },
  get jwtSecret() {
    return required("SUPABASE_JWT_SECRET");
  },
  get signingJwk() {
    const text = Deno.env.get("SUPABASE_JWT_JWK");
    return text ? JSON.parse(text) : undefined;
  },
};

function required(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`Cannot run this test: ${name} must be set, as npm test does`);
  return value;
}
