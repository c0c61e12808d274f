import { createRoute } from "@hono/zod-openapi";
import {
  ConcurrencyKey,
  ConcurrencyKeyList,
  KeyListQuery,
  KeyParams,
  RateLimitList,
  SetConcurrencyKey,
} from "../../shared/contracts/gates.ts";
import { Job, JobParams } from "../../shared/contracts/jobs.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

const tags = ["jobs"];

export const listConcurrencyKeys = createRoute({
  method: "get",
  path: "/concurrency-keys",
  operationId: "listConcurrencyKeys",
  summary: "List concurrency keys",
  description: "Each with its limit, how many jobs it has let in and how many wait for it.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { query: KeyListQuery },
  responses: { 200: json(ConcurrencyKeyList, "A page of keys"), ...problems },
});

export const setConcurrencyKey = createRoute({
  method: "put",
  path: "/concurrency-keys/{key}",
  operationId: "setConcurrencyKey",
  summary: "Set the limit of a concurrency key, or pause it",
  description: "The limit holds whatever later submissions say. With 0 jobs that run go on, and nobody follows them. " +
    "Needs the power `operate`.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { params: KeyParams, body: jsonBody(SetConcurrencyKey) },
  responses: { 200: json(ConcurrencyKey, "The key as it is now"), ...problems },
});

export const listRateLimits = createRoute({
  method: "get",
  path: "/rate-limits",
  operationId: "listRateLimits",
  summary: "List rate limits of jobs",
  description: "Each with the tokens it has, how many jobs wait for it and when the next of them may start.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { query: KeyListQuery },
  responses: { 200: json(RateLimitList, "A page of rate limits"), ...problems },
});

export const closeBatch = createRoute({
  method: "post",
  path: "/{id}/close",
  operationId: "closeBatch",
  summary: "Close an open batch",
  description: "It takes no more jobs, and ends once those it has have ended. Needs the power `submit`.",
  ...alsoFails("conflict"),
  tags,
  security: callers,
  request: { params: JobParams },
  responses: { 200: json(Job, "The batch as it is now"), ...problems },
});
