import type { Runtime } from "./runtime.ts";

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
  kind: "browser",
  hostName: () => "browser",
  readText: (path) => Promise.resolve(localStorage.getItem(path)),
  writePrivateText(path, text) {
    localStorage.setItem(path, text);
    return Promise.resolve();
  },
  hold: (path) =>
    new Promise((resolve) => {
      // The lock is kept until the tab goes: the promise given to the callback never settles.
      const keep = new Promise<void>(() => {});
      (navigator as unknown as { locks: Locks }).locks.request(path, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : keep;
      }).catch(() => resolve(true));
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
