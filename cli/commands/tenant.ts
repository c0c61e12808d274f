import { CreatedTenant, TenantList } from "../../shared/contracts/tenants.ts";
import { NotFoundError } from "../../shared/errors.ts";
import { printableLine } from "../../shared/printable.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { allPages, makeTenant } from "../api.ts";
import { type CliCommand, type Context, defineCommand } from "../define-command.ts";
import { shownOnce, table } from "../outcome.ts";
import { readEmail, readName, tenantOption } from "../read-options.ts";

export const tenantCommands: Readonly<Record<string, CliCommand>> = {
  "bootstrap": defineCommand({
    help: `\
  bootstrap                  Make a tenant and its first admin, who can then sign in
      --admin EMAIL          The admin; made a user of Supabase Auth when the project has none of
                             that address, with a password that is shown once
      --tenant NAME          The tenant; made when it is new (default: default)`,
    options: { tenant: tenantOption, admin: { type: "string" } },
    read({ values }) {
      if (values.admin === undefined) throw new UsageError("Cannot bootstrap a tenant without --admin EMAIL");
      const [name, email] = [readName("tenant", values.tenant), readEmail(values.admin)];
      return async (context) => {
        const { tenant, password } = await bootstrap(context, name, email);
        const { id, adminUserId, created } = tenant;
        const sentence = `Tenant ${name} (${id}) has the admin ${email} (${adminUserId})`;
        return {
          record: { tenantId: id, tenant: name, created, adminUserId, adminEmail: email, password },
          text: password === null
            ? printableLine(sentence)
            : shownOnce(`${sentence}, a new user with this password`, password),
        };
      };
    },
  }),
  "tenant create": defineCommand({
    help: `\
  tenant create NAME         Make a tenant, or show the one of that name`,
    names: ["NAME"],
    read({ names: [given = ""] }) {
      const name = readName("tenant", given);
      return async ({ api }) => {
        const { id } = await makeTenant(api, name);
        return { record: { tenantId: id, name }, text: printableLine(`Tenant ${name}: ${id}`) };
      };
    },
  }),
  "tenant list": defineCommand({
    help: `\
  tenant list                List the project's tenants`,
    read: () => async ({ api }) => {
      const tenants = await allPages(async (cursor) => {
        const page = await api.get("/tenants", TenantList, { query: { limit: "200", cursor } });
        return { items: page.tenants, nextCursor: page.nextCursor };
      });
      return {
        record: { tenants: tenants.map(({ role: _, ...tenant }) => tenant) },
        text: table(["NAME", "ID", "CREATED"], tenants.map(({ name, id, createdAt }) => [name, id, createdAt])),
      };
    },
  }),
};

async function bootstrap(
  { api, auth }: Context,
  name: string,
  email: string,
): Promise<{ tenant: CreatedTenant; password: string | null }> {
  try {
    return { tenant: await api.post("/tenants", CreatedTenant, { name, adminEmail: email }), password: null };
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  const { id, password } = await auth.createUser(email);
  try {
    return { tenant: await api.post("/tenants", CreatedTenant, { name, adminUserId: id }), password };
  } catch (error) {
    // Nobody was told the password.
    await auth.deleteUser(id);
    throw error;
  }
}
