import { readFile, rm, writeFile } from "node:fs/promises";
import process from "node:process";
import type { Release } from "./runtime.ts";

/** The part of Deno used here: a lock of the operating system, which ends with the process, however it ends. */
interface DenoLike {
  open(path: string, options: { create: boolean; write: boolean; mode: number }): Promise<
    { tryLock(exclusive: boolean): Promise<boolean>; close(): void }
  >;
}

/** Held by this process. */
const held = new Set<string>();

/** Holds a lock file until it is released or this process ends; null when it is held already, also by this process. */
export async function holdFile(path: string): Promise<Release | null> {
  if (held.has(path)) return null;
  held.add(path);
  const deno = (globalThis as { Deno?: DenoLike }).Deno;
  const unlock = await (deno === undefined ? holdByName(path) : holdByLock(path, deno));
  if (unlock === null) {
    held.delete(path);
    return null;
  }
  return async () => {
    if (held.delete(path)) await unlock();
  };
}

async function holdByLock(path: string, deno: DenoLike): Promise<Release | null> {
  const file = await deno.open(path, { create: true, write: true, mode: 0o600 });
  if (await file.tryLock(true)) return () => Promise.resolve(file.close());
  file.close();
  return null;
}

/** Node and Bun have no such lock: the file names its holder, and a holder that is gone holds nothing. */
async function holdByName(path: string): Promise<Release | null> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { mode: 0o600, flag: "wx" });
      return () => rm(path, { force: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const holder = Number(await readFile(path, "utf8").catch(() => ""));
    if (holder > 0 && holder !== process.pid && isAlive(holder)) return null;
    await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
