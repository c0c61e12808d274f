import { z } from "zod";
import { Key } from "./common.ts";
import { limits } from "./limits.ts";

/** Who a job takes turns with. */
export const fairnessFields = {
  fairnessKey: Key.optional()
    .describe(
      "Jobs of equal priority take turns between their keys, so that no key's flood delays another's; default the app",
    ),
  fairnessWeight: z.number().int().min(1).max(limits.fairnessWeight).optional()
    .describe("How many turns it gets where a weight of 1 gets one; default 1"),
};

/** The same as a job shows them. */
export const fairnessAnswers = {
  fairnessKey: z.string().nullish(),
  fairnessWeight: z.number().int().nullish(),
};
