import type { AttemptRef } from "../attempt.ts";
import { parseSpooled, type Spool } from "../spool.ts";
import { runtime } from "./current.ts";

const ending = ".result.json";

/**
 * Keeps each result in a file of its own, readable by its owner alone. A file is whole or absent: it is written under
 * another name and then renamed. The folder appears with the first result.
 */
export function fileSpool(folder: string): Spool {
  const pathOf = ({ jobId, attempt }: AttemptRef) => `${folder}/${jobId}.${attempt}${ending}`;
  return {
    place: folder,
    async load() {
      const paths = (await runtime.list(folder)).filter((path) => path.endsWith(ending)).sort();
      const results = [];
      const unreadable = [];
      for (const path of paths) {
        const result = parseSpooled(await runtime.readText(path) ?? "");
        if (result === null) unreadable.push(path);
        else results.push(result);
      }
      return { results, unreadable };
    },
    put: (result) => runtime.writePrivateText(pathOf(result), JSON.stringify(result)),
    remove: (attempt) => runtime.remove(pathOf(attempt)),
  };
}
