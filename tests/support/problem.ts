import assert from "node:assert/strict";
import { type ErrorCode, errorList } from "../../shared/errors.ts";
import { Problem } from "../../shared/http/responses.ts";
import type { ApiAnswer } from "./tenant.ts";

/** Asserts that an answer is the problem document of a code, with the given words in its detail. */
export function assertProblem(answer: ApiAnswer, code: ErrorCode, detail = /./): void {
  assert.equal(answer.body?.code, code, JSON.stringify(answer.body));
  assert.equal(answer.status, errorList[code].status);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  const problem = Problem.strict().parse(answer.body);
  assert.equal(problem.type, `/functions/v1/api/errors/${code}`);
  assert.equal(problem.correlationId, answer.headers.get("x-correlation-id"));
  assert.match(problem.detail, detail);
  assert.notEqual(problem.hint, "");
}
