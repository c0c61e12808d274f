import { type AuditEntry, AuditList, AuditVerification } from "../../shared/contracts/audit.ts";
import { limits } from "../../shared/contracts/limits.ts";
import { printableLine } from "../../shared/printable.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { type Api, findTenant } from "../api.ts";
import { defineCommand } from "../define-command.ts";
import type { Outcome } from "../outcome.ts";
import { tenantOption } from "../read-options.ts";

const text = { type: "string" } as const;

export const auditCommands = {
  "audit list": defineCommand({
    help: `  audit list                 Show what was done in a tenant, newest first
      --tenant NAME          The tenant (default: default)
      --action NAME          Only this action, or all that begin so: "worker."
      --actor KIND           Only what this kind of actor did: member, api_key, worker, …
      --subject ID           Only what was done to this
      --since TIME           Only from this ISO instant on
      --until TIME           Only before this ISO instant
      --limit N              How many entries (default: 50)`,
    options: {
      tenant: tenantOption,
      action: text,
      actor: text,
      subject: text,
      since: text,
      until: text,
      limit: { type: "string", default: "50" },
    },
    read({ values: { tenant, actor, limit, ...filters } }) {
      const most = readCount(limit);
      return ({ api }) => list(api, tenant, { ...filters, actorKind: actor }, most);
    },
  }),
  "audit verify": defineCommand({
    help: `  audit verify               Check the whole log for entries that were changed or removed
      --tenant NAME          The tenant (default: default)
      --head SEQ:HASH        What an earlier check answered, and you have kept elsewhere`,
    options: { tenant: tenantOption, head: text },
    read({ values: { tenant, head } }) {
      const noted = head === undefined ? {} : readHead(head);
      return ({ api }) => verify(api, tenant, noted);
    },
  }),
};

async function list(
  api: Api,
  tenant: string,
  filters: Readonly<Record<string, string | undefined>>,
  most: number,
): Promise<Outcome> {
  const { id: tenantId } = await findTenant(api, tenant);
  const entries: AuditEntry[] = [];
  let cursor: string | undefined;
  do {
    const limit = String(Math.min(most - entries.length, limits.pageSize));
    const page = await api.get("/audit", AuditList, { tenantId, query: { ...filters, limit, cursor } });
    entries.push(...page.entries);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && entries.length < most);
  return { record: { entries }, text: entries.map(line).join("\n") || "None" };
}

function line({ seq, createdAt, actor, action, subject, data }: AuditEntry): string {
  const who = actor.id === undefined ? actor.kind : `${actor.kind} ${actor.id}`;
  const jobs = data["jobs"];
  const more = Array.isArray(jobs) ? `${jobs.length} changes` : JSON.stringify(data);
  return printableLine(`${seq}  ${createdAt}  ${who}  ${action}  ${subject}  ${more}`);
}

async function verify(api: Api, tenant: string, noted: Readonly<Record<string, string>>): Promise<Outcome> {
  const { id: tenantId } = await findTenant(api, tenant);
  let checked = 0;
  let fromSeq: number | null = null;
  while (true) {
    const query: Record<string, string | undefined> = {
      ...noted,
      fromSeq: fromSeq === null ? undefined : `${fromSeq}`,
    };
    const piece: AuditVerification = await api.get("/audit/verify", AuditVerification, { tenantId, query });
    checked += piece.checked;
    const record = { ...piece, checked };
    if (piece.broken !== null) {
      const { seq, how, message } = piece.broken;
      return { record, text: printableLine(`Broken at entry ${seq} (${how}): ${message}`), failed: true };
    }
    if (piece.nextSeq === null) {
      const { seq, hash } = piece.head;
      return { record, text: `Intact: ${checked} entries. The head to keep elsewhere, for --head:\n\n${seq}:${hash}` };
    }
    fromSeq = piece.nextSeq;
  }
}

function readCount(value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read --limit "${value}": it must be a whole number from 1`);
}

function readHead(value: string): { headSeq: string; headHash: string } {
  const [, headSeq, headHash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(value) ?? [];
  if (headSeq !== undefined && headHash !== undefined) return { headSeq, headHash };
  throw new UsageError(`Cannot read --head "${value}": it must be SEQ:HASH as an earlier check printed it`);
}
