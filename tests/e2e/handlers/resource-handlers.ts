import { z } from "zod";
import { defineHandler } from "../../../worker/index.ts";

/** Holds a resource from now on. */
const hold = defineHandler({
  type: "test.resource.hold",
  payload: z.object({ name: z.string(), leaseSeconds: z.number().optional() }),
  async handle({ payload: { name, leaseSeconds }, resources }) {
    await resources.hold(name, {
      ...(leaseSeconds === undefined ? {} : { leaseSeconds }),
      sizeBytes: 7,
      metadata: { loaded_by: "test" },
    });
    return { held: name };
  },
});

/** Loses a resource for want of room. */
const evict = defineHandler({
  type: "test.resource.evict",
  payload: z.object({ name: z.string() }),
  handle: async ({ payload, resources }) => void await resources.release(payload.name, { evicted: true }),
});

export default [hold, evict];
