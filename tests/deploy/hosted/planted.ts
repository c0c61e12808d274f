import assert from "node:assert/strict";
import { importGraph } from "../../check/import-graph.ts";

/** Modules of Node that the hosted runtime has not, and that no permission of Deno refuses. */
const missingModules = ["node:cluster", "node:vm", "node:worker_threads"];

/** What the planted function must be allowed; all else that it tries must be refused. */
const allowed = ["write to /tmp", "read its environment"];

/** Throws unless the planted function was refused everything that the hosted runtime refuses, and nothing else. */
export function expectedOfPlanted(outcomes: Record<string, string>): void {
  const done = Object.entries(outcomes).filter(([, outcome]) => outcome === "done").map(([name]) => name);
  assert.deepEqual(done.sort(), [...allowed].sort(), JSON.stringify(outcomes, null, 2));
  const refused = Object.values(outcomes).filter((outcome) => outcome !== "done");
  assert.ok(refused.length > 0, "The planted function tried nothing that is forbidden");
  // Something else that went wrong would say nothing about the permissions.
  assert.deepEqual(refused.filter((outcome) => !/^NotCapable: Requires|not available in the hosted/.test(outcome)), []);
}

/** The modules that the files of an upload import, although the hosted runtime has them not. */
export async function missingImports(folder: string, entrypoint: string): Promise<string[]> {
  return (await importGraph(folder, [entrypoint]))
    .filter(({ specifier }) => missingModules.includes(specifier.replace(/^(?!node:)/, "node:")))
    .map(({ from, line, specifier }) => `${from}:${line} imports "${specifier}", which the hosted runtime has not`);
}
