import type { Check } from "./check.ts";
import { runDeno } from "./run-deno.ts";
import { sourceFiles } from "./source-files.ts";

/** `deno fmt --check`, over every kind of file that it knows. */
export const format: Check = {
  name: "format (deno fmt)",
  run: (root) => tool(["fmt", "--check", "."], root),
};

/** `deno lint` with the rules of deno.json. */
export const lint: Check = {
  name: "lint (deno lint)",
  run: (root) => tool(["lint", "."], root),
};

/** `deno check` of every TypeScript file, imported or not. */
export const types: Check = {
  name: "types (deno check)",
  run: async (root) => {
    const files = await sourceFiles(root, ".ts", ".tsx");
    return files.length === 0 ? [] : await tool(["check", "--quiet", ...files], root);
  },
};

async function tool(args: string[], root: string): Promise<string[]> {
  const { ok, stdout, stderr } = await runDeno(args, root);
  if (ok) return [];
  const text = `${stdout}\n${stderr}`.trim();
  // A tree that has nothing for a tool yet is in order; the tools themselves call it an error.
  if (text.includes("No target files found")) return [];
  return [text];
}
