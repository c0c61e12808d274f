import { ApiKey, ApiKeyList, apiKeyScopes, CreatedApiKey, RotatedApiKey } from "../../shared/contracts/tenants.ts";
import { printableLine } from "../../shared/printable.ts";
import { allPages, findTenant, makeTenant } from "../api.ts";
import { type CliCommand, defineCommand } from "../define-command.ts";
import { shownOnce, table, untilText } from "../outcome.ts";
import { readChoice, readExpiry, readId, readName, readOverlap, tenantOption } from "../read-options.ts";

export const apiKeyCommands: Readonly<Record<string, CliCommand>> = {
  "api-key create": defineCommand({
    help: `\
  api-key create             Make an API key for an app
      --tenant NAME          Tenant of the app; made when it is new (default: default)
      --executor NAME        The app (default: default)
      --scope SCOPE          read, submit, operate or publish; repeat it (default: read and submit)
      --expires TIME         30m, 12h, 90d or an ISO instant (default: never)`,
    options: {
      tenant: tenantOption,
      executor: { type: "string", default: "default" },
      scope: { type: "string", multiple: true },
      expires: { type: "string" },
    },
    read({ values, now }) {
      const name = readName("tenant", values.tenant);
      const executor = readName("executor", values.executor);
      const scopes = (values.scope ?? ["read", "submit"]).map((scope) => readChoice("scope", scope, apiKeyScopes));
      const expiresAt = values.expires === undefined ? null : readExpiry(values.expires, now);
      return async ({ api }) => {
        const { id: tenantId } = await makeTenant(api, name);
        const wanted = { executorName: executor, scopes: [...new Set(scopes)], expiresAt };
        const key = await api.post("/tenants/api-keys", CreatedApiKey, wanted, { tenantId });
        return {
          record: { ...key, tenant: name, executor },
          text: shownOnce(
            `API key of ${executor} in tenant ${name} that may ${key.scopes.join(", ")}, ${untilText(key.expiresAt)}`,
            key.apiKey,
          ),
        };
      };
    },
  }),
  "api-key list": defineCommand({
    help: `\
  api-key list               List the API keys of a tenant that can be used
      --tenant NAME          The tenant (default: default)
      --executor NAME        Only keys of this app
      --all                  Revoked and expired ones, too`,
    options: { tenant: tenantOption, executor: { type: "string" }, all: { type: "boolean", default: false } },
    read({ values }) {
      const name = readName("tenant", values.tenant);
      const executorName = values.executor === undefined ? undefined : readName("executor", values.executor);
      const usable = values.all ? undefined : "true";
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const apiKeys = await allPages(async (cursor) => {
          const query = { executorName, usable, limit: "200", cursor };
          const page = await api.get("/tenants/api-keys", ApiKeyList, { tenantId, query });
          return { items: page.apiKeys, nextCursor: page.nextCursor };
        });
        return {
          record: { apiKeys },
          text: table(
            ["ID", "KEY", "EXECUTOR", "SCOPES", "LAST USED", "EXPIRES", "REVOKED"],
            apiKeys.map((key) => [
              ...[key.id, `${key.prefix}…`, key.executorName, key.scopes.join(",")],
              ...[key.lastUsedAt, key.expiresAt, key.revokedAt],
            ]),
          ),
        };
      };
    },
  }),
  "api-key revoke": defineCommand({
    help: `\
  api-key revoke ID          Make an API key void at once
      --tenant NAME          Its tenant (default: default)`,
    options: { tenant: tenantOption },
    names: ["ID"],
    read({ values, names: [given = ""] }) {
      const [id, name] = [readId("API key", given), readName("tenant", values.tenant)];
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const key = await api.post(`/tenants/api-keys/${id}/revoke`, ApiKey, undefined, { tenantId });
        return { record: key, text: printableLine(`API key ${key.prefix}… of ${key.executorName} is revoked`) };
      };
    },
  }),
  "api-key rotate": defineCommand({
    help: `\
  api-key rotate ID          Make a new API key in the place of an old one
      --tenant NAME          Its tenant (default: default)
      --overlap TIME         For how long the old one stays good, at most 30d (default: 24h)`,
    options: { tenant: tenantOption, overlap: { type: "string", default: "24h" } },
    names: ["ID"],
    read({ values, names: [given = ""] }) {
      const [id, name] = [readId("API key", given), readName("tenant", values.tenant)];
      const overlapSeconds = readOverlap(values.overlap);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const path = `/tenants/api-keys/${id}/rotate`;
        const key = await api.post(path, RotatedApiKey, { overlapSeconds }, { tenantId });
        return {
          record: { ...key, tenant: name },
          text: shownOnce(
            `API key of ${key.executorName} in the place of ${key.replaces.prefix}…, which is ` +
              untilText(key.replaces.expiresAt),
            key.apiKey,
          ),
        };
      };
    },
  }),
};
