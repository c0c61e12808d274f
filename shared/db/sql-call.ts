import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Caller } from "../auth/caller.ts";
import { toCamel, toSnake } from "../casing.ts";
import { errorList, musterError, UnauthenticatedError } from "../errors.ts";
import type { Platform } from "../platform.ts";
import { errorFromSql } from "../sql-errors.ts";

/** The platform's clients, made once a process. */
export interface Clients {
  /** Acts with the project's secret key. */
  readonly service: SupabaseClient;
  /** Acts with whatever token it is given. */
  readonly bearer: SupabaseClient;
}

/**
 * Calls a function of schema `muster`: arguments go out in snake_case, the answer comes back in camelCase, a failure
 * is a MusterError. With a caller, the function is told who calls; a worker calls it as itself.
 */
export type SqlCall = <Answer>(name: string, args: Record<string, unknown>, caller?: Caller) => Promise<Answer>;

/** Longer than any of our functions takes, shorter than a caller's patience. */
const callTimeoutMs = 10_000;

export function createClients(
  platform: Pick<Platform, "url" | "secretKey" | "publishableKey">,
  options: { readonly fetch?: typeof fetch } = {},
): Clients {
  const settings = {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    ...(options.fetch === undefined ? {} : { global: { fetch: options.fetch } }),
  };
  return {
    service: createClient(platform.url, platform.secretKey, settings),
    bearer: createClient(platform.url, platform.publishableKey, settings),
  };
}

export function createSqlCall(clients: Clients): SqlCall {
  return async <Answer>(name: string, args: Record<string, unknown>, caller?: Caller): Promise<Answer> => {
    const client = caller?.kind === "worker" ? clients.bearer : clients.service;
    const given = caller === undefined ? args : { caller: caller.kind === "worker" ? null : caller, ...args };
    let request = client.schema("muster").rpc(name, toSnake(given)).abortSignal(AbortSignal.timeout(callTimeoutMs));
    if (caller?.kind === "worker") request = request.setHeader("Authorization", `Bearer ${caller.token}`);
    const { data, error, status } = await request;
    if (error !== null) {
      const failure = errorFromSql(error, status);
      // When the project's own key is refused, the caller's is not to blame.
      const ownKeyRefused = failure instanceof UnauthenticatedError &&
        error.code !== errorList.unauthenticated.sqlState;
      if (ownKeyRefused && caller !== undefined && caller.kind !== "worker") {
        throw musterError("internal", failure.message, { cause: failure });
      }
      throw failure;
    }
    // What SQL answers is held against the schemas by tests/contract, not by each request.
    return toCamel(data) as Answer;
  };
}
