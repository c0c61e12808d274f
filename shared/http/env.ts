import type { Caller } from "../auth/caller.ts";
import type { Log } from "./log.ts";

/** What the middlewares leave for a handler. */
export interface Env {
  Variables: {
    correlationId: string;
    log: Log;
    /** Set by `authenticate`. */
    caller: Caller;
  };
}
