import type { Context, MiddlewareHandler } from "hono";
import { decodeJwt } from "jose";
import type { Caller } from "../auth/caller.ts";
import { sha256Hex } from "../auth/hash.ts";
import { workerRole } from "../auth/roles.ts";
import { isApiKey, sameSecret } from "../auth/secret.ts";
import { Id } from "../contracts/common.ts";
import type { ChargeRefusal } from "../db/limits.ts";
import { type MusterError, musterError, RateLimitedError } from "../errors.ts";
import { isRefusalOfDatabase } from "../sql-errors.ts";
import { clientAddress } from "./client-address.ts";
import type { Env } from "./env.ts";
import { answer } from "./to-problem.ts";

export interface AuthenticateOptions {
  /** The keys that stand for the project itself. */
  readonly secretKeys: readonly string[];
  /** The user behind a token of Supabase Auth, or null when the token is not valid. */
  readonly getUserId: (token: string) => Promise<string | null>;
  readonly allow: readonly Caller["kind"][];
  /** Counts what was refused; nothing is counted without it. */
  readonly chargeRefusal?: ChargeRefusal;
}

/** Finds out who is calling, by what the request carries; what that caller may do is the database's to say. */
export function authenticate(options: AuthenticateOptions): MiddlewareHandler<Env> {
  const find = findCaller(options);
  return async (c, next) => {
    const caller = await find(c);
    c.set("caller", caller);
    await next();
    // The database took back what it had counted for a request that it refused. A worker's token is passed on to it as
    // it is, and what a worker may ask it is asked without a function.
    if (caller.kind === "worker" || !isRefusalOfDatabase(c.error)) return;
    try {
      await options.chargeRefusal?.(caller, clientAddress(c.req.raw.headers));
    } catch (error) {
      if (error instanceof RateLimitedError) c.res = answer(c, error);
      else c.var.log("warn", "refusal.not_counted", { message: String(error) });
    }
  };
}

/** Answers who is calling, or throws: for a route that serves callers it does not know, too. */
export type FindCaller = (c: Context<Env>) => Promise<Caller>;

export function findCaller(options: AuthenticateOptions): FindCaller {
  return async (c) => {
    const caller = await callerOf(c, options);
    if (options.allow.includes(caller.kind)) return caller;
    throw musterError("forbidden", `Cannot use this route with ${described[caller.kind]}`);
  };
}

const described: Readonly<Record<Caller["kind"], string>> = {
  api_key: "an API key",
  service: "a secret key",
  member: "a user's token",
  worker: "a worker token",
};

async function callerOf(c: Context<Env>, options: AuthenticateOptions): Promise<Caller> {
  // Refused from any caller: one that is passed over would hide a slip.
  const tenantId = tenantIdOf(c);
  const bearer = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  // Browser clients of Supabase fill Authorization by themselves, so an API key in its own header goes first.
  const apiKey = c.req.header("x-api-key") ?? (bearer?.startsWith("msk_") ? bearer : undefined);
  if (apiKey !== undefined) {
    if (!isApiKey(apiKey)) throw refused("the API key is malformed");
    return { kind: "api_key", hash: await sha256Hex(apiKey), tenantId };
  }
  const isSecret = (key: string | undefined): boolean =>
    key !== undefined && options.secretKeys.some((secret) => sameSecret(secret, key));
  const hasSecret = isSecret(c.req.header("apikey"));
  if (isSecret(bearer) || (bearer === undefined && hasSecret)) return { kind: "service", tenantId };
  if (bearer === undefined) throw refused("it carries no API key, user token or worker token");
  const claims = claimsOf(bearer);
  if (claims === null) throw refused("the bearer token is neither an API key nor a JWT");
  // A gateway may have put in the token that the key stands for. Any other bearer is the one whom the request is from.
  if (hasSecret && claims.role === "service_role") return { kind: "service", tenantId };
  if (claims.role === workerRole) return { kind: "worker", token: bearer };
  const userId = typeof claims.sub === "string" ? await options.getUserId(bearer) : null;
  if (userId === null) {
    await options.chargeRefusal?.(null, clientAddress(c.req.raw.headers));
    throw refused("the token is not one of a signed-in user, or has expired");
  }
  return { kind: "member", userId, tenantId };
}

function tenantIdOf(c: Context<Env>): string | null {
  const given = c.req.header("x-tenant-id");
  if (given === undefined) return null;
  if (Id.safeParse(given).success) return given;
  throw musterError("invalid_request", `Cannot read the header x-tenant-id: it must be a UUID`, {
    errors: [{ path: "x-tenant-id", message: "Must be a UUID" }],
  });
}

/** What the token says about itself, unverified: enough to know whom to ask. */
function claimsOf(token: string): { readonly role?: unknown; readonly sub?: unknown } | null {
  try {
    return decodeJwt(token);
  } catch {
    return null;
  }
}

function refused(rule: string): MusterError {
  return musterError("unauthenticated", `Cannot authenticate the request: ${rule}`);
}
