import type { Mutation } from "./mutation.ts";

const audit = "migrations/20261121000210_audit.sql";
const reading = "migrations/20261121000260_audit_reading.sql";
const refusedJoins = "migrations/20261121001290_refused_joins.sql";

export const auditMutations: readonly Mutation[] = [
  {
    name: "audit-hash-leaves-out-the-actor",
    breaks: "Who did it can be changed unseen",
    file: audit,
    find: "muster_private.iso(audit_hash.created_at), audit_hash.actor, audit_hash.action,",
    replace: "muster_private.iso(audit_hash.created_at), audit_hash.action,",
    tests: ["tests/sql/verify_audit.test.ts"],
  },
  {
    name: "audit-log-is-sealed-by-two-at-a-time",
    breaks: "A sealer does not wait for another",
    file: audit,
    find: "if not muster_private.lock_audit(seal_audit.tenant_id, seal_audit.wait) then",
    replace: "if false then",
    tests: ["tests/chaos/audit-log-loses-nothing.test.ts"],
  },
  {
    name: "audit-verification-ignores-the-end",
    breaks: "The newest entries can be deleted unseen",
    file: reading,
    find: "if v_break is null and v_next is null and (v_seq, v_hash) is distinct from (v_chain.seq, v_chain.hash) then",
    replace: "if false then",
    tests: ["tests/sql/verify_audit.test.ts"],
  },
  {
    name: "audit-retention-forgets-the-checkpoint",
    breaks: "After pruning the rest of the log does not verify",
    file: reading,
    find: "    v_chain.pruned_hash := v_entry.hash;\n",
    replace: "",
    tests: ["tests/sql/audit-log.test.ts"],
  },
  {
    name: "refused-write-of-a-listener-counts",
    breaks: "A worker that shows its presence is blamed for a refused join",
    file: refusedJoins,
    find: "and not (authorize_topic.is_write and",
    replace: "and not (false and",
    tests: ["tests/sql/refused-joins.test.ts"],
  },
];
