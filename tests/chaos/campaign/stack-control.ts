import type { LocalStack } from "../../../local/stack.ts";
import { allFaults, type FaultKind, faultKinds } from "./schedule.ts";

/** A fault of the stack under way; undone by `end`. */
export interface StackFault {
  end(): Promise<void>;
}

const atOnce: StackFault = { end: () => Promise.resolve() };

/** How each fault of the stack is made. Kinds without an entry cannot be made with this stack. */
const switches: Partial<Record<FaultKind, (stack: LocalStack) => Promise<StackFault>>> = {
  "kill functions": (stack) => killPart(stack, "functions"),
  "kill Data API": (stack) => killPart(stack, "lite"),
  "Realtime off": (stack) => {
    stack.realtime.setEnabled(false);
    return Promise.resolve({ end: () => Promise.resolve(stack.realtime.setEnabled(true)) });
  },
  "messages dropped": (stack) => {
    stack.realtime.faults.dropMessages = true;
    return Promise.resolve({ end: () => Promise.resolve(void (stack.realtime.faults.dropMessages = false)) });
  },
  "messages doubled": (stack) => {
    stack.realtime.faults.duplicateMessages = true;
    return Promise.resolve({ end: () => Promise.resolve(void (stack.realtime.faults.duplicateMessages = false)) });
  },
  "messages delayed": (stack) => {
    stack.realtime.faults.delayMs = 2_000;
    return Promise.resolve({ end: () => Promise.resolve(void (stack.realtime.faults.delayMs = 0)) });
  },
};

/** The kinds of fault that can be made. */
export const possibleFaults: readonly FaultKind[] = allFaults.filter((kind) =>
  faultKinds[kind].target !== "stack" || kind in switches
);

/** Makes a fault of the stack. */
export async function strikeStack(stack: LocalStack, kind: FaultKind): Promise<StackFault> {
  const strike = switches[kind];
  if (strike === undefined) throw new Error(`Cannot make the fault "${kind}": it is not one of the stack`);
  return await strike(stack);
}

function killPart(stack: LocalStack, part: string): Promise<StackFault> {
  const pid = stack.pids[part];
  if (pid === undefined) throw new Error(`Cannot kill ${part}: the stack has no such process`);
  Deno.kill(pid, "SIGKILL");
  return Promise.resolve(atOnce);
}
