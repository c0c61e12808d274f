import { musterError } from "../errors.ts";

/** Refuses an end that has passed: the key or token would be void from the start. */
export function requireFuture(expiresAt: string | null, now: number): void {
  if (expiresAt === null || Date.parse(expiresAt) > now) return;
  throw musterError("invalid_request", `Cannot use expiresAt "${expiresAt}": it must be in the future`, {
    errors: [{ path: "expiresAt", message: "Must be in the future" }],
  });
}
