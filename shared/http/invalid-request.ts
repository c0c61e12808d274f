import type { z } from "zod";
import { payloadTooLarge } from "../contracts/jobs.ts";
import { type ErrorCode, type FieldError, type MusterError, musterError } from "../errors.ts";

type Issue = z.core.$ZodIssue;

/** More places than this help nobody to find the slip. */
const listedErrors = 20;

type Validated = { success: true } | { success: false; error: z.ZodError; target: string };

/** Refuses what does not fit a route's schemas, naming each place that does not. */
export function invalidRequest(result: Validated): void {
  if (!result.success) throw errorOfIssues(result.error.issues, result.target);
}

function errorOfIssues(given: readonly Issue[], target: string): MusterError {
  const issues = given.flatMap(narrowed);
  const errors = issues.flatMap(fieldErrors).slice(0, listedErrors);
  const [first] = errors;
  const place = first === undefined ? "" : `: ${first.path === "" ? "" : `${first.path} `}${lowerFirst(first.message)}`;
  return musterError(codeOf(issues), `Cannot read the ${names[target] ?? "request"}${place}`, { errors });
}

const names: Readonly<Record<string, string>> = {
  json: "body",
  query: "query",
  param: "path",
  header: "headers",
};

function codeOf(issues: readonly Issue[]): ErrorCode {
  const tooLarge = (issue: Issue): boolean => issue.code === "custom" && issue.params?.["code"] === payloadTooLarge;
  const tooMany = (issue: Issue): boolean => issue.code === "too_big" && issue.origin === "array";
  if (issues.every(tooLarge)) return "payload_too_large";
  return issues.every(tooMany) ? "too_many" : "invalid_request";
}

/** Of a union's alternatives, the one that was most likely meant: it has the fewest slips near the top. */
function narrowed(issue: Issue): Issue[] {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return [issue];
  const near = (alternative: Issue[]): number =>
    alternative.filter((inner) => inner.path.length <= 1)
      .reduce((sum, inner) => sum + (inner.code === "unrecognized_keys" ? inner.keys.length : 1), 0);
  const [likely] = [...issue.errors].sort((a, b) => near(a) - near(b));
  return (likely ?? []).flatMap((inner) => narrowed({ ...inner, path: [...issue.path, ...inner.path] }));
}

function fieldErrors(issue: Issue): FieldError[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: "Unknown field" }));
  }
  return [{ path: pathOf(issue.path), message: issue.message }];
}

/** `jobs[3].type` */
function pathOf(path: readonly PropertyKey[]): string {
  return path.map((key, index) => typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${String(key)}`)
    .join("").slice(0, 200);
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
