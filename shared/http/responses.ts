import { z } from "zod";
import { type ErrorCode, errorList } from "../errors.ts";
import { problemContentType } from "../problem.ts";

export const Problem = z.object({
  type: z.string().describe("urn:muster:error:<code>"),
  title: z.string(),
  status: z.number().int(),
  code: z.enum(Object.keys(errorList) as [ErrorCode, ...ErrorCode[]]).describe("Stable; see docs/errors.md"),
  detail: z.string(),
  hint: z.string().describe("What to do about it"),
  errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  serverTime: z.string().optional(),
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

/** Every route may answer with a problem document. */
export const problems = {
  default: { description: "A problem", content: { [problemContentType]: { schema: Problem } } },
} as const;
