import postgres from "postgres";
import { project } from "./project.ts";

/** A new user of Supabase Auth: id and access token. */
export async function signUp(): Promise<{ userId: string; token: string }> {
  const response = await fetch(`${project.url}/auth/v1/signup`, {
    method: "POST",
    headers: { apikey: project.publishableKey, "content-type": "application/json" },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() }),
  });
  const { access_token: token, user } = await response.json();
  if (typeof token !== "string") throw new Error(`Cannot sign up: ${response.status}`);
  return { userId: user.id, token };
}

/** Makes users members of a tenant, each in the role it is given by. */
export async function addMembers(tenantId: string, members: Readonly<Record<string, string>>): Promise<void> {
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    for (const [role, userId] of Object.entries(members)) {
      await sql`insert into muster.members (tenant_id, user_id, role)
        values (${tenantId}, ${userId}, ${role}::muster.member_role)`;
    }
  } finally {
    await sql.end();
  }
}
