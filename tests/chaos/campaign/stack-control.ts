import type { LocalStack } from "../../../local/stack.ts";
import { allFaults, type FaultKind, faultKinds } from "./schedule.ts";

/** Undoes a fault of the stack. */
type Undo = () => Promise<void>;

/** How each fault of the stack is made. */
const switches: Partial<Record<FaultKind, (stack: LocalStack) => Promise<Undo>>> = {
  "kill functions": (stack) => kill(stack, "functions"),
  "kill gateway": (stack) => kill(stack, "gateway"),
  "kill Realtime": (stack) => kill(stack, "realtime"),
  "kill Data API": (stack) => kill(stack, "lite"),
  "restart Postgres, immediate mode": async (stack) => {
    await stack.restartPostgres("immediate");
    return nothing;
  },
  "cron paused": async ({ cron }) => {
    await cron.pause();
    return () => Promise.resolve(cron.resume());
  },
  "Realtime off": async ({ realtime }) => {
    await realtime.setEnabled(false);
    return () => realtime.setEnabled(true);
  },
  "messages dropped": faults({ dropChance: 0.7 }, { dropChance: 0 }),
  "messages doubled": faults({ duplicateChance: 0.7 }, { duplicateChance: 0 }),
  "messages delayed": faults({ delayMs: 2_000 }, { delayMs: 0 }),
  "messages reordered": faults({ reorderChance: 0.5 }, { reorderChance: 0 }),
  "partition missing": faults({ missingPartition: true }, { missingPartition: false }),
  "rate exceeded": faults({ rateExceeded: true }, { rateExceeded: false }),
  "permissions frozen": faults({ frozenPermissions: true }, { frozenPermissions: false }),
};

/** The kinds of fault that can be made. */
export const possibleFaults: readonly FaultKind[] = allFaults.filter((kind) =>
  faultKinds[kind].target !== "stack" || kind in switches
);

/** Makes a fault of the stack; answers what undoes it. */
export async function strikeStack(stack: LocalStack, kind: FaultKind): Promise<Undo> {
  const strike = switches[kind];
  if (strike === undefined) throw new Error(`Cannot make the fault "${kind}": it is not one of the stack`);
  return await strike(stack);
}

async function nothing(): Promise<void> {}

function kill(stack: LocalStack, part: keyof LocalStack["pids"]): Promise<Undo> {
  try {
    Deno.kill(stack.pids[part], "SIGKILL");
  } catch (error) {
    // Killed before, and not yet started again.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return Promise.resolve(nothing);
}

type Faults = Parameters<LocalStack["realtime"]["setFaults"]>[0];

function faults(on: Faults, off: Faults): (stack: LocalStack) => Promise<Undo> {
  return async ({ realtime }) => {
    await realtime.setFaults(on);
    return () => realtime.setFaults(off);
  };
}
