import type { AuditEntry } from "../../shared/contracts/audit.ts";
import { project } from "./project.ts";
import { api } from "./tenant.ts";

/** What the audit log of a tenant tells of an action, or of all that begin so (`secret.`), oldest first. */
export async function auditOf(tenantId: string, action: string): Promise<AuditEntry[]> {
  const { status, body } = await api(project.secretKey, { "x-tenant-id": tenantId })(
    `/audit?limit=200&action=${action}`,
  );
  if (status !== 200) throw new Error(`Cannot read the audit log: ${JSON.stringify(body)}`);
  return body.entries.reverse();
}
