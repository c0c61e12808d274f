import type { Caller } from "../auth/caller.ts";
import { createChargeRefusal } from "../db/limits.ts";
import { type Clients, createClients, createSqlCall, type SqlCall } from "../db/sql-call.ts";
import { type Environment, type Platform, readPlatform } from "../platform.ts";
import type { AuthenticateOptions } from "./authenticate.ts";
import { createLog, type Log } from "./log.ts";
import { supabaseUser } from "./supabase-user.ts";

/** What every function's entry point makes of its environment. */
export interface FunctionDeps {
  readonly platform: Platform;
  readonly clients: Clients;
  readonly call: SqlCall;
  readonly log: Log;
  /** What `authenticate` needs to let in callers of these kinds. */
  readonly allow: (...kinds: Caller["kind"][]) => AuthenticateOptions;
}

export function functionDeps(environment: Environment): FunctionDeps {
  const platform = readPlatform(environment);
  const clients = createClients(platform);
  const getUserId = supabaseUser(clients.bearer);
  const call = createSqlCall(clients);
  const chargeRefusal = createChargeRefusal(call);
  return {
    platform,
    clients,
    call,
    log: createLog(),
    allow: (...kinds) => ({ secretKeys: platform.secretKeys, getUserId, allow: kinds, chargeRefusal }),
  };
}
