import { createRoute } from "@hono/zod-openapi";
import {
  AddMember,
  ApiKey,
  ApiKeyList,
  ApiKeyParams,
  ChangeMemberRole,
  CreateApiKey,
  CreatedApiKey,
  CreatedTenant,
  CreateTenant,
  ListApiKeysQuery,
  ListTenantsQuery,
  Member,
  MemberList,
  MemberParams,
  RotateApiKey,
  RotatedApiKey,
  TenantList,
} from "../../shared/contracts/tenants.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

const shared = { tags: ["tenants"], security: callers };

export const createTenant = createRoute({
  ...shared,
  method: "post",
  path: "/",
  operationId: "createTenant",
  summary: "Make a tenant with its first admin",
  description:
    "For the project's secret key alone. With a name and an admin that belong together already, it answers that tenant.",
  ...alsoFails("conflict"),
  request: { body: jsonBody(CreateTenant) },
  responses: {
    200: json(CreatedTenant, "The tenant that has the name already"),
    201: json(CreatedTenant, "The new tenant"),
    ...problems,
  },
});

export const listTenants = createRoute({
  ...shared,
  method: "get",
  path: "/",
  operationId: "listTenants",
  summary: "List the tenants that the caller belongs to",
  description: "Those of a user, the one of an API key, all of them for the project's secret key.",
  ...alsoFails(),
  request: { query: ListTenantsQuery },
  responses: { 200: json(TenantList, "A page of tenants"), ...problems },
});

export const listMembers = createRoute({
  ...shared,
  method: "get",
  path: "/members",
  operationId: "listMembers",
  summary: "List the tenant's members",
  description: "For members of any role. E-mail addresses are shown to admins alone.",
  ...alsoFails(),
  responses: { 200: json(MemberList, "The members, of whom there are at most 1,000"), ...problems },
});

export const addMember = createRoute({
  ...shared,
  method: "post",
  path: "/members",
  operationId: "addMember",
  summary: "Make a user of Supabase Auth a member",
  description: "For admins. Who is a member with this role already is answered as it is.",
  ...alsoFails("conflict"),
  request: { body: jsonBody(AddMember) },
  responses: { 201: json(Member, "The member"), ...problems },
});

export const changeMemberRole = createRoute({
  ...shared,
  method: "post",
  path: "/members/{userId}/role",
  operationId: "changeMemberRole",
  summary: "Give a member another role",
  description: "For admins. The last admin stays one.",
  ...alsoFails("conflict"),
  request: { params: MemberParams, body: jsonBody(ChangeMemberRole) },
  responses: { 200: json(Member, "The member"), ...problems },
});

export const removeMember = createRoute({
  ...shared,
  method: "post",
  path: "/members/{userId}/remove",
  operationId: "removeMember",
  summary: "End a membership at once",
  description: "For admins. The last admin stays.",
  ...alsoFails("conflict"),
  request: { params: MemberParams },
  responses: { 200: json(Member, "The member as it was"), ...problems },
});

export const createApiKey = createRoute({
  ...shared,
  method: "post",
  path: "/api-keys",
  operationId: "createApiKey",
  summary: "Make an API key for an app",
  description: "For admins. The key is in this answer and nowhere else: only its hash is stored.",
  ...alsoFails("conflict"),
  request: { body: jsonBody(CreateApiKey) },
  responses: { 201: json(CreatedApiKey, "The key"), ...problems },
});

export const listApiKeys = createRoute({
  ...shared,
  method: "get",
  path: "/api-keys",
  operationId: "listApiKeys",
  summary: "List API keys",
  description: "For whoever may read. Revoked and expired keys are listed, too, unless `usable` leaves them out.",
  ...alsoFails(),
  request: { query: ListApiKeysQuery },
  responses: { 200: json(ApiKeyList, "A page of keys, without the keys themselves"), ...problems },
});

export const revokeApiKey = createRoute({
  ...shared,
  method: "post",
  path: "/api-keys/{id}/revoke",
  operationId: "revokeApiKey",
  summary: "Make an API key void at once",
  description: "For admins.",
  ...alsoFails(),
  request: { params: ApiKeyParams },
  responses: { 200: json(ApiKey, "The key"), ...problems },
});

export const rotateApiKey = createRoute({
  ...shared,
  method: "post",
  path: "/api-keys/{id}/rotate",
  operationId: "rotateApiKey",
  summary: "Put a new API key in the place of an old one",
  description:
    "For admins. The new key has the executor, scopes and length of life of the old one, which stays good for the overlap.",
  ...alsoFails("conflict", "too_many"),
  request: { params: ApiKeyParams, body: jsonBody(RotateApiKey) },
  responses: { 201: json(RotatedApiKey, "The new key, and the old one"), ...problems },
});
