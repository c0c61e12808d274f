import type { Check } from "./check.ts";
import { type Import, importGraph } from "./import-graph.ts";
import { sourceFiles } from "./source-files.ts";

/** What each part of the tree may import besides itself. A part that is not named here may import nothing of ours. */
const allowed: Record<string, readonly string[]> = {
  shared: [],
  functions: ["shared"],
  worker: ["shared"],
  cli: ["shared"],
  install: ["shared"],
  dashboard: ["shared"],
  local: ["shared", "functions"],
};

/** These show, try or measure the others, so they may import anything, and nothing imports them. */
const observers = new Set(["tests", "bench", "demo"]);

export const importDirection: Check = {
  name: "imports point one way",
  run: async (root) => wrongImports(await importGraph(root, await sourceFiles(root, ".ts", ".tsx"))),
};

/** The imports among `imports` that point back, each with the rule it breaks. */
export function wrongImports(imports: readonly Import[]): string[] {
  return imports.flatMap((found) => {
    const rule = brokenRule(found);
    return rule === undefined ? [] : [`${found.from}:${found.line} imports "${found.specifier}": ${rule}`];
  });
}

function brokenRule({ from, to, specifier }: Import): string | undefined {
  const source = partOf(from);
  if (to === undefined) {
    return /^(https?|jsr|npm):/.test(specifier) ? "packages are imported by their names in deno.json" : undefined;
  }
  const target = partOf(to);
  if (observers.has(source)) return undefined;
  if (observers.has(target)) return `nothing imports ${target}`;
  if (source === target) return crossesFunctions(from, to) ? "no function imports another" : undefined;
  if (!(allowed[source] ?? []).includes(target)) return `${source} may not import ${target}`;
  if (source === "dashboard" && !from.startsWith("dashboard/src/services/")) {
    return "the dashboard imports shared only in src/services";
  }
  return undefined;
}

/** The part of the tree that a file belongs to. A test beside its file is a test, wherever it lies. */
function partOf(file: string): string {
  if (/\.test\.tsx?$/.test(file)) return "tests";
  return file.includes("/") ? file.slice(0, file.indexOf("/")) : "the root";
}

/** A file that lies in `functions/` itself is no function, and may look at all of them, as the OpenAPI document does. */
function crossesFunctions(from: string, to: string): boolean {
  const source = functionOf(from);
  return source !== undefined && source !== functionOf(to);
}

function functionOf(file: string): string | undefined {
  return /^functions\/([^/]+)\//.exec(file)?.[1];
}
