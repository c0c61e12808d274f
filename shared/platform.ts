/** What the platform tells a function through its environment. */
export interface Platform {
  /** Where functions reach the project. */
  readonly url: string;
  /** Where everybody else reaches it; differs from `url` when that is an internal address. */
  readonly publicUrl: string;
  readonly secretKey: string;
  /** Every key that stands for the project itself. */
  readonly secretKeys: readonly string[];
  readonly publishableKey: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads what every function needs; an incomplete environment ends the function at its start. */
export function readPlatform(environment: Environment): Platform {
  const url = required(environment, "SUPABASE_URL").replace(/\/+$/, "");
  const secretKeys = [...keysOf(environment, "SUPABASE_SECRET_KEYS"), environment["SUPABASE_SERVICE_ROLE_KEY"]]
    .filter((key) => key !== undefined && key !== "") as string[];
  const publishableKeys = [...keysOf(environment, "SUPABASE_PUBLISHABLE_KEYS"), environment["SUPABASE_ANON_KEY"]]
    .filter((key) => key !== undefined && key !== "") as string[];
  const [secretKey] = secretKeys;
  const [publishableKey] = publishableKeys;
  if (secretKey === undefined) {
    throw new Error("Cannot start: SUPABASE_SECRET_KEYS or SUPABASE_SERVICE_ROLE_KEY must be set");
  }
  if (publishableKey === undefined) {
    throw new Error("Cannot start: SUPABASE_PUBLISHABLE_KEYS or SUPABASE_ANON_KEY must be set");
  }
  return { url, publicUrl: readPublicUrl(environment), secretKey, secretKeys, publishableKey };
}

/** Where everybody reaches the project. */
export function readPublicUrl(environment: Environment): string {
  return (environment["MUSTER_PUBLIC_URL"] || required(environment, "SUPABASE_URL")).replace(/\/+$/, "");
}

function required(environment: Environment, name: string): string {
  const value = environment[name];
  if (!value) throw new Error(`Cannot start: ${name} must be set`);
  return value;
}

/** `{"default": "sb_…", "other": "sb_…"}`, the default first. */
function keysOf(environment: Environment, name: string): string[] {
  const keys: Record<string, string> = JSON.parse(environment[name] || "{}");
  return Object.entries(keys).sort(([a], [b]) => Number(b === "default") - Number(a === "default")).map(([, key]) =>
    key
  );
}
