import type { MiddlewareHandler } from "hono";
import { repeated } from "../../shared/auth/caller.ts";
import { limits } from "../../shared/contracts/limits.ts";
import type { GatesDb } from "../../shared/db/gates.ts";
import type { JobsDb } from "../../shared/db/jobs.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import { musterError } from "../../shared/errors.ts";
import { dismissDeadLetters, listDeadLetters, replayDeadLetters } from "./dead-letter-routes.ts";
import { explainJob, explainSubmission } from "./explain-routes.ts";
import { closeBatch, listConcurrencyKeys, listRateLimits, setConcurrencyKey } from "./gate-routes.ts";
import { cancelJob, getJob, listJobEvents, listJobs, rebindJob, retryJob, submitJobs, waitForJob } from "./routes.ts";
import { untilEnded } from "./until-ended.ts";

export interface Deps {
  readonly db: JobsDb & GatesDb;
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
}

/** Builds the jobs API over the given dependencies; it reads no environment. */
export function createApp({ db, authenticate, log }: Deps) {
  const app = createApi({ name: "jobs", title: "Muster: jobs", log });
  app.use(authenticate);
  app.on("POST", "/", limitBody(limits.batchBytes));
  app.on("POST", "/explain", limitBody(limits.bodyBytes));
  app.on("POST", "/:id/*", limitBody(limits.bodyBytes));
  app.on("PUT", "/*", limitBody(limits.bodyBytes));

  return app
    .openapi(submitJobs, async (c) => {
      const body = c.req.valid("json");
      const idempotencyKey = c.req.valid("header")["idempotency-key"];
      if ("jobs" in body) {
        if (idempotencyKey !== undefined) throw keyOfMany();
        const answer = await db.submitJobs(c.var.caller, body.jobs, c.var.correlationId, body.batch);
        c.var.log("info", "jobs.submitted", { count: answer.jobs.length, batchId: answer.batch?.id });
        return c.json(answer, 201);
      }
      if (idempotencyKey !== undefined && body.idempotencyKey !== undefined && idempotencyKey !== body.idempotencyKey) {
        throw twoKeys();
      }
      const job = idempotencyKey === undefined ? body : { ...body, idempotencyKey };
      const [submitted] = (await db.submitJobs(c.var.caller, [job], c.var.correlationId)).jobs;
      if (submitted === undefined) throw musterError("internal", "submit_jobs() answered no job");
      c.var.log("info", "job.submitted", { jobId: submitted.job.id, created: submitted.created });
      return c.json(submitted.job, submitted.created ? 201 : 200);
    })
    .openapi(listJobs, async (c) => c.json(await db.listJobs(c.var.caller, c.req.valid("query")), 200))
    // Before the routes with an id, which would take these for one.
    .openapi(listConcurrencyKeys, async (c) => {
      const { limit, cursor } = c.req.valid("query");
      return c.json(await db.listConcurrencyKeys(c.var.caller, limit, cursor), 200);
    })
    .openapi(setConcurrencyKey, async (c) => {
      const { key } = c.req.valid("param");
      const answer = await db.setConcurrencyKey(c.var.caller, key, c.req.valid("json").limit);
      c.var.log("info", "concurrency_key.set", { limit: answer.limit });
      return c.json(answer, 200);
    })
    .openapi(listRateLimits, async (c) => {
      const { limit, cursor } = c.req.valid("query");
      return c.json(await db.listRateLimits(c.var.caller, limit, cursor), 200);
    })
    .openapi(listDeadLetters, async (c) => c.json(await db.listDeadLetters(c.var.caller, c.req.valid("query")), 200))
    .openapi(replayDeadLetters, async (c) => {
      const answer = await db.replayDeadLetters(c.var.caller, c.req.valid("json"));
      c.var.log("info", "dead_letters.replayed", { count: answer.replayed });
      return c.json(answer, 200);
    })
    .openapi(dismissDeadLetters, async (c) => {
      const answer = await db.dismissDeadLetters(c.var.caller, c.req.valid("json"));
      c.var.log("info", "dead_letters.dismissed", { count: answer.dismissed });
      return c.json(answer, 200);
    })
    .openapi(explainSubmission, async (c) => c.json(await db.explainSubmission(c.var.caller, c.req.valid("json")), 200))
    .openapi(getJob, async (c) => c.json(await db.getJob(c.var.caller, c.req.valid("param").id), 200))
    .openapi(explainJob, async (c) => c.json(await db.explainJob(c.var.caller, c.req.valid("param").id), 200))
    .openapi(cancelJob, async (c) => {
      const { id } = c.req.valid("param");
      const [job] = (await db.cancelJobs(c.var.caller, [id], c.req.valid("json").reason)).jobs;
      if (job === undefined) throw musterError("not_found", `Cannot cancel job "${id}": no such job`);
      c.var.log("info", "job.cancelled", { jobId: id });
      return c.json(job, 200);
    })
    .openapi(retryJob, async (c) => {
      const { id } = c.req.valid("param");
      const job = await db.retryJob(c.var.caller, id);
      c.var.log("info", "job.retried", { jobId: job.id, retryOf: id });
      return c.json(job, 201);
    })
    .openapi(rebindJob, async (c) => {
      const { id } = c.req.valid("param");
      const { workerId } = c.req.valid("json");
      const job = await db.rebindJob(c.var.caller, id, workerId);
      c.var.log("info", "job.rebound", { jobId: id, workerId });
      return c.json(job, 200);
    })
    .openapi(closeBatch, async (c) => {
      const job = await db.closeBatch(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "batch.closed", { jobId: job.id });
      return c.json(job, 200);
    })
    .openapi(listJobEvents, async (c) => {
      const { after, limit } = c.req.valid("query");
      return c.json(await db.listJobEvents(c.var.caller, c.req.valid("param").id, after, limit), 200);
    })
    .openapi(waitForJob, async (c) => {
      const { id } = c.req.valid("param");
      const { timeoutSeconds } = c.req.valid("query");
      let caller = c.var.caller;
      const read = async () => {
        const job = await db.getJob(caller, id);
        caller = repeated(caller);
        return job;
      };
      return c.json(
        await untilEnded(read, {
          timeoutMs: timeoutSeconds * 1000,
          signal: c.req.raw.signal,
        }),
        200,
      );
    });
}

function keyOfMany() {
  const message = "Cannot use the header Idempotency-Key for several jobs: give each its own idempotencyKey";
  return musterError("invalid_request", message, {
    errors: [{ path: "idempotency-key", message: "Is for a single job" }],
  });
}

function twoKeys() {
  const message = "Cannot use two idempotency keys: the header and the body must not differ";
  return musterError("invalid_request", message, {
    errors: [{ path: "idempotencyKey", message: "Must not differ from the header Idempotency-Key" }],
  });
}
