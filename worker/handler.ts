import { z } from "zod";
import { FinalError } from "./final-error.ts";
import type { JobContext } from "./job-context.ts";

/** Does one attempt at a job and returns its result, which must be JSON. */
export type Handler<Payload = unknown> = (job: JobContext<Payload>) => unknown;

/** A handler with the type of job it is for. */
export interface HandlerDefinition<Payload = unknown> {
  readonly type: string;
  readonly handle: Handler<Payload>;
}

/** A definition as the worker keeps it: its payload is checked inside. */
export type AnyHandlerDefinition = HandlerDefinition;

/**
 * Defines a handler whose payload is checked first: a job with another payload fails at once, without a retry, and
 * says what is wrong.
 */
export function defineHandler<Schema extends z.ZodType>(definition: {
  readonly type: string;
  readonly payload: Schema;
  readonly handle: Handler<z.output<Schema>>;
}): AnyHandlerDefinition {
  const { type, payload: schema, handle } = definition;
  return {
    type,
    handle(job) {
      const parsed = schema.safeParse(job.payload);
      if (!parsed.success) {
        const problems = parsed.error.issues.map(({ path, message }) => ({ path: z.core.toDotPath(path), message }));
        const text = problems.map(({ path, message }) => path === "" ? message : `${path}: ${message}`).join("; ");
        throw new FinalError(`Cannot run ${type}: the payload does not fit: ${text}`, {
          code: "bad_payload",
          details: problems,
        });
      }
      return handle({ ...job, payload: parsed.data });
    },
  };
}
