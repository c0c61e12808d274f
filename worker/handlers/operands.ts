import { z } from "zod";
import { FinalError } from "../final-error.ts";

/** `{a, b}` or `{numbers: […]}`, as a list of numbers. */
export const operands: z.ZodType<number[]> = z.object({
  a: z.number().optional(),
  b: z.number().optional(),
  numbers: z.array(z.number()).min(1).optional(),
}).transform((payload, context) => {
  const { a, b, numbers } = payload;
  if (numbers !== undefined && a === undefined && b === undefined) return numbers;
  if (numbers === undefined && a !== undefined && b !== undefined) return [a, b];
  context.addIssue({ code: "custom", message: "Must have either the numbers a and b, or a list of numbers" });
  return z.NEVER;
});

/** The figure, unless it is too large to be one: JSON knows no infinity. */
export function finite(value: number): number {
  if (Number.isFinite(value)) return value;
  throw new FinalError("Cannot give the result: it is beyond the range of numbers", { code: "out_of_range" });
}
