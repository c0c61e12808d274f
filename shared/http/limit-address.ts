import type { MiddlewareHandler } from "hono";
import { clientAddress } from "./client-address.ts";

/** Counts requests against the address that they come from, before anything is done for them. */
export function limitAddress(charge: (address: string | null) => Promise<void>): MiddlewareHandler {
  return async (c, next) => {
    await charge(clientAddress(c.req.raw.headers));
    await next();
  };
}
