import { createHash } from "node:crypto";
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { holdFile } from "./hold-file.ts";
import type { Runtime } from "./runtime.ts";

/** Node, Deno and Bun: all three have the `node:` modules. */
export const node: Runtime = {
  hostName: () => hostname() || "worker",
  async readText(path) {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  },
  async writePrivateText(path, text) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const draft = `${path}.${process.pid}.new`;
    const file = await open(draft, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    // The mode above counts for a new file only, and is cut by the umask.
    await chmod(draft, 0o600);
    await rename(draft, path);
  },
  async isPrivate(path) {
    // Windows has no such bits: there the folder of the user is private.
    return process.platform === "win32" || ((await stat(path)).mode & 0o077) === 0;
  },
  async list(folder) {
    try {
      return (await readdir(folder)).map((name) => join(folder, name));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  },
  remove: (path) => rm(path, { force: true }),
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

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
