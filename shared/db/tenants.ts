import type { Caller } from "../auth/caller.ts";
import { makeSecret } from "../auth/secret.ts";
import type {
  AddMember,
  ApiKey,
  ApiKeyList,
  CreateApiKey,
  CreatedApiKey,
  CreatedTenant,
  CreateTenant,
  ListApiKeysQuery,
  ListTenantsQuery,
  Member,
  MemberList,
  MemberRole,
  RotatedApiKey,
  TenantList,
} from "../contracts/tenants.ts";
import type { SqlCall } from "./sql-call.ts";

export interface TenantsDb {
  /** Answers the tenant that has the name and the admin already, or a new one. */
  bootstrapTenant(caller: Caller, tenant: CreateTenant): Promise<CreatedTenant>;
  listTenants(caller: Caller, query: ListTenantsQuery): Promise<TenantList>;
  listMembers(caller: Caller): Promise<MemberList>;
  addMember(caller: Caller, member: AddMember): Promise<Member>;
  changeMemberRole(caller: Caller, userId: string, role: MemberRole): Promise<Member>;
  /** Answers the member as it was. */
  removeMember(caller: Caller, userId: string): Promise<Member>;
  /** Makes a key and sends its hash; the answer is the only place where the key is. */
  issueApiKey(caller: Caller, key: CreateApiKey): Promise<CreatedApiKey>;
  listApiKeys(caller: Caller, query: ListApiKeysQuery): Promise<ApiKeyList>;
  revokeApiKey(caller: Caller, keyId: string): Promise<ApiKey>;
  rotateApiKey(caller: Caller, keyId: string, overlapSeconds: number): Promise<RotatedApiKey>;
}

export function createTenantsDb(call: SqlCall): TenantsDb {
  return {
    bootstrapTenant: (caller, { name, adminUserId = null, adminEmail = null }) =>
      call("bootstrap_tenant", { name, adminUserId, adminEmail }, caller),
    listTenants: (caller, { limit, cursor, ...filters }) =>
      call("list_tenants", { filters, pageSize: limit, cursor: cursor ?? null }, caller),
    listMembers: (caller) => call("list_members", {}, caller),
    addMember: (caller, { role, userId = null, email = null }) => call("add_member", { role, userId, email }, caller),
    changeMemberRole: (caller, userId, role) => call("change_member_role", { userId, role }, caller),
    removeMember: (caller, userId) => call("remove_member", { userId }, caller),
    issueApiKey: async (caller, key) => {
      const { value, prefix, hash } = await makeSecret("apiKey");
      const made = await call<ApiKey>("issue_api_key", { ...key, keyPrefix: prefix, keyHash: hash }, caller);
      return { ...made, apiKey: value };
    },
    listApiKeys: (caller, { limit, cursor, usable, ...filters }) =>
      call("list_api_keys", {
        filters: { ...filters, usable: usable === "true" },
        pageSize: limit,
        cursor: cursor ?? null,
      }, caller),
    revokeApiKey: (caller, keyId) => call("revoke_api_key", { keyId }, caller),
    rotateApiKey: async (caller, keyId, overlapSeconds) => {
      const { value, prefix, hash } = await makeSecret("apiKey");
      const args = { keyId, keyPrefix: prefix, keyHash: hash, overlapSeconds };
      const made = await call<ApiKey & { replaces: ApiKey }>("rotate_api_key", args, caller);
      return { ...made, apiKey: value };
    },
  };
}
