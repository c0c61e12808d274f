import { createRoute } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import type { ArtifactStore } from "../../shared/artifact-store.ts";
import {
  Artifact,
  ArtifactList,
  ArtifactParams,
  CreateArtifactAnswer,
  CreateArtifactRequest,
  DownloadAnswer,
  ListArtifactsQuery,
} from "../../shared/contracts/artifacts.ts";
import { limits } from "../../shared/contracts/limits.ts";
import type { ArtifactsDb } from "../../shared/db/artifacts.ts";
import { musterError } from "../../shared/errors.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";
import { finishArtifact } from "./finish-artifact.ts";

export interface Deps {
  readonly db: ArtifactsDb;
  readonly store: ArtifactStore;
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
}

/** Builds the artifacts API over the given dependencies; it reads no environment. */
export function createApp({ db, store, authenticate, log }: Deps) {
  const app = createApi({ name: "artifacts", title: "Muster: artifacts", log });
  app.use(authenticate, limitBody(limits.bodyBytes));

  return app
    .openapi(createArtifact, async (c) => {
      const artifact = await db.createArtifact(c.var.caller, c.req.valid("json"));
      const { url, expiresAt } = await store.uploadUrl(artifact.path);
      c.var.log("info", "artifact.created", { artifactId: artifact.id, sizeBytes: artifact.sizeBytes });
      const headers = { "content-type": artifact.contentType };
      return c.json({ artifact, upload: { url, method: "PUT" as const, headers, expiresAt } }, 201);
    })
    .openapi(listArtifacts, async (c) => c.json(await db.listArtifacts(c.var.caller, c.req.valid("query").jobId), 200))
    .openapi(getArtifact, async (c) => c.json(await db.getArtifact(c.var.caller, c.req.valid("param").id), 200))
    .openapi(finish, async (c) => {
      const artifact = await finishArtifact(db, store, c.var.caller, c.req.valid("param").id);
      c.var.log("info", "artifact.finished", { artifactId: artifact.id });
      return c.json(artifact, 200);
    })
    .openapi(download, async (c) => {
      const artifact = await db.getArtifact(c.var.caller, c.req.valid("param").id);
      if (artifact.status !== "ready") {
        throw musterError("conflict", `Cannot download artifact "${artifact.id}": it is ${artifact.status}, not ready`);
      }
      return c.json(await store.downloadUrl(artifact.path, artifact.name), 200);
    });
}

const tags = ["artifacts"];

const createArtifact = createRoute({
  method: "post",
  path: "/",
  operationId: "createArtifact",
  summary: "Announce a file, and get a URL to upload it to",
  description:
    "Send the bytes there with PUT and the headers of the answer, then have them checked with `finish`. A worker " +
    "names the job and attempt whose output it is.",
  ...alsoFails("stale_attempt", "quota_exceeded", "conflict", "worker_revoked"),
  tags,
  security: callers,
  request: { body: jsonBody(CreateArtifactRequest) },
  responses: { 201: json(CreateArtifactAnswer, "The artifact and where its bytes go"), ...problems },
});

const listArtifacts = createRoute({
  method: "get",
  path: "/",
  operationId: "listArtifacts",
  summary: "List a job's inputs and outputs",
  description: "Those of a job the caller may read; a worker sees those of jobs that it holds.",
  ...alsoFails("worker_revoked"),
  tags,
  security: callers,
  request: { query: ListArtifactsQuery },
  responses: { 200: json(ArtifactList, "The job's artifacts"), ...problems },
});

const getArtifact = createRoute({
  method: "get",
  path: "/{id}",
  operationId: "getArtifact",
  summary: "Read what is known about an artifact",
  description: "Its size, hash and state; the bytes are reached by `download`.",
  ...alsoFails("worker_revoked"),
  tags,
  security: callers,
  request: { params: ArtifactParams },
  responses: { 200: json(Artifact, "The artifact"), ...problems },
});

const finish = createRoute({
  method: "post",
  path: "/{id}/finish",
  operationId: "finishArtifact",
  summary: "Have the uploaded bytes checked against the declared size and sha256",
  description: "Only then can the artifact be read, or be an input. Bytes that differ reject it for good.",
  ...alsoFails("conflict", "artifact_mismatch", "stale_attempt", "worker_revoked"),
  tags,
  security: callers,
  request: { params: ArtifactParams },
  responses: { 200: json(Artifact, "The artifact, now ready"), ...problems },
});

const download = createRoute({
  method: "get",
  path: "/{id}/download",
  operationId: "downloadArtifact",
  summary: "Get a URL to download an artifact from",
  description: "The URL needs no key and expires soon: ask for it when the bytes are wanted.",
  ...alsoFails("conflict", "worker_revoked"),
  tags,
  security: callers,
  request: { params: ArtifactParams },
  responses: { 200: json(DownloadAnswer, "Where the bytes are"), ...problems },
});
