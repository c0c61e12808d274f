import { IdentityError, type IdentityStore } from "../identity.ts";
import { runtime } from "./current.ts";

/**
 * Keeps the identity in a file that its owner alone can read. The file is held while this process lives: two
 * processes that are the same worker would run each other's jobs.
 */
export function fileIdentityStore(path: string): IdentityStore {
  let held = false;
  return {
    place: path,
    async load() {
      if (!held && !await runtime.hold(`${path}.lock`)) {
        throw new IdentityError(
          `Cannot use the identity in ${path}: a worker that runs on this machine is using it`,
          "Stop that one, or give this worker another --name (or --identity file)",
        );
      }
      held = true;
      return await runtime.readText(path);
    },
    save: (text) => runtime.writePrivateText(path, text),
  };
}
