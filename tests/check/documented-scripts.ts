import { join } from "node:path";
import { z } from "zod";
import type { Check } from "./check.ts";
import { sourceFiles } from "./source-files.ts";

const PackageJson = z.object({ scripts: z.record(z.string(), z.string()) });

/** The commands that documents promise exist, and those that exist start a file that does. */
export const documentedScripts: Check = {
  name: "npm scripts in documents exist",
  run: async (root) => {
    const { scripts } = PackageJson.parse(JSON.parse(await Deno.readTextFile(join(root, "package.json"))));
    const problems: string[] = [];
    for (const file of await sourceFiles(root, ".md")) {
      for (const { name, line } of npmScripts(await Deno.readTextFile(join(root, file)))) {
        if (!(name in scripts)) {
          problems.push(`${file}:${line} names "npm run ${name}": package.json has no such script`);
        }
      }
    }
    for (const [name, command] of Object.entries(scripts)) {
      for (const file of command.split(" ").filter((word) => /\.(ts|mjs)$/.test(word))) {
        const found = await Deno.stat(join(root, file)).then(() => true, () => false);
        if (!found) problems.push(`package.json: script "${name}" starts ${file}, which does not exist`);
      }
    }
    return problems;
  },
};

/** The scripts that a text tells its reader to run, with their lines from 1. */
export function npmScripts(text: string): { name: string; line: number }[] {
  return [...text.matchAll(/\bnpm (?:run (?:--silent )?([\w:-]+)|(start|test)\b)/g)].map((match) => ({
    name: match[1] ?? match[2]!,
    line: text.slice(0, match.index).split("\n").length,
  }));
}
