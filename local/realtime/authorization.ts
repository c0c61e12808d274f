import postgres, { type Sql, type TransactionSql } from "postgres";
import type { Claims } from "./tokens.ts";
import { transaction } from "../lasting-sql.ts";

export type Extension = "broadcast" | "presence";
export type Permissions = Partial<Record<Extension, boolean>>;

/** On whose behalf, and about which topic, the policies are asked. */
export interface Subject {
  topic: string;
  claims: Claims;
  headers: Record<string, string>;
}

export type AuthorizationErrorCode = "missing-partition" | "database-down" | "query-canceled" | "policy-error";

/** The policies gave no answer. */
export class AuthorizationError extends Error {
  override name = "AuthorizationError";

  constructor(readonly code: AuthorizationErrorCode, override readonly cause: unknown) {
    super(`Cannot authorize: ${code}`);
  }
}

/** Asks the policies on realtime.messages what a token may do, by trying it in a transaction that is rolled back. */
export class Authorizer {
  readonly #sql: Sql;
  readonly #now: () => number;

  constructor(sql: Sql, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** Whether the database answers; public channels need that too. */
  async ping(): Promise<void> {
    await this.#sql`select 1`.catch((error) => {
      throw toAuthorizationError(error);
    });
  }

  /** Reading is allowed where a row planted by the server can be seen. */
  readable(subject: Subject, extensions: Extension[]): Promise<Permissions> {
    return this.#probe(async (tx) => {
      const at = this.#timestamp();
      const probes = extensions.map((extension) => ({
        id: crypto.randomUUID(),
        topic: subject.topic,
        extension,
        inserted_at: at,
        updated_at: at,
      }));
      const ids = probes.map(({ id }) => id);
      const [, , seen] = await Promise.all([
        tx`insert into realtime.messages ${tx(probes)}`,
        impersonate(tx, subject),
        tx<{ id: string }[]>`select id from realtime.messages where id = any(${ids}::uuid[])`,
      ]);
      const visible = new Set(seen.map(({ id }) => id));
      return Object.fromEntries(probes.map(({ id, extension }) => [extension, visible.has(id)]));
    });
  }

  /** Writing is allowed where an insert as the caller succeeds. */
  writable(subject: Subject): Promise<Required<Permissions>> {
    return this.#probe(async (tx) => {
      await impersonate(tx, subject);
      const tryInsert = async (extension: Extension): Promise<boolean> => {
        const at = this.#timestamp();
        try {
          await tx.savepoint((point) =>
            point`insert into realtime.messages (topic, extension, inserted_at, updated_at)
                  values (${subject.topic}, ${extension}, ${at}, ${at})`
          );
          return true;
        } catch (error) {
          if (error instanceof postgres.PostgresError && error.code === "42501") return false;
          throw error;
        }
      };
      return { broadcast: await tryInsert("broadcast"), presence: await tryInsert("presence") };
    });
  }

  /** Runs the questions in a transaction of which nothing remains. */
  async #probe<T>(ask: (tx: TransactionSql) => Promise<T>): Promise<T> {
    const rollback = new Error("rollback");
    let answer: T | undefined;
    try {
      await transaction(this.#sql, async (tx) => {
        answer = await ask(tx);
        throw rollback;
      });
    } catch (error) {
      if (error !== rollback) throw toAuthorizationError(error);
    }
    return answer as T;
  }

  #timestamp(): string {
    return new Date(this.#now()).toISOString();
  }
}

// Realtime itself would take any role, and none at all as its own superuser. Here a token may only name what the Data
// API could become, too: any other becomes a name that no role has.
function impersonate(tx: TransactionSql, { topic, claims, headers }: Subject): Promise<unknown> {
  const role = typeof claims.role === "string" ? claims.role : "";
  const sub = typeof claims.sub === "string" ? claims.sub : "";
  return tx`
    select
      set_config('realtime.topic', ${topic}, true),
      set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
      set_config('request.jwt.claim.sub', ${sub}, true),
      set_config('request.jwt.claim.role', ${role}, true),
      set_config('request.headers', ${JSON.stringify(headers)}, true),
      set_config('role', case when pg_has_role('authenticator', ${role}::name, 'member') and ${role} <> 'authenticator'
        then ${role} else 'role not granted to authenticator' end, true)`;
}

// Connection exceptions, refused logins, unknown databases, no connection left, shutdowns.
const noConnection = /^(08|28|3D|53|57P)/;

function toAuthorizationError(error: unknown): AuthorizationError {
  if (error instanceof AuthorizationError) return error;
  if (!(error instanceof postgres.PostgresError)) return new AuthorizationError("database-down", error);
  if (error.code === "23514") return new AuthorizationError("missing-partition", error);
  if (error.code === "57014") return new AuthorizationError("query-canceled", error);
  return new AuthorizationError(noConnection.test(error.code) ? "database-down" : "policy-error", error);
}
