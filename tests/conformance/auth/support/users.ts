import { type AuthError, createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { project } from "../../../support/project.ts";

/** What the tests compare of an error that supabase-js returns. */
export type Refusal = { status: number | undefined; code: string | undefined; message: string };

export const password = "correct horse battery";

/** A client with the publishable key: nobody, until it signs in. */
export function connect(key = project.publishableKey): SupabaseClient {
  return createClient(project.url, key, { auth: { persistSession: false, autoRefreshToken: false } });
}

export function connectAsAdmin(): SupabaseClient {
  return connect(project.secretKey);
}

/** A connection as the role that applications migrate with. */
export function connectDatabase(url = project.dbUrl): { sql: postgres.Sql } & AsyncDisposable {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

export function newEmail(): string {
  return `user-${crypto.randomUUID()}@example.com`;
}

/** A confirmed user with the password of all, deleted in the end. */
export async function createUser(
  attributes: { app_metadata?: object; user_metadata?: object } = {},
): Promise<{ id: string; email: string } & AsyncDisposable> {
  const admin = connectAsAdmin();
  const email = newEmail();
  const { data, error } = await admin.auth.admin.createUser({ email, password, email_confirm: true, ...attributes });
  if (error) throw error;
  const { id } = data.user;
  return {
    id,
    email,
    async [Symbol.asyncDispose]() {
      await admin.auth.admin.deleteUser(id);
    },
  };
}

/** A client signed in as the user. */
export async function signIn(email: string): Promise<{ client: SupabaseClient; token: string }> {
  const client = connect();
  const { data, error } = await client.auth.signInWithPassword({ email, password });
  if (error) throw error;
  return { client, token: data.session.access_token };
}

export function refusal(error: AuthError | null): Refusal | null {
  return error && { status: error.status, code: error.code, message: error.message };
}

/** A table in schema public under a name of its own, dropped in the end. */
export async function createTable(sql: postgres.Sql, columns: string): Promise<{ name: string } & AsyncDisposable> {
  const name = `table_${crypto.randomUUID().replaceAll("-", "")}`;
  await sql.unsafe(`create table public.${name} (${columns})`);
  return {
    name,
    async [Symbol.asyncDispose]() {
      await sql.unsafe(`drop table public.${name}`);
    },
  };
}
