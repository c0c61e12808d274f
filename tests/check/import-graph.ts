import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { z } from "zod";
import { runDeno } from "./run-deno.ts";

/** One import: which file writes it, what it writes there, and, if that is a file of the tree, which one. */
export interface Import {
  readonly from: string;
  readonly specifier: string;
  /** Relative to the root, with `/`; undefined for packages and built-in modules. */
  readonly to: string | undefined;
  /** Counted from 1. */
  readonly line: number;
}

const Resolved = z.object({
  specifier: z.string().optional(),
  span: z.object({ start: z.object({ line: z.number() }) }).optional(),
});

const ModuleInfo = z.object({
  modules: z.array(z.object({
    specifier: z.string(),
    error: z.string().optional(),
    dependencies: z.array(z.object({
      specifier: z.string(),
      code: Resolved.optional(),
      type: Resolved.optional(),
    })).default([]),
  })),
});

/** Every import in `files` and what they reach, as Deno itself resolves them: comments and strings are not imports. */
export async function importGraph(root: string, files: readonly string[]): Promise<Import[]> {
  if (files.length === 0) return [];
  const folder = await Deno.makeTempDir({ prefix: "muster-imports-" });
  try {
    // One entry that imports all of them costs one start of Deno instead of one per file.
    const entry = join(folder, "all.ts");
    const lines = files.map((file) => `import ${JSON.stringify(pathToFileURL(join(root, file)).href)};\n`);
    await Deno.writeTextFile(entry, lines.join(""));
    const { ok, stdout, stderr } = await runDeno(
      ["info", "--json", "--node-modules-dir=manual", "--config", join(root, "deno.json"), entry],
      root,
    );
    if (!ok) throw new Error(`Cannot read the imports of ${root}: ${stderr.trim()}`);
    return importsOf(ModuleInfo.parse(JSON.parse(stdout)), await Deno.realPath(root));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function importsOf({ modules }: z.infer<typeof ModuleInfo>, root: string): Import[] {
  return modules.flatMap((module) => {
    const from = inTree(root, module.specifier);
    if (from === undefined) return [];
    return module.dependencies.map(({ specifier, code, type }) => ({
      from,
      specifier,
      to: inTree(root, (code ?? type)?.specifier),
      line: ((code ?? type)?.span?.start.line ?? 0) + 1,
    }));
  });
}

function inTree(root: string, specifier: string | undefined): string | undefined {
  if (!specifier?.startsWith("file:")) return undefined;
  const path = relative(root, fileURLToPath(specifier)).replaceAll("\\", "/");
  return path.startsWith("../") || path.includes("node_modules/") ? undefined : path;
}
