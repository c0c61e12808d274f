import { z } from "zod";
import type { AttemptRef, AttemptResult } from "./attempt.ts";

/** Where results wait that cannot be delivered yet: they outlive the process. */
export interface Spool {
  /** Said in messages, such as the path. */
  readonly place: string;
  /** What an earlier process left, and what of it cannot be read. */
  load(): Promise<{ readonly results: readonly AttemptResult[]; readonly unreadable: readonly string[] }>;
  put(result: AttemptResult): Promise<void>;
  remove(attempt: AttemptRef): Promise<void>;
}

const ref = { jobId: z.uuid(), attempt: z.int().min(1) };
const spooled = z.discriminatedUnion("status", [
  z.object({ ...ref, status: z.literal("succeeded"), result: z.unknown() }),
  z.object({
    ...ref,
    status: z.literal("failed"),
    error: z.object({
      code: z.string().exactOptional(),
      message: z.string(),
      retryable: z.boolean().exactOptional(),
      details: z.unknown().exactOptional(),
    }),
  }),
]);

/** Reads what `JSON.stringify` made of a result; null when it is anything else. */
export function parseSpooled(text: string): AttemptResult | null {
  try {
    return spooled.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
