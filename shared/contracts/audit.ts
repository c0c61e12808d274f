import { z } from "zod";
import { Instant, text } from "./common.ts";
import { limits } from "./limits.ts";

const Seq = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).describe("Place in the log, from 1 without gaps");
const Hash = z.string().regex(/^[0-9a-f]{64}$/, "Must be a SHA-256 in hex").describe("SHA-256 in hex");

export const ListAuditQuery = z.strictObject({
  action: text(limits.nameLength).optional()
    .describe("Only this action; with a dot at the end, all that begin so: `worker.`"),
  actorKind: text(limits.nameLength).optional().describe("Only what was done by this kind of actor"),
  actorId: text(limits.keyLength).optional().describe("Only what was done by the actor of this id"),
  subject: text(limits.keyLength).optional().describe("Only what was done to this; jobs have their own events"),
  since: Instant.optional().describe("Only what was done at or after this instant"),
  until: Instant.optional().describe("Only what was done before this instant"),
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Entries a page, at most"),
  cursor: text(limits.keyLength).optional().describe("nextCursor of the page before"),
});
export type ListAuditQuery = z.infer<typeof ListAuditQuery>;

/** One entry of the audit log; its hash covers all of it, its place and the hash of the entry before. */
export const AuditEntry = z.object({
  seq: Seq,
  createdAt: Instant.describe("When it was done"),
  actor: z.object({
    kind: z.string().describe("member, api_key, executor, worker, enrollment_token, service or system"),
    id: z.string().optional(),
    executorId: z.string().optional().describe("Whose API key it is"),
  }).describe("Who did it"),
  action: z.string().describe("What was done, as `<noun>.<participle>`"),
  subject: z.string().describe("To what it was done: an id, a name, or `jobs`"),
  data: z.record(z.string(), z.unknown()).describe("More about it; of jobs, which became what"),
  previousHash: Hash,
  hash: Hash,
}).meta({ id: "AuditEntry" });
export type AuditEntry = z.infer<typeof AuditEntry>;

export const AuditList = z.object({
  entries: z.array(AuditEntry).describe("Newest first; may be few, or none, though a next page follows"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "AuditList" });
export type AuditList = z.infer<typeof AuditList>;

export const VerifyAuditQuery = z.strictObject({
  fromSeq: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional()
    .describe("nextSeq of the piece before"),
  headSeq: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional()
    .describe("seq of a head that an earlier verification answered"),
  headHash: Hash.optional().describe("Its hash"),
}).refine(({ headSeq, headHash }) => (headSeq === undefined) === (headHash === undefined), {
  message: "headSeq and headHash go together",
  path: ["headHash"],
});
export type VerifyAuditQuery = z.infer<typeof VerifyAuditQuery>;

const AuditLink = z.object({ seq: Seq, hash: Hash });

/** How an entry shows that the log is not as it was sealed. */
export const auditBreaks = ["changed", "missing", "reordered", "rewritten", "truncated", "added"] as const;

export const AuditVerification = z.object({
  intact: z.boolean().describe("Whether this piece is as it was sealed"),
  checked: z.number().int().describe("Entries of this piece that are"),
  broken: z.object({
    seq: Seq.describe("The first entry that is not as it was sealed"),
    how: z.enum(auditBreaks),
    message: z.string(),
  }).nullable(),
  nextSeq: Seq.nullable().describe("Where the next piece begins; null when this was the last"),
  head: AuditLink.describe("The end of the log: noted elsewhere, it shows later that nothing before it was rewritten"),
  checkpoint: AuditLink.describe("The last entry that retention has deleted"),
  retentionDays: z.number().describe("How long entries are kept"),
}).meta({ id: "AuditVerification" });
export type AuditVerification = z.infer<typeof AuditVerification>;

export const SetAuditRetention = z.strictObject({
  days: z.number().int().min(30).max(3650).describe("How long entries are kept"),
}).meta({ id: "SetAuditRetention", example: { days: 365 } });

export const AuditRetention = z.object({ retentionDays: z.number().int() }).meta({ id: "AuditRetention" });
export type AuditRetention = z.infer<typeof AuditRetention>;
