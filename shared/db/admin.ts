import { makeSecret } from "../auth/secret.ts";
import type { SqlCall } from "./sql-call.ts";

export interface Tenant {
  readonly id: string;
  readonly name: string;
}

export interface NewApiKey {
  readonly tenantId: string;
  readonly executorName: string;
  /** ISO instant; null for a key that does not expire. */
  readonly expiresAt: string | null;
}

export interface ApiKey {
  readonly id: string;
  readonly executorId: string;
  /** The key itself: this is the only time it is seen. */
  readonly apiKey: string;
}

export interface NewEnrollmentToken {
  readonly tenantId: string;
  readonly name: string;
  /** Null allows any capability. */
  readonly capabilities: readonly string[] | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Null for any number of machines. */
  readonly maxUses: number | null;
  readonly expiresAt: string | null;
  /** Its machines are forgotten once they are gone. */
  readonly ephemeral: boolean;
}

export interface EnrollmentToken {
  readonly id: string;
  /** The token itself: this is the only time it is seen. */
  readonly enrollmentToken: string;
}

/** What an operator does with the project's secret key. Keys are made here, and only their hashes are sent. */
export interface AdminDb {
  /** Answers the tenant that has the name already, or a new one. */
  createTenant(name: string): Promise<Tenant>;
  createApiKey(key: NewApiKey): Promise<ApiKey>;
  createEnrollmentToken(token: NewEnrollmentToken): Promise<EnrollmentToken>;
}

export function createAdminDb(call: SqlCall): AdminDb {
  return {
    createTenant: (name) => call("create_tenant", { name }),
    createApiKey: async (key) => {
      const secret = await makeSecret("apiKey");
      const row = await call<{ id: string; executorId: string }>("create_api_key", {
        ...key,
        keyPrefix: secret.prefix,
        keyHash: secret.hash,
      });
      return { id: row.id, executorId: row.executorId, apiKey: secret.value };
    },
    createEnrollmentToken: async (token) => {
      const secret = await makeSecret("enrollmentToken");
      const row = await call<{ id: string }>("create_enrollment_token", { ...token, tokenHash: secret.hash });
      return { id: row.id, enrollmentToken: secret.value };
    },
  };
}
