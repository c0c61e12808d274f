import { Member, MemberList, memberRoles } from "../../shared/contracts/tenants.ts";
import { musterError } from "../../shared/errors.ts";
import { printableLine } from "../../shared/printable.ts";
import { type Api, findTenant } from "../api.ts";
import { type CliCommand, defineCommand } from "../define-command.ts";
import { type Outcome, table } from "../outcome.ts";
import { readChoice, readEmail, readId, readName, tenantOption } from "../read-options.ts";

const options = { tenant: tenantOption } as const;

export const memberCommands: Readonly<Record<string, CliCommand>> = {
  "member add": defineCommand({
    help: `\
  member add USER            Make a user of Supabase Auth a member; USER is an e-mail address or an id
      --role ROLE            admin, editor, publisher or viewer (default: viewer)
      --tenant NAME          The tenant (default: default)`,
    options: { ...options, role: { type: "string", default: "viewer" } },
    names: ["USER"],
    read({ values, names: [given = ""] }) {
      const user = readUser(given);
      const role = readChoice("role", values.role, memberRoles);
      const name = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const member = await api.post("/tenants/members", Member, { ...user, role }, { tenantId });
        return outcome(member, `is now ${role} of tenant ${name}`);
      };
    },
  }),
  "member list": defineCommand({
    help: `\
  member list                List the members of a tenant
      --tenant NAME          The tenant (default: default)`,
    options,
    read({ values }) {
      const name = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { members } = await listMembers(api, (await findTenant(api, name)).id);
        return {
          record: { members },
          text: table(
            ["USER", "E-MAIL", "ROLE", "SINCE"],
            members.map(({ userId, email, role, createdAt }) => [userId, email, role, createdAt]),
          ),
        };
      };
    },
  }),
  "member role": defineCommand({
    help: `\
  member role USER ROLE      Give a member another role
      --tenant NAME          The tenant (default: default)`,
    options,
    names: ["USER", "ROLE"],
    read({ values, names: [given = "", wanted = ""] }) {
      const user = readUser(given);
      const role = readChoice("role", wanted, memberRoles);
      const name = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const path = `/tenants/members/${await userIdOf(api, tenantId, user)}/role`;
        return outcome(await api.post(path, Member, { role }, { tenantId }), `is now ${role} of tenant ${name}`);
      };
    },
  }),
  "member remove": defineCommand({
    help: `\
  member remove USER         End a membership
      --tenant NAME          The tenant (default: default)`,
    options,
    names: ["USER"],
    read({ values, names: [given = ""] }) {
      const user = readUser(given);
      const name = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const path = `/tenants/members/${await userIdOf(api, tenantId, user)}/remove`;
        return outcome(
          await api.post(path, Member, undefined, { tenantId }),
          `is no member of tenant ${name} any more`,
        );
      };
    },
  }),
};

type User = { readonly email: string } | { readonly userId: string };

function readUser(value: string): User {
  return value.includes("@") ? { email: readEmail(value) } : { userId: readId("user", value) };
}

function listMembers(api: Api, tenantId: string): Promise<MemberList> {
  return api.get("/tenants/members", MemberList, { tenantId });
}

async function userIdOf(api: Api, tenantId: string, user: User): Promise<string> {
  if ("userId" in user) return user.userId;
  const { members } = await listMembers(api, tenantId);
  const member = members.find(({ email }) => email === user.email.toLowerCase());
  if (member !== undefined) return member.userId;
  throw musterError("not_found", `Cannot find a member with the address "${user.email}"`, {
    advice: "See npm run muster -- member list",
  });
}

function outcome(member: Member, what: string): Outcome {
  return { record: member, text: printableLine(`${member.email ?? member.userId} ${what}`) };
}
