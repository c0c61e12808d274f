import postgres, { type Sql, type TransactionSql } from "postgres";

/**
 * For clients that outlive the server: connections are tried again every 200 ms. By default the pauses grow with every
 * failure of any connection of the pool, up to 20 s, so that a busy pool stays away long after the server is back.
 */
export const lasting = { backoff: () => 0.2, connect_timeout: 5 };

/**
 * As `lasting`, for clients that neither send nor read arrays: their connections do not begin by asking for the types of
 * arrays. Whose connection is lost during that question ends with its process, because nobody can catch the rejection.
 */
export const lastingWithoutArrays = { ...lasting, fetch_types: false };

/**
 * `sql.begin()` for processes that outlive the server. postgres.js answers every error with a `rollback`, also over a
 * connection that is gone: that ends the process with an error nobody can catch, or spoils the connection's next minute.
 * Here it never hears of such an error; the transaction is rejected all the same, by the end of its connection.
 */
export function transaction<T>(sql: Sql, work: (tx: TransactionSql) => Promise<T>, options = ""): Promise<T> {
  return sql.begin(options, (tx) =>
    work(tx).catch((error) => {
      if (isOfLostConnection(error)) return new Promise<never>(() => {});
      throw error;
    })) as Promise<T>;
}

function isOfLostConnection(error: unknown): boolean {
  // The server says why it ends the connection, or it is just gone.
  if (error instanceof postgres.PostgresError) return error.severity === "FATAL" || error.severity === "PANIC";
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && /^(CONNECTION_|ECONN|EPIPE)/.test(code);
}
