import { createRoute } from "@hono/zod-openapi";
import { LimitsDocument, SetTenantLimits } from "../../shared/contracts/tenant-limits.ts";
import type { LimitsDb } from "../../shared/db/limits.ts";
import type { createApi } from "../../shared/http/api.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

/** Adds what a tenant may have to the tenants API: read by whoever may read, set with the secret key. */
export function addLimits(app: ReturnType<typeof createApi>, db: LimitsDb): void {
  app
    .openapi(getLimits, async (c) => c.json(await db.getLimits(c.var.caller), 200))
    .openapi(setLimits, async (c) => {
      const document = await db.setLimits(c.var.caller, c.req.valid("json"));
      c.var.log("info", "limits.changed", { changed: document.changed });
      return c.json(document, 200);
    });
}

const tags = ["tenants"];

const getLimits = createRoute({
  method: "get",
  path: "/limits",
  operationId: "getLimits",
  summary: "Read a tenant's quotas and rates, and how much is used",
  tags,
  security: callers,
  description: "For whoever may read. What is used is counted for this answer.",
  ...alsoFails(),
  responses: { 200: json(LimitsDocument, "The limits"), ...problems },
});

const setLimits = createRoute({
  method: "post",
  path: "/limits",
  operationId: "setLimits",
  summary: "Change a tenant's quotas and rates, with the secret key",
  tags,
  security: callers,
  description: "For the project's secret key alone. What is left out stays; null goes back to the usual limit.",
  ...alsoFails(),
  request: { body: jsonBody(SetTenantLimits) },
  responses: { 200: json(LimitsDocument, "The limits as they are now"), ...problems },
});
