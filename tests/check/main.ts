/**
 * `npm run check`: format, lint, types, the direction of imports, documents, generated files.
 *
 *   npm run check                 everything; exit code 1 if anything is wrong
 *   npm run check -- links types  only the checks whose names contain one of these words
 *   npm run check -- --write      writes the generated files and formats, then checks
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Check } from "./check.ts";
import { format, lint, types } from "./deno-tools.ts";
import { deployable } from "./deployable.ts";
import { docsLinks } from "./docs-links.ts";
import { documentedScripts } from "./documented-scripts.ts";
import { fileNames } from "./file-names.ts";
import { generatedFiles, writeGeneratedFiles } from "./generated-files.ts";
import { importDirection } from "./import-direction.ts";
import { migrationsLink } from "./migrations-link.ts";
import { oneDoor } from "./one-door.ts";
import { runDeno } from "./run-deno.ts";
import { webOnly } from "./web-only.ts";

const checks: readonly Check[] = [
  format,
  lint,
  types,
  importDirection,
  webOnly,
  oneDoor,
  deployable,
  migrationsLink,
  fileNames,
  generatedFiles(),
  docsLinks,
  documentedScripts,
];

const root = fileURLToPath(new URL("../../", import.meta.url));
const { values, positionals } = parseArgs({
  args: Deno.args,
  options: { write: { type: "boolean", default: false } },
  allowPositionals: true,
});

if (values.write) {
  await writeGeneratedFiles(root);
  await runDeno(["fmt", "--quiet", "."], root);
}

const chosen = checks.filter(({ name }) => positionals.length === 0 || positionals.some((word) => name.includes(word)));
if (chosen.length === 0) {
  console.error(`Cannot check "${positionals.join(" ")}": there are ${checks.map(({ name }) => name).join(", ")}`);
  Deno.exit(2);
}

let failed = 0;
// All start at once and are told in order, so the output of two runs can be compared.
for (const outcome of chosen.map(carryOut)) {
  const { name, problems, seconds } = await outcome;
  console.log(`${problems.length === 0 ? "ok  " : "FAIL"}  ${name}  (${seconds.toFixed(1)} s)`);
  for (const problem of problems) console.log(problem.replace(/^/gm, "      "));
  if (problems.length > 0) failed++;
}
if (failed > 0) {
  console.error(`\n${failed} of ${chosen.length} checks failed`);
  Deno.exit(1);
}

async function carryOut(check: Check): Promise<{ name: string; problems: string[]; seconds: number }> {
  const start = performance.now();
  // A check that cannot run has not passed, and must not keep the others from telling what they found.
  const problems = await check.run(root).catch((error: unknown) => [String(error)]);
  return { name: check.name, problems, seconds: (performance.now() - start) / 1000 };
}
