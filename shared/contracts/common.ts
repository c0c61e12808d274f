import { z } from "zod";
import { limits } from "./limits.ts";

/** Instants travel as ISO 8601 text with their offset, and leave us in UTC. */
export const Instant: z.ZodType<string> = z.iso.datetime({ offset: true })
  .refine((value) => !value.startsWith("0000"), "Must be in year 1 or later").meta({
    description: "ISO 8601 instant",
    example: "2026-01-31T12:00:00.000Z",
  });

export const Id: z.ZodType<string> = z.guid("Must be a UUID").meta({ description: "UUID", format: "uuid" });

/** Text without NUL characters and lone surrogates, neither of which Postgres can hold. */
export function text(maxLength: number): z.ZodString {
  return z.string().min(1).max(maxLength).refine(isStorableText, "Must not contain NUL or lone surrogates")
    // Of the rule, what a pattern can tell.
    .meta({ pattern: "^[^\\u0000]*$" });
}

export const Capability: z.ZodType<string> = z.string().min(1).max(limits.capabilityLength)
  .regex(/^[a-z0-9][a-z0-9._/-]*$/, "Must be lower-case letters, digits and . _ / -, starting with a letter or digit")
  .meta({ description: "What a worker can do and a job requires", example: "compute/basic" });

export const Capabilities: z.ZodType<string[]> = z.array(Capability).max(limits.capabilities)
  .describe("Capabilities that the worker has");

const LabelRecord = z
  .record(
    text(limits.labelKeyLength).regex(/^[a-zA-Z0-9]/, "Must start with a letter or digit"),
    z.string().max(limits.labelValueLength).refine(isStorableText, "Must not contain NUL or lone surrogates"),
  )
  .refine((labels) => Object.keys(labels).length <= limits.labels, `Must not have more than ${limits.labels} labels`);

export const Labels: z.ZodType<Record<string, string>> = z.preprocess((value, context) => {
  // A record drops this key without a word.
  if (typeof value === "object" && value !== null && Object.hasOwn(value, "__proto__")) {
    context.addIssue({ code: "custom", message: "Must not have the key __proto__", input: value });
  }
  return value;
}, LabelRecord).meta({ description: "Name and value pairs", example: { site: "lab" } });

export const Key: z.ZodType<string> = text(limits.keyLength);

export function isStorableText(value: string): boolean {
  return !value.includes("\0") && value.isWellFormed();
}

/** Any JSON value. `z.unknown()` rather than a recursive schema: a payload is checked once, without copying it. */
export const Json: z.ZodType<unknown> = z.unknown();
