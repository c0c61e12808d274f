import { join } from "node:path";
import type { Check } from "./check.ts";
import { importGraph } from "./import-graph.ts";
import { sourceFiles } from "./source-files.ts";

/** Whether a file has to run in every runtime, browsers included. Command lines and tests run under Deno alone. */
export function runsEverywhere(file: string): boolean {
  if (/\.test\.tsx?$/.test(file)) return false;
  if (file.startsWith("shared/")) return true;
  return file.startsWith("worker/") && !file.startsWith("worker/runtime/") && file !== "worker/cli.ts";
}

export const webOnly: Check = {
  name: "shared and worker use Web APIs only",
  run: async (root) => {
    const files = (await sourceFiles(root, ".ts", ".tsx")).filter(runsEverywhere);
    const imports = (await importGraph(root, files))
      .filter(({ from, specifier }) => runsEverywhere(from) && specifier.startsWith("node:"))
      .map(({ from, line, specifier }) => `${from}:${line} imports "${specifier}", which browsers do not have`);
    const uses = await Promise.all(files.map(async (file) => {
      const found = runtimeGlobals(await Deno.readTextFile(join(root, file)));
      return found.map(({ line, name }) => `${file}:${line} uses ${name}, which browsers do not have`);
    }));
    return [...imports, ...uses.flat()];
  },
};

const commentOrString = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g;
const runtimeGlobal = /(?<![\w$]|(?<!globalThis)\.)(Deno|Bun|process|Buffer|__dirname|__filename)(?=\s*(?:\?\.|[.[]))/g;

/** The globals of one runtime that `text` reaches into, outside of comments and strings, with their lines from 1. */
export function runtimeGlobals(text: string): { line: number; name: string }[] {
  const code = text.replace(commentOrString, (skipped) => skipped.replace(/[^\n]/g, " "));
  return [...code.matchAll(runtimeGlobal)].map((match) => ({
    line: code.slice(0, match.index).split("\n").length,
    name: match[1]!,
  }));
}
