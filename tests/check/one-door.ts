import { join } from "node:path";
import type { Check } from "./check.ts";
import { importGraph } from "./import-graph.ts";
import { sourceFiles } from "./source-files.ts";

/** A key that a single function may use. */
interface Door {
  /** The file that reads it from the environment, or uses it. */
  readonly module: string;
  /** The entry point of the one function that may reach that file. */
  readonly entry: string;
  /** The variables it may be in, which nothing else of what runs in a function names. */
  readonly variables: readonly string[];
}

const doors: readonly Door[] = [
  {
    module: "shared/auth/signing-key.ts",
    entry: "functions/enroll/index.ts",
    variables: ["MUSTER_JWT_SECRET", "MUSTER_JWT_JWK"],
  },
  { module: "shared/auth/access-token.ts", entry: "functions/enroll/index.ts", variables: [] },
  {
    module: "functions/secrets/master-keys.ts",
    entry: "functions/secrets/index.ts",
    variables: ["MUSTER_MASTER_KEYS"],
  },
];

/** A project's secrets are in the environment of every function: which of them reads one is a matter of the code alone. */
export const oneDoor: Check = {
  name: "each key is reached by one function only",
  run: (root) => throughOneDoor(root, doors),
};

/** What reaches a guarded file, or names its variable, and must not; and doors that lead nowhere. */
export async function throughOneDoor(root: string, doors: readonly Door[]): Promise<string[]> {
  const files = (await sourceFiles(root, ".ts", ".tsx")).filter((file) => !/\.test\.tsx?$/.test(file));
  const entries = files.filter((file) => /^functions\/[^/]+\/index\.ts$/.test(file));
  const imports = await importGraph(root, files);
  const problems: string[] = [];
  for (const { module, entry, variables } of doors) {
    for (const file of entries) {
      const reaches = reachedFrom(file, imports).has(module);
      if (reaches && file !== entry) problems.push(`${file} reaches ${module}, which is for ${entry} alone`);
      if (!reaches && file === entry) problems.push(`${entry} does not reach ${module}: the check guards nothing`);
    }
    if (!entries.includes(entry)) problems.push(`${entry} is not there: the check guards nothing`);
    for (const file of files.filter((file) => /^(functions|shared)\//.test(file) && file !== module)) {
      const text = code(await Deno.readTextFile(join(root, file)));
      for (const variable of variables) {
        if (text.includes(`["${variable}"]`) || text.includes(`.${variable}`) || text.includes(`get("${variable}")`)) {
          problems.push(`${file} reads ${variable}, which is for ${module} alone`);
        }
      }
    }
  }
  return problems;
}

function reachedFrom(
  entry: string,
  imports: readonly { readonly from: string; readonly to: string | undefined }[],
): ReadonlySet<string> {
  const reached = new Set([entry]);
  // A set that grows while it is walked is walked to its end.
  for (const file of reached) {
    for (const { from, to } of imports) if (from === file && to !== undefined) reached.add(to);
  }
  return reached;
}

function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
}
