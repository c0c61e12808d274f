import { createRoute } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import {
  ListSecretsQuery,
  OpenSecretsAnswer,
  OpenSecretsRequest,
  RotateMasterKeyAnswer,
  RotateMasterKeyRequest,
  Secret,
  SecretList,
  SecretParams,
  SetSecretRequest,
} from "../../shared/contracts/secrets.ts";
import { limits } from "../../shared/contracts/limits.ts";
import type { SecretsDb } from "../../shared/db/secrets.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";
import { openSecrets } from "./open-secrets.ts";
import { rotateMasterKey } from "./rotate-master-key.ts";
import { setSecret } from "./set-secret.ts";
import type { Vault } from "./vault.ts";

export interface Deps {
  readonly db: SecretsDb;
  readonly vault: Vault;
  /** For those who look after secrets. */
  readonly authenticate: MiddlewareHandler<Env>;
  /** For the workers that are given them. */
  readonly authenticateWorker: MiddlewareHandler<Env>;
  /** For the project itself. */
  readonly authenticateService: MiddlewareHandler<Env>;
  readonly log: Log;
  readonly now?: () => number;
}

/** Builds the secrets API over the given dependencies; it reads no environment. */
export function createApp(deps: Deps) {
  const { db, vault, authenticate, authenticateWorker, authenticateService, log, now = Date.now } = deps;
  const app = createApi({ name: "secrets", title: "Muster: secrets", log });
  app.use(limitBody(limits.secretBodyBytes));
  app.on(["GET", "POST"], "/", authenticate);
  app.on("POST", "/:name/delete", authenticate);
  app.on("POST", "/open", authenticateWorker);
  app.on("POST", "/rotate-master-key", authenticateService);

  return app
    .openapi(listSecrets, async (c) => c.json(await db.listSecrets(c.var.caller, c.req.valid("query")), 200))
    .openapi(set, async (c) => {
      const secret = await setSecret(db, vault, c.var.caller, c.req.valid("json"));
      c.var.log("info", "secret.set", { name: secret.name, version: secret.version });
      return c.json(secret, 200);
    })
    .openapi(deleteSecret, async (c) => {
      const secret = await db.deleteSecret(c.var.caller, c.req.valid("param").name);
      c.var.log("info", "secret.deleted", { name: secret.name, version: secret.version });
      return c.json(secret, 200);
    })
    .openapi(open, async (c) => {
      const request = c.req.valid("json");
      const { sealed, names } = await openSecrets(db, vault, c.var.caller, request, now);
      c.var.log("info", "secrets.opened", { jobId: request.jobId, attempt: request.attempt, names: names.join(" ") });
      c.header("cache-control", "no-store");
      return c.json({ sealed }, 200);
    })
    .openapi(rotate, async (c) => {
      const answer = await rotateMasterKey(db, vault, c.req.valid("json").after ?? null, c.var.log);
      const { keyId, rotatedCount, leftCount } = answer;
      c.var.log("info", "master_key.rotated", { keyId, rotatedCount, leftCount });
      return c.json(answer, 200);
    });
}

const tags = ["secrets"];

const listSecrets = createRoute({
  method: "get",
  path: "/",
  operationId: "listSecrets",
  summary: "List the tenant's secrets, without their values",
  tags,
  security: callers,
  description: "For admins. No answer tells a value.",
  ...alsoFails(),
  request: { query: ListSecretsQuery },
  responses: { 200: json(SecretList, "A page of secrets"), ...problems },
});

const set = createRoute({
  method: "post",
  path: "/",
  operationId: "setSecret",
  summary: "Set a secret, new or in place of its present value",
  tags,
  security: callers,
  description: "For admins. Whoever opens it from then on gets the new value.",
  ...alsoFails("conflict"),
  request: { body: jsonBody(SetSecretRequest) },
  responses: { 200: json(Secret, "The secret, without its value"), ...problems },
});

const deleteSecret = createRoute({
  method: "post",
  path: "/{name}/delete",
  operationId: "deleteSecret",
  summary: "Forget a secret; jobs that name it cannot open it any more",
  tags,
  security: callers,
  description: "For admins.",
  ...alsoFails(),
  request: { params: SecretParams },
  responses: { 200: json(Secret, "The secret as it was"), ...problems },
});

const open = createRoute({
  method: "post",
  path: "/open",
  operationId: "openSecrets",
  summary: "Give the worker that holds an attempt the secrets that the job names",
  description: "With the worker's token and a proof by its device key; the answer is sealed to a key made for it.",
  tags,
  security: callers,
  ...alsoFails(
    "proof_invalid",
    "proof_replayed",
    "clock_skewed",
    "worker_revoked",
    "stale_attempt",
    "secret_not_allowed",
  ),
  request: { body: jsonBody(OpenSecretsRequest) },
  responses: { 200: json(OpenSecretsAnswer, "The secrets, sealed"), ...problems },
});

const rotate = createRoute({
  method: "post",
  path: "/rotate-master-key",
  operationId: "rotateMasterKey",
  summary: "Encrypt up to 100 secrets anew, with the current master key",
  description: "With the project's secret key. Call it until `next` is null; it can be begun again at any time.",
  tags,
  security: callers,
  ...alsoFails(),
  request: { body: jsonBody(RotateMasterKeyRequest) },
  responses: { 200: json(RotateMasterKeyAnswer, "What was done and what is left"), ...problems },
});
