import process from "node:process";
import { createInterface } from "node:readline";

const leaveWithinMs = 1_000;

export type ParentOptions<Settings> = {
  port: number;
  /** Called with other settings while the process runs. */
  onSettings?: (settings: Settings) => void | Promise<void>;
  /** Called before the process ends. */
  stop?: () => Promise<void>;
};

/** The child's side of `child.ts`: what the launcher set when it started this process. */
export function childSettings<Settings>(): Settings {
  return JSON.parse(process.env.MUSTER_SETTINGS ?? "{}");
}

/**
 * Tells the launcher which port is served, takes the settings it changes later, and ends this process when the launcher
 * closes the pipe, which it also does by dying.
 */
export function serveForParent<Settings>({ port, onSettings, stop }: ParentOptions<Settings>): void {
  console.log(JSON.stringify({ port }));
  followParent(async (settings) => await onSettings?.(settings as Settings)).then(async () => {
    // A request that hangs must not keep the process.
    setTimeout(() => Deno.exit(0), leaveWithinMs);
    await stop?.();
    Deno.exit(0);
  });
}

async function followParent(take: (settings: unknown) => Promise<void>): Promise<void> {
  try {
    for await (const line of createInterface({ input: process.stdin })) {
      const { id, settings } = JSON.parse(line);
      const error = await take(settings).then(() => undefined, (error) => String(error));
      console.log(JSON.stringify({ told: id, error }));
    }
  } catch { /* a broken pipe means the end, too */ }
}
