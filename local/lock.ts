import { join } from "node:path";

/** Who holds a data folder, as its `stack.json` says; the operator's commands find the local stack by it, too. */
export type Holder = { pid: number; url?: string; dbUrl?: string; secretKey?: string };

export type DataLock = {
  describe(holder: Holder): Promise<void>;
  release(): Promise<void>;
};

export class DataInUseError extends Error {
  override name = "DataInUseError";
  constructor(dataDir: string, readonly holder: Holder | undefined) {
    const who = holder ? ` by process ${holder.pid}${holder.url ? `, which serves ${holder.url}` : ""}` : "";
    super(`Cannot use "${dataDir}": it is in use${who}`);
  }
}

/**
 * Takes a data folder for this process. The lock is the operating system's on an open file, so that it goes away with
 * the process however that ends; what the file says is for people only.
 */
export async function lockData(dataDir: string): Promise<DataLock> {
  await Deno.mkdir(dataDir, { recursive: true });
  const path = join(dataDir, "lock");
  const file = await Deno.open(path, { read: true, write: true, create: true });
  if (!file.tryLockSync(true)) {
    file.close();
    throw new DataInUseError(dataDir, await readHolder(join(dataDir, "stack.json")));
  }
  const holderFile = join(dataDir, "stack.json");
  const describe = (holder: Holder) => Deno.writeTextFile(holderFile, JSON.stringify(holder), { mode: 0o600 });
  await describe({ pid: Deno.pid });
  return {
    describe,
    async release() {
      await Deno.remove(holderFile).catch(() => {});
      file.close();
    },
  };
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch {
    return undefined;
  }
}
