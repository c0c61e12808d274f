import { MusterError } from "../shared/errors.ts";

/** Whether the control plane looked at what was sent and will never take it. All else may work another time. */
export function isRefusal(error: unknown): error is MusterError {
  return error instanceof MusterError && ["invalid_request", "payload_too_large", "too_many"].includes(error.code);
}
