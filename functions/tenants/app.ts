import type { MiddlewareHandler } from "hono";
import { limits } from "../../shared/contracts/limits.ts";
import type { LimitsDb } from "../../shared/db/limits.ts";
import type { TenantsDb } from "../../shared/db/tenants.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { requireFuture } from "../../shared/http/require-future.ts";
import { addLimits } from "./limits.ts";
import {
  addMember,
  changeMemberRole,
  createApiKey,
  createTenant,
  listApiKeys,
  listMembers,
  listTenants,
  removeMember,
  revokeApiKey,
  rotateApiKey,
} from "./routes.ts";

export interface Deps {
  readonly db: TenantsDb;
  readonly limits: LimitsDb;
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
  readonly now?: () => number;
}

/** Builds the tenants API over the given dependencies; it reads no environment. */
export function createApp({ db, limits: limitsDb, authenticate, log, now = Date.now }: Deps) {
  const app = createApi({ name: "tenants", title: "Muster: tenants", log });
  app.use(authenticate, limitBody(limits.bodyBytes));
  addLimits(app, limitsDb);

  return app
    .openapi(createTenant, async (c) => {
      const tenant = await db.bootstrapTenant(c.var.caller, c.req.valid("json"));
      if (tenant.created) c.var.log("info", "tenant.created", { tenantId: tenant.id });
      return c.json(tenant, tenant.created ? 201 : 200);
    })
    .openapi(listTenants, async (c) => c.json(await db.listTenants(c.var.caller, c.req.valid("query")), 200))
    .openapi(listMembers, async (c) => c.json(await db.listMembers(c.var.caller), 200))
    .openapi(addMember, async (c) => {
      const member = await db.addMember(c.var.caller, c.req.valid("json"));
      c.var.log("info", "member.added", { userId: member.userId, role: member.role });
      return c.json(member, 201);
    })
    .openapi(changeMemberRole, async (c) => {
      const { role } = c.req.valid("json");
      const member = await db.changeMemberRole(c.var.caller, c.req.valid("param").userId, role);
      c.var.log("info", "member.role_changed", { userId: member.userId, role });
      return c.json(member, 200);
    })
    .openapi(removeMember, async (c) => {
      const member = await db.removeMember(c.var.caller, c.req.valid("param").userId);
      c.var.log("info", "member.removed", { userId: member.userId });
      return c.json(member, 200);
    })
    .openapi(createApiKey, async (c) => {
      const wanted = c.req.valid("json");
      requireFuture(wanted.expiresAt, now());
      const key = await db.issueApiKey(c.var.caller, wanted);
      c.var.log("info", "api_key.created", { keyId: key.id, executorId: key.executorId });
      return c.json(key, 201);
    })
    .openapi(listApiKeys, async (c) => c.json(await db.listApiKeys(c.var.caller, c.req.valid("query")), 200))
    .openapi(revokeApiKey, async (c) => {
      const key = await db.revokeApiKey(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "api_key.revoked", { keyId: key.id });
      return c.json(key, 200);
    })
    .openapi(rotateApiKey, async (c) => {
      const { overlapSeconds } = c.req.valid("json");
      const key = await db.rotateApiKey(c.var.caller, c.req.valid("param").id, overlapSeconds);
      c.var.log("info", "api_key.rotated", { keyId: key.replaces.id, replacedBy: key.id });
      return c.json(key, 201);
    });
}
