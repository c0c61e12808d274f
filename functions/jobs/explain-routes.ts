import { createRoute } from "@hono/zod-openapi";
import { Explanation } from "../../shared/contracts/explain.ts";
import { JobParams, SubmitJob } from "../../shared/contracts/jobs.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

const tags = ["jobs"];

export const explainJob = createRoute({
  method: "get",
  path: "/{id}/explain",
  operationId: "explainJob",
  summary: "Say why a job is not running",
  description:
    "What it waits for, the first thing that keeps it from each worker, what would have to change for others to do, " +
    "and an estimate of its start.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: JobParams },
  responses: { 200: json(Explanation, "The explanation"), ...problems },
});

export const explainSubmission = createRoute({
  method: "post",
  path: "/explain",
  operationId: "explainSubmission",
  summary: "Say what would become of a job if it were submitted now",
  description:
    "Nothing is stored. What the submission would refuse is refused here, in the same words; a known idempotency key " +
    "is explained by the job that it has. `after` names jobs by their ids only. Needs the power `submit`.",
  ...alsoFails("not_found", "quota_exceeded", "secret_not_allowed", "conflict", "E.CMD.CONCURRENCY_VIOLATION"),
  tags,
  security: callers,
  request: { body: jsonBody(SubmitJob) },
  responses: { 200: json(Explanation, "The explanation"), ...problems },
});
