import type { Caller } from "../auth/caller.ts";
import { toCamelName } from "../casing.ts";
import type { LimitsDocument, SetTenantLimits } from "../contracts/tenant-limits.ts";
import type { SqlCall } from "./sql-call.ts";

export interface LimitsDb {
  getLimits(caller: Caller): Promise<LimitsDocument>;
  /** Null goes back to the usual limit; what is not named stays. Only the secret key may. */
  setLimits(caller: Caller, limits: SetTenantLimits): Promise<LimitsDocument>;
}

export function createLimitsDb(call: SqlCall): LimitsDb {
  // Names that stand as values are not converted by the call.
  const named = async (document: Promise<LimitsDocument>): Promise<LimitsDocument> => {
    const { changed, ...rest } = await document;
    return { ...rest, changed: changed.map(toCamelName) };
  };
  return {
    getLimits: (caller) => named(call("get_limits", {}, caller)),
    setLimits: (caller, limits) => named(call("set_limits", { limits }, caller)),
  };
}

/** Counts a request that was refused against its caller or, where that is nobody, against the address. */
export type ChargeRefusal = (caller: Caller | null, address: string | null) => Promise<void>;

export function createChargeRefusal(call: SqlCall): ChargeRefusal {
  return (caller, address) => call("charge_refusal", { caller, address });
}
