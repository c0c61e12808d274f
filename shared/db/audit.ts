import type { Caller } from "../auth/caller.ts";
import type {
  AuditList,
  AuditRetention,
  AuditVerification,
  ListAuditQuery,
  VerifyAuditQuery,
} from "../contracts/audit.ts";
import type { SqlCall } from "./sql-call.ts";

export interface AuditDb {
  listAudit(caller: Caller, query: ListAuditQuery): Promise<AuditList>;
  /** Walks a piece of the chain; the answer says where the next begins. */
  verifyAudit(caller: Caller, query: VerifyAuditQuery): Promise<AuditVerification>;
  setAuditRetention(caller: Caller, days: number): Promise<AuditRetention>;
}

export function createAuditDb(call: SqlCall): AuditDb {
  return {
    listAudit: (caller, { limit, cursor, ...filters }) =>
      call("list_audit", { filters, pageSize: limit, cursor: cursor ?? null }, caller),
    verifyAudit: (caller, { fromSeq, headSeq, headHash }) => {
      const head = headSeq === undefined ? null : { seq: headSeq, hash: headHash };
      return call("verify_audit", { fromSeq: fromSeq ?? null, head }, caller);
    },
    setAuditRetention: (caller, days) => call("set_audit_retention", { days }, caller),
  };
}
