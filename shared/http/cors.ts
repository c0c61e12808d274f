import { cors as honoCors } from "hono/cors";
import type { MiddlewareHandler } from "hono";
import { correlationHeader } from "./correlation-id.ts";

/** Any web page may call: what counts is the key it brings, and no cookie ever does. */
export function cors(): MiddlewareHandler {
  return honoCors({
    origin: "*",
    allowMethods: ["GET", "POST"],
    allowHeaders: [
      "authorization",
      "apikey",
      "content-type",
      "idempotency-key",
      "x-api-key",
      "x-client-info",
      "x-tenant-id",
      correlationHeader,
    ],
    exposeHeaders: [correlationHeader, "allow"],
    maxAge: 86_400,
  });
}
