import type { Caller } from "../auth/caller.ts";
import type { Load } from "../contracts/health.ts";
import type { SqlCall } from "./sql-call.ts";

export interface DatabaseHealth {
  readonly tickAgeSeconds: number | null;
  readonly realtime: { readonly partitionToday: boolean };
}

export interface HealthDb {
  health(): Promise<DatabaseHealth>;
  getLoad(caller: Caller): Promise<Load>;
}

export function createHealthDb(call: SqlCall): HealthDb {
  return {
    health: () => call("health", {}),
    getLoad: (caller) => call("get_load", {}, caller),
  };
}
