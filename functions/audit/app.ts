import { createRoute } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import {
  AuditList,
  AuditRetention,
  AuditVerification,
  ListAuditQuery,
  SetAuditRetention,
  VerifyAuditQuery,
} from "../../shared/contracts/audit.ts";
import { limits } from "../../shared/contracts/limits.ts";
import type { AuditDb } from "../../shared/db/audit.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

export interface Deps {
  readonly db: AuditDb;
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
}

/** Builds the audit API over the given dependencies; it reads no environment. */
export function createApp({ db, authenticate, log }: Deps) {
  const app = createApi({ name: "audit", title: "Muster: audit", log });
  app.use(authenticate, limitBody(limits.bodyBytes));

  return app
    .openapi(listAudit, async (c) => c.json(await db.listAudit(c.var.caller, c.req.valid("query")), 200))
    .openapi(verifyAudit, async (c) => {
      const verification = await db.verifyAudit(c.var.caller, c.req.valid("query"));
      if (verification.broken !== null) c.var.log("error", "audit.broken", { ...verification.broken });
      return c.json(verification, 200);
    })
    .openapi(setAuditRetention, async (c) => {
      const retention = await db.setAuditRetention(c.var.caller, c.req.valid("json").days);
      c.var.log("info", "audit.retention_changed", retention);
      return c.json(retention, 200);
    });
}

const tags = ["audit"];

const listAudit = createRoute({
  method: "get",
  path: "/",
  operationId: "listAudit",
  summary: "Read what was done, and by whom",
  tags,
  security: callers,
  description: "For admins. Newest first; a page can be short although another follows.",
  ...alsoFails(),
  request: { query: ListAuditQuery },
  responses: { 200: json(AuditList, "A page of the audit log"), ...problems },
});

const verifyAudit = createRoute({
  method: "get",
  path: "/verify",
  operationId: "verifyAudit",
  summary: "Check a piece of the audit log for entries that were changed or removed",
  tags,
  security: callers,
  description: "For admins. Each entry holds the hash of the one before. Give `nextSeq` as `fromSeq` until it is null.",
  ...alsoFails(),
  request: { query: VerifyAuditQuery },
  responses: { 200: json(AuditVerification, "What was found, and where the next piece begins"), ...problems },
});

const setAuditRetention = createRoute({
  method: "post",
  path: "/retention",
  operationId: "setAuditRetention",
  summary: "Say how long the audit log is kept; with the secret key alone",
  tags,
  security: callers,
  description: "For the project's secret key alone. Entries that are older are deleted by and by.",
  ...alsoFails(),
  request: { body: jsonBody(SetAuditRetention) },
  responses: { 200: json(AuditRetention, "How long it is kept from now on"), ...problems },
});
