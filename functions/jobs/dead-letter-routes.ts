import { createRoute } from "@hono/zod-openapi";
import {
  DeadLetterList,
  DismissDeadLetters,
  DismissedDeadLetters,
  ListDeadLettersQuery,
  ReplayDeadLetters,
  ReplayedDeadLetters,
} from "../../shared/contracts/dead-letters.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

const tags = ["jobs"];

export const listDeadLetters = createRoute({
  method: "get",
  path: "/dead-letters",
  operationId: "listDeadLetters",
  summary: "List the letters of jobs that failed for good, newest first",
  description:
    "One letter a job that ended as `failed`, whatever the reason: it is open until the job is replayed or the letter " +
    "is dismissed. The job itself has payload, error and events.",
  ...alsoFails(),
  tags,
  security: callers,
  request: { query: ListDeadLettersQuery },
  responses: { 200: json(DeadLetterList, "A page of letters"), ...problems },
});

export const replayDeadLetters = createRoute({
  method: "post",
  path: "/dead-letters/replay",
  operationId: "replayDeadLetters",
  summary: "Submit failed jobs anew, up to 1,000 at a time",
  description:
    "Each becomes a new job that names the old one in `retryOf`. A letter is replayed once, however often and " +
    "concurrently it is asked for. Ask again with `nextCursor` as `cursor` until that is null. A job waits for its " +
    "concurrency key, whatever its policy was. Needs the power `submit`.",
  ...alsoFails("not_found", "quota_exceeded", "too_many"),
  tags,
  security: callers,
  request: { body: jsonBody(ReplayDeadLetters) },
  responses: { 200: json(ReplayedDeadLetters, "What was replayed"), ...problems },
});

export const dismissDeadLetters = createRoute({
  method: "post",
  path: "/dead-letters/dismiss",
  operationId: "dismissDeadLetters",
  summary: "Close letters without repeating their jobs, up to 1,000 at a time",
  description:
    "Nothing is deleted: the jobs stay, and the letters are listed as `dismissed`. Ask again with `nextCursor` as " +
    "`cursor` until that is null. Needs the power `submit`.",
  ...alsoFails("not_found", "too_many"),
  tags,
  security: callers,
  request: { body: jsonBody(DismissDeadLetters) },
  responses: { 200: json(DismissedDeadLetters, "What was dismissed"), ...problems },
});
