import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import {
  CreatedEnrollmentToken,
  CreateEnrollmentToken,
  EnrollmentToken,
  EnrollmentTokenList,
  EnrollmentTokenParams,
  ListEnrollmentTokensQuery,
} from "../../shared/contracts/enrollment-tokens.ts";
import type { EnrollmentTokensDb } from "../../shared/db/enrollment-tokens.ts";
import type { Env } from "../../shared/http/env.ts";
import { invalidRequest } from "../../shared/http/invalid-request.ts";
import { requireFuture } from "../../shared/http/require-future.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

export interface TokenDeps {
  readonly tokens: EnrollmentTokensDb;
  /** For operators. */
  readonly authenticateOperator: MiddlewareHandler<Env>;
  readonly now?: () => number;
}

/** The routes below `/enroll/tokens`: what operators do with enrollment tokens. */
export function tokenRoutes({ tokens, authenticateOperator, now = Date.now }: TokenDeps) {
  const app = new OpenAPIHono<Env>({ defaultHook: invalidRequest });
  app.use(authenticateOperator);
  return app
    .openapi(createToken, async (c) => {
      const wanted = c.req.valid("json");
      requireFuture(wanted.expiresAt, now());
      const token = await tokens.issueEnrollmentToken(c.var.caller, wanted);
      c.var.log("info", "enrollment_token.created", { tokenId: token.id });
      return c.json(token, 201);
    })
    .openapi(
      listTokens,
      async (c) => c.json(await tokens.listEnrollmentTokens(c.var.caller, c.req.valid("query")), 200),
    )
    .openapi(revokeToken, async (c) => {
      const token = await tokens.revokeEnrollmentToken(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "enrollment_token.revoked", { tokenId: token.id });
      return c.json(token, 200);
    });
}

const shared = { tags: ["enroll"], security: callers };

const createToken = createRoute({
  ...shared,
  method: "post",
  path: "/",
  operationId: "createEnrollmentToken",
  summary: "Make a token that lets machines in",
  description: "For operators. The token is in this answer and nowhere else: only its hash is stored.",
  ...alsoFails("conflict"),
  request: { body: jsonBody(CreateEnrollmentToken) },
  responses: { 201: json(CreatedEnrollmentToken, "The token"), ...problems },
});

const listTokens = createRoute({
  ...shared,
  method: "get",
  path: "/",
  operationId: "listEnrollmentTokens",
  summary: "List enrollment tokens",
  description: "For operators.",
  ...alsoFails(),
  request: { query: ListEnrollmentTokensQuery },
  responses: { 200: json(EnrollmentTokenList, "A page of tokens, without the tokens themselves"), ...problems },
});

const revokeToken = createRoute({
  ...shared,
  method: "post",
  path: "/{id}/revoke",
  operationId: "revokeEnrollmentToken",
  summary: "Let nobody in by this token any more",
  description: "For operators. The workers that it let in stay: each is revoked by itself.",
  ...alsoFails(),
  request: { params: EnrollmentTokenParams },
  responses: { 200: json(EnrollmentToken, "The token"), ...problems },
});
