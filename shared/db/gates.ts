import type { Caller } from "../auth/caller.ts";
import type { ConcurrencyKey, ConcurrencyKeyList, RateLimitList } from "../contracts/gates.ts";
import type { SqlCall } from "./sql-call.ts";

export interface GatesDb {
  listConcurrencyKeys(caller: Caller, pageSize: number, cursor: string | undefined): Promise<ConcurrencyKeyList>;
  /** A limit of null leaves it to submissions again. Answers the key as it is then. */
  setConcurrencyKey(caller: Caller, key: string, limit: number | null): Promise<ConcurrencyKey>;
  listRateLimits(caller: Caller, pageSize: number, cursor: string | undefined): Promise<RateLimitList>;
}

export function createGatesDb(call: SqlCall): GatesDb {
  return {
    listConcurrencyKeys: (caller, pageSize, cursor) =>
      call("list_concurrency_keys", { pageSize, cursor: cursor ?? null }, caller),
    setConcurrencyKey: (caller, key, limit) => call("set_concurrency_key", { key, maxRunning: limit }, caller),
    listRateLimits: (caller, pageSize, cursor) =>
      call("list_rate_limits", { pageSize, cursor: cursor ?? null }, caller),
  };
}
