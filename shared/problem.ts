import { type ErrorCode, errorList, type FieldError, isErrorCode, MusterError, musterError } from "./errors.ts";
import { maskText } from "./mask.ts";

/** RFC 9457 problem document: the one shape of every error answer. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** What to do about it. */
  readonly hint: string;
  readonly errors?: readonly FieldError[];
  readonly serverTime?: string;
  /** The header Retry-After again, for those who see only the body. */
  readonly retryAfterSeconds?: number;
  readonly correlationId: string;
}

export const problemContentType = "application/problem+json";

/** Where the page about a code is, in the project that answered: the function `api` serves it. */
export function problemType(code: ErrorCode): string {
  return `/functions/v1/api/errors/${code}`;
}

/** The document for an error. An internal error keeps its message to itself: it may quote what nobody should see. */
export function problem(error: MusterError, correlationId: string): ProblemDocument {
  const entry = errorList[error.code];
  return {
    type: problemType(error.code),
    title: entry.title,
    status: error.status,
    code: error.code,
    detail: error.code === "internal" ? entry.title : maskText(error.message),
    hint: maskText(error.advice),
    ...(error.errors.length > 0 ? { errors: error.errors.map(maskedField) } : {}),
    ...(error.serverTime === undefined ? {} : { serverTime: error.serverTime }),
    ...(error.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: error.retryAfterSeconds }),
    correlationId,
  };
}

function maskedField({ path, message }: FieldError): FieldError {
  return { path: maskText(path), message: maskText(message) };
}

/** The error that an HTTP answer tells of, for clients. `body` is the parsed body, or undefined when it is not JSON. */
export function errorFromAnswer(status: number, body: unknown): MusterError {
  const document = (typeof body === "object" && body !== null ? body : {}) as Partial<ProblemDocument>;
  if (isErrorCode(document.code)) {
    return musterError(document.code, String(document.detail ?? document.title ?? document.code), {
      advice: document.hint,
      errors: Array.isArray(document.errors) ? document.errors : undefined,
      serverTime: document.serverTime,
      retryAfterSeconds: typeof document.retryAfterSeconds === "number" ? document.retryAfterSeconds : undefined,
      correlationId: document.correlationId,
    });
  }
  const message = `The server answered ${status} without a problem document`;
  if (status === 401) return musterError("unauthenticated", message);
  if (status === 403) return musterError("forbidden", message);
  if (status === 404) return musterError("route_not_found", message);
  if (status === 413) return musterError("payload_too_large", message);
  if (status === 408 || status === 429 || status >= 502) return musterError("unavailable", message);
  return musterError(status >= 400 && status < 500 ? "invalid_request" : "internal", message);
}
