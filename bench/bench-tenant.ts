import type { LocalStack } from "../local/stack.ts";
import { createAdminDb } from "../shared/db/admin.ts";
import { createClients, createSqlCall } from "../shared/db/sql-call.ts";
import { MusterClient } from "../worker/index.ts";

/** A tenant with an app that submits, and a token that lets in any number of workers. */
export async function createTenant(
  stack: LocalStack,
  appFetch: typeof fetch = fetch,
): Promise<{ app: MusterClient; token: string }> {
  const admin = createAdminDb(createSqlCall(createClients(stack)));
  const { id: tenantId } = await admin.createTenant("bench");
  const { apiKey } = await admin.createApiKey({ tenantId, executorName: "bench", expiresAt: null });
  const { enrollmentToken } = await admin.createEnrollmentToken({
    ...{ tenantId, name: "bench", capabilities: null, labels: {} },
    ...{ maxUses: null, expiresAt: null, ephemeral: true },
  });
  return { app: new MusterClient({ url: stack.url, apiKey, fetch: appFetch }), token: enrollmentToken };
}
