import postgres from "postgres";

/** The migrated database that the tests look at, or undefined where none is given. */
export const databaseUrl: string | undefined = Deno.env.get("SUPABASE_DB_URL") || undefined;

export type Database = postgres.Sql & AsyncDisposable;

/** A connection as role `postgres`, closed with its handle. */
export function openDatabase(): Database {
  if (databaseUrl === undefined) throw new Error("Cannot open the database: SUPABASE_DB_URL is not set");
  const sql = postgres(databaseUrl, { max: 1, onnotice() {} });
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end() });
}

/** The flag that points the CLI at the database. The embedded Postgres speaks no TLS, which the CLI wants to be told. */
export function remoteFlag(url: string = databaseUrl ?? ""): string {
  const target = new URL(url);
  const local = ["127.0.0.1", "localhost", "[::1]"].includes(target.hostname);
  if (local && !target.searchParams.has("sslmode")) target.searchParams.set("sslmode", "disable");
  return `--remote=${target.href}`;
}

/** The same database as the role that owns it and that migrations run as, who has the superuser's password. */
export function asPostgres(url: string): string {
  const target = new URL(url);
  target.username = "postgres";
  return target.href;
}
