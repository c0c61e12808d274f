import { z } from "zod";
import { Capabilities, Id, Instant, Labels, text } from "./common.ts";
import { limits } from "./limits.ts";

const Cidr = z.string().min(1).max(50).meta({
  description: "Address range, with no bits beyond the prefix",
  example: "10.1.0.0/16",
});

export const CreateEnrollmentToken = z.strictObject({
  name: text(limits.nameLength).default("default").describe("What the token is for"),
  capabilities: Capabilities.nullable().default(null).describe("What its machines may have; null for any"),
  labels: Labels.default({}).describe("Labels that its machines get"),
  maxUses: z.number().int().min(1).max(limits.enrollmentTokenUses).nullable().default(1)
    .describe("How many machines it lets in; null for any number"),
  expiresAt: Instant.nullable().default(null).describe("Null for a token that does not expire"),
  ephemeral: z.boolean().default(false).describe("Its machines are forgotten once they are gone"),
  cidrs: z.array(Cidr).min(1).max(limits.cidrs).nullable().default(null)
    .describe("From where its machines may enroll; null for anywhere"),
}).meta({
  id: "CreateEnrollmentToken",
  example: { name: "lab", capabilities: ["compute/basic"], maxUses: 10, expiresAt: "2026-01-31T12:00:00.000Z" },
});
export type CreateEnrollmentToken = z.infer<typeof CreateEnrollmentToken>;

export const EnrollmentTokenParams = z.object({ id: Id });

export const EnrollmentToken = z.object({
  id: Id,
  tenantId: Id,
  name: z.string(),
  capabilities: z.array(z.string()).nullable(),
  labels: z.record(z.string(), z.string()),
  cidrs: z.array(z.string()).nullable(),
  maxUses: z.number().int().nullable(),
  useCount: z.number().int().describe("How many machines it let in"),
  ephemeral: z.boolean(),
  createdAt: Instant,
  expiresAt: Instant.nullable(),
  revokedAt: Instant.nullable(),
}).meta({ id: "EnrollmentToken" });
export type EnrollmentToken = z.infer<typeof EnrollmentToken>;

export const CreatedEnrollmentToken = EnrollmentToken.extend({
  enrollmentToken: z.string().describe("The token itself (mse_…): this is the only time it is seen"),
}).meta({ id: "CreatedEnrollmentToken" });
export type CreatedEnrollmentToken = z.infer<typeof CreatedEnrollmentToken>;

export const ListEnrollmentTokensQuery = z.strictObject({
  usable: z.literal("true").optional().describe("Only those that can still be used"),
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Tokens a page"),
  cursor: text(1_000).optional().describe("nextCursor of the page before"),
});
export type ListEnrollmentTokensQuery = z.infer<typeof ListEnrollmentTokensQuery>;

export const EnrollmentTokenList = z.object({
  enrollmentTokens: z.array(EnrollmentToken).describe("Newest first"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "EnrollmentTokenList" });
export type EnrollmentTokenList = z.infer<typeof EnrollmentTokenList>;
