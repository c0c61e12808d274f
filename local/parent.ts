const leaveWithinMs = 1_000;

/**
 * The child's side of `child.ts`: tells the launcher which port is served, and ends this process when the launcher
 * closes the pipe, which it also does by dying.
 */
export function serveForParent(port: number, stop?: () => Promise<void>): void {
  console.log(JSON.stringify({ port }));
  leaveWithParent(stop);
}

async function leaveWithParent(stop?: () => Promise<void>): Promise<void> {
  try {
    for await (const _ of Deno.stdin.readable) { /* nothing is ever sent */ }
  } catch { /* a broken pipe means the same */ }
  // A request that hangs must not keep the process.
  setTimeout(() => Deno.exit(0), leaveWithinMs);
  await stop?.();
  Deno.exit(0);
}
