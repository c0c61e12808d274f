import { SignJWT } from "jose";
import postgres, { type Notice, type Sql } from "postgres";

export interface Stack {
  url: string;
  publishableKey: string;
  secretKey: string;
  jwtSecret: string;
  dbUrl: string;
}

/** The stack under test: any Supabase project, named by the environment. */
export const stack: Stack = {
  url: required("SUPABASE_URL"),
  publishableKey: required("SUPABASE_PUBLISHABLE_KEY"),
  secretKey: required("SUPABASE_SECRET_KEY"),
  jwtSecret: required("SUPABASE_JWT_SECRET"),
  dbUrl: required("SUPABASE_DB_URL"),
};

function required(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`Cannot run the Realtime tests: ${name} is not set`);
  return value;
}

export interface TokenOptions {
  role?: string;
  sub?: string;
  expiresInSeconds?: number;
  secret?: string;
  claims?: Record<string, unknown>;
  /** Of who is to find it good for so long; the machine's clock if left out. */
  now?: number;
}

export function signToken(options: TokenOptions = {}): Promise<string> {
  const { role = "authenticated", sub = crypto.randomUUID(), expiresInSeconds = 600, secret = stack.jwtSecret } =
    options;
  return new SignJWT({ role, sub, ...options.claims })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime(Math.floor((options.now ?? Date.now()) / 1000) + expiresInSeconds)
    .sign(new TextEncoder().encode(secret));
}

/** A topic that no other test uses. */
export function newTopic(): string {
  return `conformance:${crypto.randomUUID()}`;
}

/** A token that may everything. */
export function serviceToken(): Promise<string> {
  return signToken({ role: "service_role" });
}

/** A connection as the role that applications migrate with. */
export function connectDatabase(
  onWarning: (message: string) => void = () => {},
): { sql: Sql } & AsyncDisposable {
  const onnotice = ({ severity, message }: Notice) => {
    if (severity === "WARNING") onWarning(message ?? "");
  };
  const sql = postgres(stack.dbUrl, { max: 2, onnotice });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

/** A policy on realtime.messages for a role, until disposed. */
export async function addPolicy(
  sql: Sql,
  command: "select" | "insert",
  condition: string,
  role = "authenticated",
): Promise<AsyncDisposable> {
  const name = `conformance ${crypto.randomUUID()}`;
  const clause = command === "select" ? "using" : "with check";
  await sql.unsafe(`create policy "${name}" on realtime.messages for ${command} to ${role} ${clause} (${condition})`);
  return {
    [Symbol.asyncDispose]: async () => void await sql.unsafe(`drop policy if exists "${name}" on realtime.messages`),
  };
}

/** Lets `authenticated` do what is named in the topic, until disposed. */
export async function grantTopic(
  sql: Sql,
  topic: string,
  allowed: { read?: string[]; write?: string[] },
): Promise<AsyncDisposable> {
  const condition = (extensions: string[]) =>
    `(select realtime.topic()) = '${topic}' and extension in (${extensions.map((name) => `'${name}'`).join(", ")})`;
  await using policies = new AsyncDisposableStack();
  if (allowed.read) policies.use(await addPolicy(sql, "select", condition(allowed.read)));
  if (allowed.write) policies.use(await addPolicy(sql, "insert", condition(allowed.write)));
  return policies.move();
}
