import { createRoute } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { TokenSigner } from "../../shared/auth/access-token.ts";
import { deviceFingerprint, verifyDeviceProof } from "../../shared/auth/device-proof.ts";
import { sha256Hex } from "../../shared/auth/hash.ts";
import { channels } from "../../shared/channels.ts";
import {
  ClientTokenAnswer,
  EnrollAnswer,
  EnrollRequest,
  RefreshRequest,
  RotateRequest,
} from "../../shared/contracts/enroll.ts";
import { limits } from "../../shared/contracts/limits.ts";
import type { EnrollDb, EnrolledWorker } from "../../shared/db/enroll.ts";
import { musterError } from "../../shared/errors.ts";
import { createApi } from "../../shared/http/api.ts";
import { clientAddress } from "../../shared/http/client-address.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitAddress } from "../../shared/http/limit-address.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";
import type { Platform } from "../../shared/platform.ts";
import { type TokenDeps, tokenRoutes } from "./tokens.ts";

export interface Deps extends TokenDeps {
  readonly db: EnrollDb;
  readonly signer: TokenSigner;
  readonly platform: Pick<Platform, "publicUrl" | "publishableKey">;
  /** For executors; machines prove themselves by their key. */
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
}

/** Builds the enrollment API over the given dependencies; it reads no environment. */
export function createApp(deps: Deps) {
  const { db, signer, platform, authenticate, log, now = Date.now } = deps;
  const app = createApi({ name: "enroll", title: "Muster: enrollment", log });
  app.use(limitBody(limits.bodyBytes));
  app.use("/client-token", authenticate);
  app.on("POST", ["/", "/refresh", "/rotate"], limitAddress(db.chargeAddress));
  const project = { supabaseUrl: platform.publicUrl, publishableKey: platform.publishableKey };

  async function answer({ workerId, tenantId, name, capabilities, labels }: EnrolledWorker, fingerprint: string) {
    const token = await signer.signWorker({ workerId, tenantId, fingerprint });
    return { workerId, tenantId, name, capabilities, labels, ...token, ...project };
  }

  return app
    .openapi(enroll, async (c) => {
      const { token, publicJwk, proof, ...claimed } = c.req.valid("json");
      const verified = await verifyDeviceProof(proof, { kind: "enroll", token }, { now });
      if (verified.fingerprint !== await deviceFingerprint(publicJwk)) {
        throw musterError("proof_invalid", "Cannot accept the device proof: its key must be publicJwk");
      }
      const { kty, crv, x, y } = publicJwk;
      const worker = await db.enrollWorker(
        await sha256Hex(token),
        {
          name: claimed.name ?? `worker-${verified.fingerprint.slice(0, 8)}`,
          publicJwk: { kty, crv, x, y },
          capabilities: [...new Set(claimed.capabilities)],
          labels: claimed.labels ?? {},
          slots: claimed.slots,
          version: claimed.version ?? null,
        },
        verified,
        clientAddress(c.req.raw.headers),
      );
      c.var.log("info", "worker.enrolled", { workerId: worker.workerId, tenantId: worker.tenantId });
      return c.json(await answer(worker, verified.fingerprint), 201);
    })
    .openapi(refresh, async (c) => {
      const { workerId, proof } = c.req.valid("json");
      const verified = await verifyDeviceProof(proof, { kind: "refresh", workerId }, { now });
      const worker = await db.refreshWorker(workerId, verified);
      c.var.log("info", "worker.refreshed", { workerId });
      return c.json(await answer(worker, verified.fingerprint), 200);
    })
    .openapi(rotate, async (c) => {
      const { workerId, publicJwk: { kty, crv, x, y }, proof, newProof } = c.req.valid("json");
      const publicJwk = { kty, crv, x, y };
      const fingerprint = await deviceFingerprint(publicJwk);
      const old = await verifyDeviceProof(proof, { kind: "rotate", workerId, newFingerprint: fingerprint }, { now });
      const successor = await verifyDeviceProof(newProof, { kind: "succeed", workerId, oldProof: proof }, { now });
      if (successor.fingerprint !== fingerprint) {
        throw musterError("proof_invalid", "Cannot accept the new key's proof: its key must be publicJwk");
      }
      const worker = await db.rotateWorkerKey(workerId, old, { publicJwk, fingerprint });
      c.var.log("info", "worker.key_rotated", { workerId, tenantId: worker.tenantId });
      return c.json(await answer(worker, fingerprint), 200);
    })
    .openapi(clientToken, async (c) => {
      const { executorId, tenantId } = await db.authorizeClient(c.var.caller);
      const token = await signer.signClient({ executorId, tenantId });
      c.var.log("info", "client.authorized", { executorId, tenantId });
      return c.json({
        ...token,
        ...project,
        executorId,
        tenantId,
        channels: { tasks: channels.executorTasks(executorId) },
      }, 200);
    })
    .route("/tokens", tokenRoutes(deps));
}

const tags = ["enroll"];

/** How a machine can be refused. */
const refusals = [
  "proof_invalid",
  "proof_replayed",
  "clock_skewed",
  "worker_revoked",
  "address_not_allowed",
  "quota_exceeded",
  "not_found",
] as const;

const enroll = createRoute({
  method: "post",
  path: "/",
  operationId: "enrollWorker",
  summary: "Let a machine in by its enrollment token and a proof of its key",
  description: "The same key enrolls as the same worker again and costs no further use of the token.",
  ...alsoFails(
    ...refusals,
    "enrollment_token_invalid",
    "enrollment_token_expired",
    "enrollment_token_spent",
    "conflict",
  ),
  tags,
  request: { body: jsonBody(EnrollRequest) },
  responses: { 201: json(EnrollAnswer, "The worker and its access token"), ...problems },
});

const refresh = createRoute({
  method: "post",
  path: "/refresh",
  operationId: "refreshWorker",
  summary: "Get a worker's next access token by a fresh proof of its key",
  description: "A proof counts once. A revoked worker gets no token any more.",
  ...alsoFails(...refusals),
  tags,
  request: { body: jsonBody(RefreshRequest) },
  responses: { 200: json(EnrollAnswer, "The worker and its access token"), ...problems },
});

const rotate = createRoute({
  method: "post",
  path: "/rotate",
  operationId: "rotateWorkerKey",
  summary: "Give a worker another key, by a proof of the old one and a proof of the new one",
  description: "The worker stays the same. The old key and every token bound to it are void at once.",
  tags,
  ...alsoFails("proof_invalid", "proof_replayed", "clock_skewed", "worker_revoked", "conflict"),
  request: { body: jsonBody(RotateRequest) },
  responses: { 200: json(EnrollAnswer, "The worker and its access token"), ...problems },
});

const clientToken = createRoute({
  method: "post",
  path: "/client-token",
  operationId: "createClientToken",
  summary: "Exchange an API key for a token that may listen on Realtime",
  description: "The token reads the app's own channels, jobs and events, and nothing else.",
  ...alsoFails(),
  tags,
  security: callers,
  responses: { 200: json(ClientTokenAnswer, "The token and the channels it may join"), ...problems },
});
