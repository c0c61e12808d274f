import type { Context, ErrorHandler, NotFoundHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { type ErrorCode, MusterError, musterError } from "../errors.ts";
import { problem, problemContentType } from "../problem.ts";
import type { Env } from "./env.ts";

/** The one place where errors become answers. */
export const toProblem: ErrorHandler<Env> = (error, c) => {
  const ours = asMusterError(error);
  if (ours.status >= 500) {
    c.var.log("error", "http.failed", { code: ours.code, message: ours.message, cause: causes(ours) });
  } else {
    c.var.log("info", "http.refused", { code: ours.code, message: ours.message });
  }
  return answer(c, ours);
};

/** Tells a wrong route from a wrong method. `allowed` answers the methods that the path has. */
export function notFound(allowed: (path: string) => string[]): NotFoundHandler<Env> {
  return (c) => {
    const methods = allowed(c.req.path);
    if (methods.length === 0) {
      return answer(c, musterError("route_not_found", `Cannot find ${c.req.method} ${c.req.path}: no such route`));
    }
    const allow = methods.join(", ");
    c.header("allow", allow);
    return answer(
      c,
      musterError("method_not_allowed", `Cannot ${c.req.method} ${c.req.path}: the allowed methods are ${allow}`),
    );
  };
}

export function answer(c: Context<Env>, error: MusterError): Response {
  // RFC 9110 asks for a challenge with every 401.
  if (error.status === 401) c.header("www-authenticate", "Bearer");
  // A caller's limit is over by itself; what else is 429 has at least to wait.
  if (error.status === 429) c.header("retry-after", String(error.retryAfterSeconds ?? 1));
  return c.body(JSON.stringify(problem(error, c.var.correlationId)), error.status as 400, {
    "content-type": problemContentType,
  });
}

function asMusterError(error: Error): MusterError {
  if (error instanceof MusterError) return error;
  if (error instanceof HTTPException) {
    const code = codeOfStatus(error.status);
    return musterError(code, messages[error.message] ?? error.message, { cause: error });
  }
  return musterError("internal", error.message, { cause: error });
}

/** What Hono's validators say, as we say it. */
const messages: Readonly<Record<string, string>> = {
  "Malformed JSON in request body": "Cannot read the body: it must be valid JSON",
  "Unsupported Media Type": "Cannot read the body: its content type must be application/json",
};

function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "forbidden";
    case 404:
      return "route_not_found";
    case 405:
      return "method_not_allowed";
    case 413:
      return "payload_too_large";
    case 415:
      return "unsupported_media_type";
    case 503:
      return "unavailable";
  }
  return status < 500 ? "invalid_request" : "internal";
}

function causes(error: unknown): string[] {
  const found: string[] = [];
  for (let cause = error; cause instanceof Error && found.length < 5; cause = cause.cause) {
    found.push(cause.stack ?? cause.message);
  }
  return found;
}
