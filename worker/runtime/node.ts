import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { holdFile } from "./hold-file.ts";
import type { Runtime } from "./runtime.ts";

/** Node, Deno and Bun: all three have the `node:` modules. */
export const node: Runtime = {
  kind: "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node",
  hostName: () => hostname() || "worker",
  async readText(path) {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      throw error;
    }
  },
  async writePrivateText(path, text) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const draft = `${path}.${process.pid}.new`;
    await writeFile(draft, text, { mode: 0o600 });
    // The mode above counts for a new file only, and is cut by the umask.
    await chmod(draft, 0o600);
    await rename(draft, path);
  },
  async hold(path) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await holdFile(path);
  },
  sha256() {
    const hash = createHash("sha256");
    return {
      update: (bytes) => void hash.update(bytes),
      digest: () => Promise.resolve(hash.digest("hex")),
    };
  },
  memoryMb: () => Math.round(process.memoryUsage.rss() / 1024 / 1024),
};
