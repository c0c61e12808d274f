import { join } from "node:path";
import type { Check } from "./check.ts";
import { type Import, importGraph } from "./import-graph.ts";
import { sourceFiles } from "./source-files.ts";

/** What signs, and what reads the key. */
const signers: readonly string[] = ["shared/auth/access-token.ts", "shared/auth/signing-key.ts"];

/** The function that signs. */
const signingFunction = "functions/enroll/";

/** Code that a function could load. Whoever only starts or tries functions may name the variables. */
const deployed = /^(functions|shared)\//;

export const signingKey: Check = {
  name: "one function reaches the signing key",
  run: async (root) => {
    const files = (await sourceFiles(root, ".ts", ".tsx")).filter(isDeployed);
    const imports = await importGraph(root, files);
    const texts = await Promise.all(
      files.map(async (file) => ({ file, text: await Deno.readTextFile(join(root, file)) })),
    );
    return [...reachingFunctions(imports), ...texts.flatMap(namings)];
  },
};

/** Functions other than the one that signs whose imports lead to a signer, each with the way there. */
function reachingFunctions(imports: readonly Import[]): string[] {
  const byFile = Map.groupBy(imports, ({ from }) => from);
  const starts = [...byFile.keys()].filter((file) =>
    /^functions\/[^/]+\//.test(file) && !file.startsWith(signingFunction)
  );
  return starts.filter(isDeployed).flatMap((start) => {
    const way = wayToSigner(byFile, start, new Set());
    return way === undefined ? [] : [`${way.join(" -> ")}: only ${signingFunction} may reach the signing key`];
  });
}

function wayToSigner(
  byFile: ReadonlyMap<string, readonly Import[]>,
  file: string,
  seen: Set<string>,
): string[] | undefined {
  if (signers.includes(file)) return [file];
  if (seen.has(file)) return undefined;
  seen.add(file);
  for (const { to } of byFile.get(file) ?? []) {
    const rest = to === undefined ? undefined : wayToSigner(byFile, to, seen);
    if (rest !== undefined) return [file, ...rest];
  }
  return undefined;
}

/** Places that name the variables which hold the key, besides the file that reads them. */
function namings({ file, text }: { file: string; text: string }): string[] {
  if (signers.includes(file)) return [];
  return text.split("\n").flatMap((line, index) =>
    (/MUSTER_JWT_(?:SECRET|JWK)/.exec(line) ?? []).map((name) =>
      `${file}:${index + 1} names ${name}: ${signers[1]} reads it`
    )
  );
}

function isDeployed(file: string): boolean {
  return deployed.test(file) && !/\.test\.tsx?$/.test(file);
}
