import {
  CreatedEnrollmentToken,
  EnrollmentToken,
  EnrollmentTokenList,
} from "../../shared/contracts/enrollment-tokens.ts";
import { printableLine } from "../../shared/printable.ts";
import { readLabels } from "../../shared/read-labels.ts";
import { allPages, findTenant, makeTenant } from "../api.ts";
import { type CliCommand, defineCommand } from "../define-command.ts";
import { shownOnce, table, untilText } from "../outcome.ts";
import { readCapability, readExpiry, readId, readMaxUses, readName, tenantOption } from "../read-options.ts";

export const enrollmentTokenCommands: Readonly<Record<string, CliCommand>> = {
  "enrollment-token create": defineCommand({
    help: `\
  enrollment-token create    Make a token that lets machines in
      --tenant NAME          Tenant of the machines; made when it is new (default: default)
      --name NAME            What the token is for (default: default)
      --capability NAME      A capability that its machines may have; repeat it (default: any)
      --label KEY=VALUE      A label that its machines get; repeat it
      --cidr RANGE           Addresses they may enroll from, as 10.1.0.0/16; repeat it (default: any)
      --max-uses N           How many machines it lets in, or "unlimited" (default: 1)
      --expires TIME         30m, 12h, 90d or an ISO instant (default: 24h)
      --ephemeral            Its machines are forgotten once they are gone`,
    options: {
      tenant: tenantOption,
      name: { type: "string", default: "default" },
      capability: { type: "string", multiple: true },
      label: { type: "string", multiple: true },
      cidr: { type: "string", multiple: true },
      "max-uses": { type: "string", default: "1" },
      expires: { type: "string", default: "24h" },
      ephemeral: { type: "boolean", default: false },
    },
    read({ values, now }) {
      const tenant = readName("tenant", values.tenant);
      const wanted = {
        name: readName("name", values.name),
        capabilities: values.capability === undefined ? null : values.capability.map(readCapability),
        labels: readLabels(values.label ?? []),
        maxUses: readMaxUses(values["max-uses"]),
        expiresAt: readExpiry(values.expires, now),
        ephemeral: values.ephemeral,
        cidrs: values.cidr ?? null,
      };
      return async ({ api }) => {
        const { id: tenantId } = await makeTenant(api, tenant);
        const token = await api.post("/enroll/tokens", CreatedEnrollmentToken, wanted, { tenantId });
        const uses = wanted.maxUses === null ? "any number of machines" : `${wanted.maxUses} machine(s)`;
        const capabilities = wanted.capabilities === null ? "any capability" : wanted.capabilities.join(", ");
        const place = token.cidrs === null ? "" : `, from ${token.cidrs.join(", ")},`;
        return {
          record: { ...token, tenant },
          text: shownOnce(
            `Enrollment token for ${uses} with ${capabilities}${place} in tenant ${tenant}, ` +
              untilText(token.expiresAt),
            token.enrollmentToken,
          ),
        };
      };
    },
  }),
  "enrollment-token list": defineCommand({
    help: `\
  enrollment-token list      List the enrollment tokens of a tenant that can be used
      --tenant NAME          The tenant (default: default)
      --all                  Revoked, expired and used up ones, too`,
    options: { tenant: tenantOption, all: { type: "boolean", default: false } },
    read({ values }) {
      const name = readName("tenant", values.tenant);
      const usable = values.all ? undefined : "true";
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const enrollmentTokens = await allPages(async (cursor) => {
          const query = { usable, limit: "200", cursor };
          const page = await api.get("/enroll/tokens", EnrollmentTokenList, { tenantId, query });
          return { items: page.enrollmentTokens, nextCursor: page.nextCursor };
        });
        return {
          record: { enrollmentTokens },
          text: table(
            ["ID", "NAME", "CAPABILITIES", "FROM", "USED", "EXPIRES", "REVOKED"],
            enrollmentTokens.map((token) => [
              ...[token.id, token.name, token.capabilities?.join(",") ?? "any", token.cidrs?.join(",") ?? "anywhere"],
              ...[`${token.useCount}/${token.maxUses ?? "unlimited"}`, token.expiresAt, token.revokedAt],
            ]),
          ),
        };
      };
    },
  }),
  "enrollment-token revoke": defineCommand({
    help: `\
  enrollment-token revoke ID Let nobody in by a token any more; the machines that it let in stay
      --tenant NAME          Its tenant (default: default)`,
    options: { tenant: tenantOption },
    names: ["ID"],
    read({ values, names: [given = ""] }) {
      const [id, name] = [readId("enrollment token", given), readName("tenant", values.tenant)];
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const token = await api.post(`/enroll/tokens/${id}/revoke`, EnrollmentToken, undefined, { tenantId });
        const left = token.useCount === 0 ? "it let nobody in" : `the ${token.useCount} machine(s) it let in stay`;
        return { record: token, text: printableLine(`Enrollment token ${token.name} is revoked; ${left}`) };
      };
    },
  }),
};
