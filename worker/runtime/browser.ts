import type { Release, Runtime } from "./runtime.ts";

/** The part of the Web Locks API used here: `deno check` does not know it. */
interface Locks {
  request(
    name: string,
    options: { ifAvailable: true },
    callback: (lock: unknown) => Promise<void> | undefined,
  ): Promise<unknown>;
}

/** A browser tab: identities live in localStorage under their path. */
export const browser: Runtime = {
  hostName: () => "browser",
  readText: (path) => Promise.resolve(localStorage.getItem(path)),
  writePrivateText(path, text) {
    localStorage.setItem(path, text);
    return Promise.resolve();
  },
  isPrivate: () => Promise.resolve(true),
  list: (folder) =>
    Promise.resolve(
      Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index) ?? "")
        .filter((path) => path.startsWith(`${folder}/`)),
    ),
  remove(path) {
    localStorage.removeItem(path);
    return Promise.resolve();
  },
  hold: (path) =>
    new Promise((resolve) => {
      // The lock is kept until the promise given to the callback settles, or the tab goes.
      const kept = Promise.withResolvers<void>();
      const release: Release = () => Promise.resolve(kept.resolve());
      (navigator as unknown as { locks: Locks }).locks.request(path, { ifAvailable: true }, (lock) => {
        resolve(lock === null ? null : release);
        return lock === null ? undefined : kept.promise;
      }).catch(() => resolve(release));
    }),
  sha256() {
    // Web Crypto hashes only what is there as a whole.
    const parts: BlobPart[] = [];
    return {
      update: (bytes) => void parts.push(new Uint8Array(bytes)),
      async digest() {
        const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
        return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
      },
    };
  },
  memoryMb: () => null,
};
