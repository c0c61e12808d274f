import type { MiddlewareHandler } from "hono";
import type { Env } from "./env.ts";
import type { Log } from "./log.ts";

export const correlationHeader = "x-correlation-id";

/** Follows a request by its `x-correlation-id`, or by a new one, and logs how it ended. */
export function correlationId(log: Log, now: () => number = Date.now): MiddlewareHandler<Env> {
  return async (c, next) => {
    const given = c.req.header(correlationHeader);
    const id = given !== undefined && /^[\x21-\x7e]{1,255}$/.test(given) ? given : crypto.randomUUID();
    const startedAt = now();
    c.set("correlationId", id);
    c.set("log", log.with({ correlationId: id }));
    await next();
    c.header(correlationHeader, id);
    c.var.log("info", "http.answered", {
      method: c.req.method,
      path: c.req.path,
      status: c.res.status,
      durationMs: now() - startedAt,
    });
  };
}
