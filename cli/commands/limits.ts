import { LimitsDocument, SetTenantLimits, TenantLimits } from "../../shared/contracts/tenant-limits.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { findTenant } from "../api.ts";
import { defineCommand } from "../define-command.ts";
import { type Outcome, table } from "../outcome.ts";
import { tenantOption } from "../read-options.ts";

const path = "/tenants/limits";

export const limitsCommands = {
  "limits show": defineCommand({
    help: `\
  limits show                Show a tenant's quotas and rates, and how much is used
      --tenant NAME          The tenant (default: default)`,
    options: { tenant: tenantOption },
    read: ({ values: { tenant } }) => async ({ api }) => {
      const { id: tenantId } = await findTenant(api, tenant);
      return outcome(await api.get(path, LimitsDocument, { tenantId }));
    },
  }),
  "limits set": defineCommand({
    help: `\
  limits set                 Change a tenant's quotas and rates
      --tenant NAME          The tenant (default: default)
      --limit NAME=VALUE     Such as waitingJobs=5000; waitingJobs=usual goes back to the usual one. Repeat it`,
    options: { tenant: tenantOption, limit: { type: "string", multiple: true } },
    read({ values: { tenant, limit = [] } }) {
      const wanted = readLimits(limit);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        return outcome(await api.post(path, LimitsDocument, wanted, { tenantId }));
      };
    },
  }),
};

function outcome(document: LimitsDocument): Outcome {
  const { limits, changed, used } = document;
  const rows = Object.entries(limits).map(([name, value]) => [
    name,
    value,
    name in used ? used[name as keyof typeof used] : null,
    changed.includes(name) ? "changed" : "usual",
  ]);
  return { record: document, text: table(["LIMIT", "VALUE", "USED", "IS"], rows) };
}

function readLimits(given: readonly string[]): SetTenantLimits {
  if (given.length === 0) throw new UsageError("Cannot change limits without --limit NAME=VALUE");
  const wanted = given.map((text) => {
    const [, name = "", value = ""] = /^(\w+)=(usual|\d{1,16})$/.exec(text) ?? [];
    if (value === "") throw new UsageError(`Cannot read --limit "${text}": it must be NAME=VALUE, or NAME=usual`);
    if (!Object.hasOwn(TenantLimits.shape, name)) {
      throw new UsageError(
        `Cannot change limit "${name}": the limits are ${Object.keys(TenantLimits.shape).join(", ")}`,
      );
    }
    return [name, value === "usual" ? null : Number(value)] as const;
  });
  const read = SetTenantLimits.safeParse(Object.fromEntries(wanted));
  if (read.success) return read.data;
  const { path: [name], message } = read.error.issues[0]!;
  throw new UsageError(`Cannot set limit "${String(name)}": ${message.toLowerCase()}`);
}
