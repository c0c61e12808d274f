import { type LocalStack, type LocalStackOptions, startLocalStack } from "../local/stack.ts";
import { onInterrupt } from "./interrupt.ts";

/** A local stack that leaves nothing behind, also when the run is cut. */
export function startBenchStack(options: LocalStackOptions = {}): Promise<LocalStack> {
  const cut = new AbortController();
  const starting = startLocalStack({ ephemeral: true, log: () => {}, ...options, signal: cut.signal });
  // To stop one again that has stopped does nothing.
  onInterrupt(async () => {
    cut.abort();
    await starting.then((stack) => stack.stop(), () => {});
  });
  return starting;
}
