import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";

/** The part of Deno used here: a lock of the operating system, which ends with the process, however it ends. */
interface DenoLike {
  open(path: string, options: { create: boolean; write: boolean; mode: number }): Promise<
    { tryLock(exclusive: boolean): Promise<boolean>; close(): void }
  >;
}

/** Locks stay open until the process ends. */
const held = new Map<string, unknown>();

/** Holds a lock file for as long as this process lives; false when another process, or this one, holds it already. */
export async function holdFile(path: string): Promise<boolean> {
  if (held.has(path)) return false;
  const deno = (globalThis as { Deno?: DenoLike }).Deno;
  if (deno !== undefined) {
    const file = await deno.open(path, { create: true, write: true, mode: 0o600 });
    if (!await file.tryLock(true)) {
      file.close();
      return false;
    }
    held.set(path, file);
    return true;
  }
  // Node and Bun have no such lock: the file names its holder, and a holder that is gone holds nothing.
  const holder = Number(await readFile(path, "utf8").catch(() => ""));
  if (holder > 0 && holder !== process.pid && isAlive(holder)) return false;
  await writeFile(path, String(process.pid), { mode: 0o600 });
  held.set(path, null);
  return true;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
