import { z } from "zod";
import { type ErrorCode, errorList } from "../errors.ts";
import { problemContentType } from "../problem.ts";

export const Problem = z.object({
  type: z.string().describe("Where the page about the code is, relative to the project's URL"),
  title: z.string(),
  status: z.number().int(),
  code: z.enum(Object.keys(errorList) as [ErrorCode, ...ErrorCode[]]).describe("Stable; see GET /api/errors"),
  detail: z.string(),
  hint: z.string().describe("What to do about it"),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  serverTime: z.string().optional(),
  retryAfterSeconds: z.number().int().optional().describe("With rate_limited and quota_exceeded, as in Retry-After"),
  correlationId: z.string(),
}).meta({ id: "Problem", description: "RFC 9457 problem document" });

interface JsonResponse<Schema extends z.ZodType> {
  description: string;
  content: { "application/json": { schema: Schema } };
}

/** A JSON answer of a route's declaration. */
export function json<Schema extends z.ZodType>(schema: Schema, description: string): JsonResponse<Schema> {
  return { description, content: { "application/json": { schema } } };
}

/** A JSON body of a route's declaration; without it, or as another media type, it is refused. */
export function jsonBody<Schema extends z.ZodType>(
  schema: Schema,
): { required: true; content: { "application/json": { schema: Schema } } } {
  return { required: true, content: { "application/json": { schema } } };
}

/**
 * Every route may answer with a problem document. Those that any route of its shape can meet are told one by one in the
 * OpenAPI document; `alsoFails` adds the route's own, and without it any code is to be expected.
 */
export const problems = {
  default: { description: "A problem", content: { [problemContentType]: { schema: Problem } } },
} as const;

/** Where a route's declaration keeps the codes of `alsoFails`, until the OpenAPI document is complete. */
export const ownCodes = "x-own-codes";

/** For a route's declaration: the problems that this route can answer besides those of every route of its shape. */
export function alsoFails(...codes: ErrorCode[]): { readonly [ownCodes]: readonly ErrorCode[] } {
  return { [ownCodes]: codes };
}
