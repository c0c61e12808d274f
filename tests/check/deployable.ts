import { join } from "node:path";
import { z } from "zod";
import type { Check } from "./check.ts";
import { importGraph } from "./import-graph.ts";
import { sourceFiles } from "./source-files.ts";

const DenoConfig = z.object({ imports: z.record(z.string(), z.string()), nodeModulesDir: z.unknown().optional() });

/**
 * What the platform needs to bundle a function: a section in config.toml, and no package but those deno.json names,
 * for it knows neither package.json nor node_modules.
 */
export const deployable: Check = {
  name: "functions can be deployed",
  run: async (root) => {
    const config = functionsInConfig(await Deno.readTextFile(join(root, "supabase/config.toml")));
    const files = await sourceFiles(root, ".ts");
    const { imports, nodeModulesDir } = DenoConfig.parse(JSON.parse(await Deno.readTextFile(join(root, "deno.json"))));
    const entries = files.filter((file) => /^functions\/[^/]+\/index\.ts$/.test(file));
    return [
      ...unevenFunctions(entries, config),
      ...await unknownPackages(root, entries, imports),
      // The platform's bundler reads the same file, and would then look for packages in a node_modules it has not.
      // Beside a package.json Deno uses node_modules without being told.
      ...(nodeModulesDir === undefined
        ? []
        : ['deno.json sets "nodeModulesDir", with which the platform finds no packages']),
    ];
  },
};

/** The functions that a config.toml declares, and the entrypoint of each, relative to the root. */
export function functionsInConfig(toml: string): Map<string, string | undefined> {
  const functions = new Map<string, string | undefined>();
  for (const section of toml.split(/^(?=\[)/m)) {
    const name = /^\[functions\.([\w-]+)\]/.exec(section)?.[1];
    if (name) functions.set(name, /^entrypoint\s*=\s*"\.\.\/([^"]+)"/m.exec(section)?.[1]);
  }
  return functions;
}

function unevenFunctions(entries: string[], config: Map<string, string | undefined>): string[] {
  const declared = new Set(config.values());
  return [
    ...entries.filter((file) => !declared.has(file)).map((file) => `${file} is not declared in supabase/config.toml`),
    ...[...config].filter(([, file]) => file === undefined || !entries.includes(file))
      .map(([name, file]) => `supabase/config.toml: function "${name}" has no file ${file ?? "named as entrypoint"}`),
  ];
}

async function unknownPackages(
  root: string,
  entries: string[],
  imports: Record<string, string>,
): Promise<string[]> {
  const known = (specifier: string): boolean =>
    Object.keys(imports).some((key) => key === specifier || (key.endsWith("/") && specifier.startsWith(key)));
  return (await importGraph(root, entries))
    .filter(({ specifier }) => !/^(\.{0,2}\/|node:|file:)/.test(specifier) && !known(specifier))
    .map(({ from, line, specifier }) =>
      `${from}:${line} imports "${specifier}", which deno.json does not name: the platform cannot find it`
    );
}
