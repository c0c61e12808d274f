import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { musterError } from "../errors.ts";

/** Refuses a body over the limit before it is parsed, by its declared length or while it is being read. */
export function limitBody(maxBytes: number): MiddlewareHandler {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () => {
      throw musterError("payload_too_large", `Cannot read the body: it must not be larger than ${maxBytes} bytes`);
    },
  });
}
