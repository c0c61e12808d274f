import assert from "node:assert/strict";
import { problem } from "../../shared/problem.ts";
import { type ErrorCode, musterError } from "../../shared/errors.ts";
import { createJudge } from "./judge.ts";
import type { FuzzAnswer, FuzzRequest } from "./request.ts";

const document = JSON.parse(await Deno.readTextFile(new URL("../../docs/openapi.json", import.meta.url)));
const judge = createJudge(document, {
  secrets: ["sb_secret_planted"],
  credentialsOfOthers: new Set(["key of others"]),
});

const request: FuzzRequest = {
  operationId: "getJob",
  method: "GET",
  path: "/functions/v1/jobs/0b8f3a52-4a3e-4c8e-9a5c-2f8d8b6f7a10",
  headers: {},
  body: null,
  credential: "key",
  fits: false,
  aimed: true,
};
const headers = {
  "x-correlation-id": "order-7",
  "access-control-allow-origin": "*",
  "www-authenticate": "Bearer",
  "retry-after": "1",
};

function refusal(code: ErrorCode, change: Record<string, unknown> = {}, more: Record<string, string> = {}): FuzzAnswer {
  const body = { ...problem(musterError(code, "Cannot do it"), "order-7"), ...change };
  const type = { "content-type": "application/problem+json" };
  return { status: body.status, headers: { ...headers, ...type, ...more }, text: JSON.stringify(body) };
}

function answer(body: unknown, status = 200): FuzzAnswer {
  return { status, headers: { ...headers, "content-type": "application/json" }, text: JSON.stringify(body) };
}

const job = document.components.schemas.Job.example;

Deno.test("the judge passes what the document promises", () => {
  assert.equal(judge(request, answer(job)), null);
  assert.equal(judge(request, refusal("not_found")), null);
  assert.equal(
    judge(
      { ...request, path: "/functions/v1/jobs/muster_private" },
      refusal("invalid_request", { detail: "muster_private" }),
    ),
    null,
  );
});

const planted: ReadonlyArray<readonly [string, string, FuzzAnswer, Partial<FuzzRequest>?]> = [
  ["a 5xx, even as a problem", "no 5xx", refusal("internal")],
  ["an error that is no problem document", "errors are problems", answer({ message: "no" }, 404)],
  ["a problem with a field too many", "errors are problems", refusal("not_found", { stack: "x" })],
  ["a problem whose status is not the answer's", "errors are problems", { ...refusal("not_found"), status: 403 }],
  ["a problem with another request's id", "errors are problems", refusal("not_found", { correlationId: "other" })],
  ["a 429 that does not say how long", "errors are problems", refusal("rate_limited", {}, { "retry-after": "soon" })],
  ["a code that the operation does not list", "problems are documented", refusal("proof_replayed")],
  ["a fitting request that is refused for its shape", "what fits the document is taken", refusal("invalid_request"), {
    fits: true,
  }],
  ["an answer with a field of another type", "answers are as documented", answer({ ...job, attempts: "1" })],
  ["an answer without a promised field", "answers are as documented", answer({ id: job.id })],
  ["a status that is not documented", "answers are as documented", answer(job, 202)],
  ["a schema's name", "no internals", refusal("not_found", { detail: "muster_private.jobs" })],
  ["an error of the Data API", "no internals", refusal("not_found", { detail: "PGRST202 searched for" })],
  ["a stack trace", "no internals", refusal("not_found", { detail: "Error\n    at f (file:///app/x.ts:1:2)" })],
  ["an error of Postgres", "no internals", refusal("not_found", { detail: 'relation "jobs" does not exist' })],
  ["a secret", "no secrets", answer({ ...job, payload: "sb_secret_planted" })],
  ["a secret in a header", "no secrets", { ...answer(job), headers: { ...headers, location: "sb_secret_planted" } }],
  ["what is another tenant's", "tenants stay apart", answer({ ...job, type: "belongs-to-others" })],
];

for (const [what, rule, given, change = {}] of planted) {
  Deno.test(`the judge finds ${what}`, () => {
    assert.equal(judge({ ...request, ...change }, given)?.rule, rule);
  });
}
