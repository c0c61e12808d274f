import { z } from "zod";
import { Id, Instant, text } from "./common.ts";
import { limits } from "./limits.ts";

/** Held against the SQL enum `muster.member_role`. */
export const memberRoles = ["admin", "editor", "publisher", "viewer"] as const;
export type MemberRole = typeof memberRoles[number];

/** What an API key may be made for; administering is for members alone. Held against SQL's check. */
export const apiKeyScopes = ["read", "submit", "operate", "publish"] as const;
export type ApiKeyScope = typeof apiKeyScopes[number];

const Email = z.email("Must be an e-mail address").max(limits.emailLength)
  .describe("Of a user of Supabase Auth who confirmed it");
const Name = text(limits.nameLength);
const Cursor = text(1_000).optional().describe("nextCursor of the page before");
const PageSize = z.coerce.number().int().min(1).max(limits.pageSize).default(50);
const NextCursor = z.string().nullable().describe("Null on the last page");

/** A flag of a query: `true` or nothing. */
const Usable = z.literal("true").optional().describe("Only those that can still be used");

export const CreateTenant = z.strictObject({
  name: Name.describe("Unique in the project"),
  adminUserId: Id.optional().describe("Its first admin, by the id of a user of Supabase Auth"),
  adminEmail: Email.optional(),
}).refine(({ adminUserId, adminEmail }) => adminUserId === undefined || adminEmail === undefined, {
  message: "Must not come with adminUserId",
  path: ["adminEmail"],
}).meta({ id: "CreateTenant", example: { name: "lab", adminEmail: "ada@example.com" } });
export type CreateTenant = z.infer<typeof CreateTenant>;

export const Tenant = z.object({
  id: Id,
  name: z.string(),
  createdAt: Instant,
}).meta({ id: "Tenant" });
export type Tenant = z.infer<typeof Tenant>;

export const CreatedTenant = Tenant.extend({
  created: z.boolean().describe("False for a tenant that had the name already"),
  adminUserId: Id.nullable().describe("The admin that was asked for"),
}).meta({ id: "CreatedTenant" });
export type CreatedTenant = z.infer<typeof CreatedTenant>;

export const ListTenantsQuery = z.strictObject({
  name: Name.optional().describe("Only the tenant of this name"),
  limit: PageSize.describe("Tenants a page"),
  cursor: Cursor,
});
export type ListTenantsQuery = z.infer<typeof ListTenantsQuery>;

export const TenantList = z.object({
  tenants: z.array(Tenant.extend({ role: z.enum(memberRoles).nullable().describe("The caller's, if it is a member") }))
    .describe("By name"),
  nextCursor: NextCursor,
}).meta({ id: "TenantList" });
export type TenantList = z.infer<typeof TenantList>;

export const Member = z.object({
  userId: Id,
  role: z.enum(memberRoles),
  email: z.string().nullable().describe("Shown to admins"),
  createdAt: Instant,
}).meta({ id: "Member" });
export type Member = z.infer<typeof Member>;

export const MemberList = z.object({ members: z.array(Member).describe("Those who joined first, first") })
  .meta({ id: "MemberList" });
export type MemberList = z.infer<typeof MemberList>;

export const MemberParams = z.object({ userId: Id });

export const ChangeMemberRole = z.strictObject({ role: z.enum(memberRoles) }).meta({
  id: "ChangeMemberRole",
  example: { role: "editor" },
});

export const AddMember = ChangeMemberRole.extend({
  userId: Id.optional().describe("Id of a user of Supabase Auth"),
  email: Email.optional(),
}).refine(({ userId, email }) => (userId === undefined) !== (email === undefined), {
  message: "Must be given, or userId, and not both",
  path: ["email"],
}).meta({ id: "AddMember", example: { email: "bea@example.com", role: "editor" } });
export type AddMember = z.infer<typeof AddMember>;

export const CreateApiKey = z.strictObject({
  executorName: Name.describe("The app that the key is for; made when it is new"),
  scopes: z.array(z.enum(apiKeyScopes)).min(1).max(apiKeyScopes.length).default(["read", "submit"])
    .describe("What the key may do"),
  expiresAt: Instant.nullable().default(null).describe("Null for a key that does not expire"),
}).meta({ id: "CreateApiKey", example: { executorName: "my-app", scopes: ["read", "submit"] } });
export type CreateApiKey = z.infer<typeof CreateApiKey>;

export const ApiKeyParams = z.object({ id: Id });

export const ApiKey = z.object({
  id: Id,
  tenantId: Id,
  executorId: Id,
  executorName: z.string(),
  prefix: z.string().describe("How the key begins"),
  scopes: z.array(z.enum(apiKeyScopes)),
  replacedBy: Id.nullable().describe("The key that a rotation put in its place"),
  createdAt: Instant,
  expiresAt: Instant.nullable(),
  revokedAt: Instant.nullable(),
  lastUsedAt: Instant.nullable().describe("Noted once a minute"),
}).meta({ id: "ApiKey" });
export type ApiKey = z.infer<typeof ApiKey>;

export const CreatedApiKey = ApiKey.extend({
  apiKey: z.string().describe("The key itself (msk_…): this is the only time it is seen"),
}).meta({ id: "CreatedApiKey" });
export type CreatedApiKey = z.infer<typeof CreatedApiKey>;

export const ListApiKeysQuery = z.strictObject({
  executorName: Name.optional().describe("Only keys of this app"),
  usable: Usable,
  limit: PageSize.describe("Keys a page"),
  cursor: Cursor,
});
export type ListApiKeysQuery = z.infer<typeof ListApiKeysQuery>;

export const ApiKeyList = z.object({
  apiKeys: z.array(ApiKey).describe("Newest first"),
  nextCursor: NextCursor,
}).meta({ id: "ApiKeyList" });
export type ApiKeyList = z.infer<typeof ApiKeyList>;

export const RotateApiKey = z.strictObject({
  overlapSeconds: z.number().int().min(0).max(limits.overlapSeconds).default(24 * 3600)
    .describe("For how long the old key stays good, within its own time"),
}).meta({ id: "RotateApiKey", example: { overlapSeconds: 86400 } });
export type RotateApiKey = z.infer<typeof RotateApiKey>;

export const RotatedApiKey = CreatedApiKey.extend({
  replaces: ApiKey.describe("The old key, with the end of its overlap"),
}).meta({ id: "RotatedApiKey" });
export type RotatedApiKey = z.infer<typeof RotatedApiKey>;
