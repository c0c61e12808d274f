import process from "node:process";

/** One Ctrl-C may arrive by several ways: from the terminal, and from who passes it on. */
const sameWithinMs = 1000;

/** What is to be undone when the run is cut, the last first. */
const undo = new Set<() => Promise<unknown>>();
let ending: Promise<never> | undefined;

/** Ctrl-C and its like undo what was begun, so that no process and no folder stays; a second one ends at once. */
export function listenForInterrupts(): void {
  let first = 0;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      if (ending) {
        if (performance.now() - first > sameWithinMs) process.exit(130);
        return;
      }
      first = performance.now();
      console.error(`\nEnding, and removing what was made (${signal}) …`);
      ending = end();
    });
  }
  // What was cut off says so in many places; only the end counts then.
  globalThis.addEventListener("unhandledrejection", (event) => {
    if (ending) event.preventDefault();
  });
}

/** Has something undone if the run is cut before the answered function was called. */
export function onInterrupt(act: () => Promise<unknown>): () => void {
  undo.add(act);
  return () => void undo.delete(act);
}

/** Whoever fails because the run is being cut waits for the end here. */
export async function untilInterrupted(): Promise<void> {
  // The signal reaches all processes of the terminal: another may be gone before this one has heard of it.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await ending;
}

async function end(): Promise<never> {
  for (const act of [...undo].reverse()) {
    try {
      await act();
    } catch (error) {
      // A process that has ended by itself, for one.
      console.error(`While ending: ${error instanceof Error ? error.message : error}`);
    }
  }
  process.exit(130);
}
