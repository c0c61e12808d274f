/** Waits until the condition holds; the time is for giving up, not for waiting. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  giveUpAfterMs = 60_000,
): Promise<void> {
  for (const deadline = Date.now() + giveUpAfterMs; !await condition();) {
    if (Date.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether a process lives. */
export function isAlive(pid: number): boolean {
  try {
    // Signal 0 asks only.
    return Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]![0] !== "Z";
  } catch {
    return false;
  }
}
