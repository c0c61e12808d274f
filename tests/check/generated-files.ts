import { join } from "node:path";
import type { Check } from "./check.ts";
import { type Generator, generators } from "./generators.ts";

/** Holds every generated file against what its generator makes of the sources now. */
export function generatedFiles(list: readonly Generator[] = generators): Check {
  return {
    name: "generated files are up to date",
    run: async (root) => {
      const problems = await Promise.all(list.map(async (generator) => {
        const stored = await Deno.readTextFile(join(root, generator.file)).catch(() => undefined);
        // Git may have written the file with the line ends of the system.
        if (stored?.replaceAll("\r\n", "\n") === await generator.generate(root)) return [];
        const state = stored === undefined ? "is missing" : "is out of date";
        return [`${generator.file} ${state}: npm run check -- --write`];
      }));
      return problems.flat();
    },
  };
}

/** Writes every generated file anew. */
export async function writeGeneratedFiles(root: string, list: readonly Generator[] = generators): Promise<void> {
  for (const { file, generate } of list) await Deno.writeTextFile(join(root, file), await generate(root));
}
