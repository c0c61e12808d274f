import { createRoute } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { limits } from "../../shared/contracts/limits.ts";
import { HeldResourceList, ListResourcesQuery } from "../../shared/contracts/affinity.ts";
import { SetMeasuredCapabilities } from "../../shared/contracts/placement.ts";
import { ListWorkersQuery, Worker, WorkerList, WorkerParams } from "../../shared/contracts/workers.ts";
import type { WorkersDb } from "../../shared/db/workers.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

export interface Deps {
  readonly db: WorkersDb;
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
}

/** Builds the workers API over the given dependencies; it reads no environment. */
export function createApp({ db, authenticate, log }: Deps) {
  const app = createApi({ name: "workers", title: "Muster: workers", log });
  app.use(authenticate, limitBody(limits.bodyBytes));

  return app
    .openapi(listWorkers, async (c) => c.json(await db.listWorkers(c.var.caller, c.req.valid("query")), 200))
    // Before the route of one worker, whose id it would be taken for.
    .openapi(listResources, async (c) => c.json(await db.listResources(c.var.caller, c.req.valid("query")), 200))
    .openapi(getWorker, async (c) => c.json(await db.getWorker(c.var.caller, c.req.valid("param").id), 200))
    .openapi(drainWorker, async (c) => {
      const worker = await db.drainWorker(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "worker.drain_requested", { workerId: worker.id });
      return c.json(worker, 200);
    })
    .openapi(resumeWorker, async (c) => {
      const worker = await db.resumeWorker(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "worker.resumed", { workerId: worker.id });
      return c.json(worker, 200);
    })
    .openapi(setMeasuredCapabilities, async (c) => {
      const { capabilities } = c.req.valid("json");
      const worker = await db.setMeasuredCapabilities(c.var.caller, c.req.valid("param").id, capabilities);
      c.var.log("info", "worker.measured", { workerId: worker.id });
      return c.json(worker, 200);
    })
    .openapi(cordonWorker, async (c) => {
      const worker = await db.cordonWorker(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "worker.cordoned", { workerId: worker.id });
      return c.json(worker, 200);
    })
    .openapi(uncordonWorker, async (c) => {
      const worker = await db.uncordonWorker(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "worker.uncordoned", { workerId: worker.id });
      return c.json(worker, 200);
    })
    .openapi(revokeWorker, async (c) => {
      const worker = await db.revokeWorker(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "worker.revoked", { workerId: worker.id });
      return c.json(worker, 200);
    });
}

const tags = ["workers"];

const listWorkers = createRoute({
  method: "get",
  path: "/",
  operationId: "listWorkers",
  summary: "List workers",
  description: "Every machine of the tenant, those that are offline or revoked included.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { query: ListWorkersQuery },
  responses: { 200: json(WorkerList, "The tenant's workers"), ...problems },
});

const getWorker = createRoute({
  method: "get",
  path: "/{id}",
  operationId: "getWorker",
  summary: "Read a worker",
  description: "What it can do, whether it is heard of, and the jobs it holds.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: WorkerParams },
  responses: { 200: json(Worker, "The worker"), ...problems },
});

const drainWorker = createRoute({
  method: "post",
  path: "/{id}/drain",
  operationId: "drainWorker",
  summary: "Give a worker nothing new, and let it finish what it holds",
  description: "Lasts until the worker is resumed, across its restarts. Needs the power `operate`.",
  ...alsoFails("worker_revoked", "conflict"),
  tags,
  security: callers,
  request: { params: WorkerParams },
  responses: { 200: json(Worker, "The worker"), ...problems },
});

const resumeWorker = createRoute({
  method: "post",
  path: "/{id}/resume",
  operationId: "resumeWorker",
  summary: "Give a drained worker jobs again",
  description: "Changes nothing for one that was not drained. Needs the power `operate`.",
  ...alsoFails("worker_revoked", "conflict"),
  tags,
  security: callers,
  request: { params: WorkerParams },
  responses: { 200: json(Worker, "The worker"), ...problems },
});

const setMeasuredCapabilities = createRoute({
  method: "put",
  path: "/{id}/measured-capabilities",
  operationId: "setMeasuredCapabilities",
  summary: "Record which capabilities of a worker were measured",
  description:
    "In the place of those recorded before. Jobs can require a capability as `name@measured`; it counts for as " +
    "long as the worker claims it, too. Needs the power `operate`.",
  ...alsoFails("worker_revoked", "too_many"),
  tags,
  security: callers,
  request: { params: WorkerParams, body: jsonBody(SetMeasuredCapabilities) },
  responses: { 200: json(Worker, "The worker"), ...problems },
});

const cordonWorker = createRoute({
  method: "post",
  path: "/{id}/cordon",
  operationId: "cordonWorker",
  summary: "Give a worker nothing new, and leave it as it is",
  description:
    "It stays online, holds its resources and finishes its jobs; nobody tells it. Jobs that only wanted it go " +
    "elsewhere, those that need it wait. Lasts until it is uncordoned, across its restarts. Needs the power `operate`.",
  ...alsoFails("worker_revoked", "conflict"),
  tags,
  security: callers,
  request: { params: WorkerParams },
  responses: { 200: json(Worker, "The worker"), ...problems },
});

const uncordonWorker = createRoute({
  method: "post",
  path: "/{id}/uncordon",
  operationId: "uncordonWorker",
  summary: "Give a cordoned worker jobs again",
  description: "Changes nothing for one that was not cordoned. Needs the power `operate`.",
  ...alsoFails("worker_revoked", "conflict"),
  tags,
  security: callers,
  request: { params: WorkerParams },
  responses: { 200: json(Worker, "The worker"), ...problems },
});

const listResources = createRoute({
  method: "get",
  path: "/resources",
  operationId: "listResources",
  summary: "List who holds which resource",
  description:
    "Named resources that workers say they have now: files, sessions, loaded models. Jobs whose `resourceRef` names " +
    "one go there. Those of a worker that is away stay in the list until their leases end.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { query: ListResourcesQuery },
  responses: { 200: json(HeldResourceList, "Resources and their holders"), ...problems },
});

const revokeWorker = createRoute({
  method: "post",
  path: "/{id}/revoke",
  operationId: "revokeWorker",
  summary: "Shut a worker out for good; its jobs go elsewhere",
  description:
    "Counts from its next call on, whatever its token says. The machine needs a new key and a new enrollment token " +
    "to come back.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: WorkerParams },
  responses: { 200: json(Worker, "The worker"), ...problems },
});
