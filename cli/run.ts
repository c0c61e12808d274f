import type { AdminDb } from "../shared/db/admin.ts";
import { printableLine } from "../shared/printable.ts";
import type { Command } from "./command.ts";

/** What a command answers: for machines, and for people. */
export interface Outcome {
  readonly record: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Carries out a command. */
export async function run(command: Exclude<Command, { kind: "help" }>, db: AdminDb): Promise<Outcome> {
  switch (command.kind) {
    case "tenant create": {
      const { id, name } = await db.createTenant(command.name);
      return { record: { tenantId: id, name }, text: printableLine(`Tenant ${name}: ${id}`) };
    }
    case "api-key create": {
      const tenant = await db.createTenant(command.tenant);
      const { executor, expiresAt } = command;
      const key = await db.createApiKey({ tenantId: tenant.id, executorName: executor, expiresAt });
      return {
        record: { ...key, tenantId: tenant.id, tenant: tenant.name, executor, expiresAt },
        text: shownOnce(`API key of ${executor} in tenant ${tenant.name}, ${untilText(expiresAt)}`, key.apiKey),
      };
    }
    case "enrollment-token create": {
      const tenant = await db.createTenant(command.tenant);
      const { kind: _, json: __, tenant: ___, ...wanted } = command;
      const token = await db.createEnrollmentToken({ tenantId: tenant.id, ...wanted });
      const uses = wanted.maxUses === null ? "any number of machines" : `${wanted.maxUses} machine(s)`;
      const capabilities = wanted.capabilities === null ? "any capability" : wanted.capabilities.join(", ");
      return {
        record: { ...token, tenantId: tenant.id, tenant: tenant.name, ...wanted },
        text: shownOnce(
          `Enrollment token for ${uses} with ${capabilities} in tenant ${tenant.name}, ${untilText(wanted.expiresAt)}`,
          token.enrollmentToken,
        ),
      };
    }
  }
}

function shownOnce(sentence: string, secret: string): string {
  return `${printableLine(sentence)}. It is shown once:\n\n${secret}`;
}

function untilText(expiresAt: string | null): string {
  return expiresAt === null ? "good until revoked" : `good until ${expiresAt}`;
}
