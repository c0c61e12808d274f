import { z } from "zod";
import { defineHandler } from "../../worker/index.ts";

/** `bench.now`: answers the instant at which it started, in milliseconds since the epoch, with fractions. */
export default defineHandler({
  type: "bench.now",
  payload: z.object({}),
  handle: () => ({ startedAt: performance.timeOrigin + performance.now() }),
});
