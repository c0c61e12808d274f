import type { ApiKeys } from "../keys.ts";

export type Refusal = { status: number; message: string; hint?: string };

/**
 * Swaps `sb_…` keys for the JWT they stand for, which is what the services understand: in `apikey` (header, or query of
 * `url`) and in `Authorization` when that is absent or the same key. Changes both arguments, or answers with the refusal
 * of the platform when a key is needed and missing, or not one of the project's.
 */
export function swapKey(
  headers: Headers,
  url: URL,
  keys: ApiKeys,
  need: "required" | "optional",
): Refusal | undefined {
  const given = headers.get("apikey") ?? url.searchParams.get("apikey");
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.get("authorization") ?? "")?.[1];

  if (given === null && need === "required") {
    return refusal("No API key found in request", "No `apikey` request header or url param was found.");
  }
  const token = given === null ? undefined : tokenOf(given, keys);
  if (given !== null && token === undefined && (need === "required" || given.startsWith("sb_"))) {
    return refusal("Invalid API key", "Double check your Supabase `anon` or `service_role` API key.");
  }
  if (token !== undefined) {
    if (headers.has("apikey")) headers.set("apikey", token);
    if (url.searchParams.has("apikey")) url.searchParams.set("apikey", token);
    if (headers.has("x-api-key")) headers.set("x-api-key", tokenOf(headers.get("x-api-key")!, keys) ?? token);
    if (bearer === undefined || bearer === given) headers.set("authorization", `Bearer ${token}`);
  } else if (bearer?.startsWith("sb_")) {
    const standsFor = tokenOf(bearer, keys);
    if (standsFor) headers.set("authorization", `Bearer ${standsFor}`);
  }
  return undefined;
}

function tokenOf(key: string, keys: ApiKeys): string | undefined {
  if (key === keys.publishableKey || key === keys.anonKey) return keys.anonKey;
  if (key === keys.secretKey || key === keys.serviceRoleKey) return keys.serviceRoleKey;
  return undefined;
}

function refusal(message: string, hint: string): Refusal {
  return { status: 401, message, hint };
}
