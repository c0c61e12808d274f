import type { Caller } from "../auth/caller.ts";
import type { LimitsDocument, TenantLimits } from "../contracts/tenant-limits.ts";
import type { SqlCall } from "./sql-call.ts";

export interface LimitsDb {
  getLimits(caller: Caller): Promise<LimitsDocument>;
  /** Null goes back to the usual limit; what is not named stays. Only the secret key may. */
  setLimits(
    caller: Caller,
    limits: Partial<Record<keyof TenantLimits, number | null | undefined>>,
  ): Promise<LimitsDocument>;
}

export function createLimitsDb(call: SqlCall): LimitsDb {
  return {
    getLimits: (caller) => call("get_limits", {}, caller),
    setLimits: (caller, limits) => call("set_limits", { limits }, caller),
  };
}

/** Counts a request that was refused against its caller or, where that is nobody, against the address. */
export type ChargeRefusal = (caller: Caller | null, address: string | null) => Promise<void>;

export function createChargeRefusal(call: SqlCall): ChargeRefusal {
  return (caller, address) => call("charge_refusal", { caller, address });
}
