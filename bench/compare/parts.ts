import type { Context } from "./context.ts";
import { cycle } from "./cycle.ts";
import { doors } from "./doors.ts";
import { explain } from "./explain.ts";
import { floor } from "./floor.ts";
import { finished, others, queued } from "./growth.ts";
import { peersGrowth } from "./peers-growth.ts";
import { throughput } from "./throughput.ts";
import { tick } from "./tick.ts";

/** In this order: what is held against the peers' rates comes after them, and what has no aim last. */
export const parts = {
  throughput,
  doors,
  queued,
  others,
  finished,
  cycle,
  tick,
  explain,
  floor,
  "peers-growth": peersGrowth,
} satisfies Record<string, (context: Context) => Promise<void>>;

export type Part = keyof typeof parts;

export const partNames = Object.keys(parts) as Part[];
