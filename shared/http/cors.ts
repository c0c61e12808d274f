import type { MiddlewareHandler } from "hono";
import { cors as honoCors } from "hono/cors";
import { correlationHeader } from "./correlation-id.ts";

/** What a page on another site may send. */
export const requestHeaders = [
  "authorization",
  "apikey",
  "content-type",
  "idempotency-key",
  "if-none-match",
  "x-api-key",
  "x-client-info",
  "x-tenant-id",
  correlationHeader,
] as const;

/** What such a page may read of an answer, beyond what every page may. */
export const answerHeaders = [correlationHeader, "allow", "etag", "retry-after", "www-authenticate"] as const;

/**
 * Any web page may call: what counts is the key it brings, and no cookie ever does. `methodsOf` answers the methods that
 * a path has; where there is no such path the page shall learn it from the answer, so the usual ones are allowed.
 */
export function cors(methodsOf: (path: string) => string[]): MiddlewareHandler {
  return honoCors({
    origin: "*",
    allowMethods: (_origin, c) => {
      const methods = methodsOf(c.req.path);
      return methods.length === 0 ? ["GET", "POST"] : methods;
    },
    allowHeaders: [...requestHeaders],
    exposeHeaders: [...answerHeaders],
    maxAge: 86_400,
  });
}
