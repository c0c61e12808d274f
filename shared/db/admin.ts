import type { CreatedEnrollmentToken, CreateEnrollmentToken } from "../contracts/enrollment-tokens.ts";
import type { CreateApiKey, CreatedApiKey, Tenant } from "../contracts/tenants.ts";
import { createEnrollmentTokensDb } from "./enrollment-tokens.ts";
import { createTenantsDb } from "./tenants.ts";
import type { SqlCall } from "./sql-call.ts";

export type { Tenant } from "../contracts/tenants.ts";
export type ApiKey = CreatedApiKey;
export type EnrollmentToken = CreatedEnrollmentToken;

export type NewApiKey = { readonly tenantId: string } & Partial<CreateApiKey> & Pick<CreateApiKey, "executorName">;
export type NewEnrollmentToken = { readonly tenantId: string } & Partial<CreateEnrollmentToken>;

/**
 * What the project's secret key sets up without the functions: the demo, the measurements and the tests begin with it.
 * Keys are made here, and only their hashes are sent.
 */
export interface AdminDb {
  /** Answers the tenant that has the name already, or a new one. */
  createTenant(name: string): Promise<Tenant>;
  createApiKey(key: NewApiKey): Promise<ApiKey>;
  createEnrollmentToken(token: NewEnrollmentToken): Promise<EnrollmentToken>;
}

export function createAdminDb(call: SqlCall): AdminDb {
  const tenants = createTenantsDb(call);
  const tokens = createEnrollmentTokensDb(call);
  return {
    createTenant: (name) => call("create_tenant", { name }),
    createApiKey: ({ tenantId, ...key }) =>
      tenants.issueApiKey({ kind: "service", tenantId }, { scopes: ["read", "submit"], expiresAt: null, ...key }),
    createEnrollmentToken: ({ tenantId, ...token }) =>
      tokens.issueEnrollmentToken({ kind: "service", tenantId }, {
        name: "default",
        capabilities: null,
        labels: {},
        maxUses: 1,
        expiresAt: null,
        ephemeral: false,
        cidrs: null,
        ...token,
      }),
  };
}
