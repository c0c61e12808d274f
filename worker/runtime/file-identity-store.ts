import { IdentityError, type IdentityStore } from "../identity.ts";
import { runtime } from "./current.ts";
import type { Release } from "./runtime.ts";

/**
 * Keeps the identity in a file that its owner alone can read. The file is held until it is released or this
 * process ends: two processes that are the same worker would run each other's jobs. A file that others can read, as a
 * restored backup may be, is refused: its key may be somebody else's by now.
 */
export function fileIdentityStore(path: string): IdentityStore {
  let release: Release | null = null;
  return {
    place: path,
    async load() {
      release ??= await runtime.hold(`${path}.lock`);
      if (release === null) {
        throw new IdentityError(
          `Cannot use the identity in ${path}: a worker that runs on this machine is using it`,
          "Stop that one, or give this worker another --name (or --identity file)",
        );
      }
      const text = await runtime.readText(path);
      if (text !== null && !await runtime.isPrivate(path)) {
        throw new IdentityError(
          `Cannot use the identity in ${path}: other users of this machine can read its key`,
          `Run chmod 600 ${path}; if one of them may have copied it, give the worker a new key with --rotate-key`,
        );
      }
      return text;
    },
    save: (text) => runtime.writePrivateText(path, text),
    async release() {
      await release?.();
      release = null;
    },
  };
}
