import { z } from "zod";
import { Instant } from "./common.ts";
import { limits } from "./limits.ts";

/** How the pause before a retry grows; held against muster_private.check_retry(). */
export const retryBackoffs = ["exponential", "linear", "fixed"] as const;

/** A code as workers and the scheduler tell them, or all that begin so: `http.*`. */
const ErrorPattern: z.ZodType<string> = z.string().min(1).max(limits.errorCodeLength)
  .regex(/^[a-zA-Z0-9_][a-zA-Z0-9_.:/-]*(\.\*)?$/, 'Must be an error code, or the beginning of some: "http.*"');

/** What a job asks for when an attempt fails, and until when its first must have begun. */
export const retryFields = {
  retryBackoff: z.enum(retryBackoffs).optional().describe(
    "How the pause grows from try to try: doubled, by retryBaseSeconds, or not at all; default exponential",
  ),
  retryJitter: z.number().min(0).max(1).optional()
    .describe("Which part of the pause is left to chance, so that jobs do not come back together; default 0.5"),
  finalErrors: z.array(ErrorPattern).max(limits.finalErrors).optional().meta({
    description: "Error codes after which no attempt follows, whatever is left of them",
    example: ["bad_input", "http.*"],
  }),
  startBy: Instant.optional()
    .describe("If no attempt has begun by this instant the job fails with the code expired; default without end"),
};

/** The same as a job shows them. */
export const retryAnswers = {
  retryBackoff: z.enum(retryBackoffs).nullish(),
  retryJitter: z.number().nullish(),
  finalErrors: z.array(z.string()).nullish(),
  startBy: Instant.nullish(),
};
