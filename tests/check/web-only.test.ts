import assert from "node:assert/strict";
import { plantedTree } from "./planted-tree.ts";
import { runtimeGlobals, webOnly } from "./web-only.ts";

Deno.test("web-only finds built-in modules and globals of one runtime", async () => {
  await using tree = await plantedTree({
    "shared/clean.ts": `export const id = () => crypto.randomUUID();\n`,
    "shared/imports.ts": `import { join } from "node:path";\nexport { join };\n`,
    "shared/imports.test.ts": `import "node:assert/strict";\nDeno.test("x", () => {});\n`,
    "worker/uses.ts": `// Deno.env is fine here\nexport const home = () => Deno.env.get("HOME");\n`,
    "worker/cli.ts": `console.log(Deno.args);\n`,
    "worker/runtime/deno.ts": `import "node:fs";\nexport const args = Deno.args;\n`,
    "functions/jobs/index.ts": `Deno.serve(() => new Response());\n`,
  });
  assert.deepEqual(await webOnly.run(tree.root), [
    `shared/imports.ts:1 imports "node:path", which browsers do not have`,
    `worker/uses.ts:2 uses Deno, which browsers do not have`,
  ]);
});

Deno.test("web-only tells a global from a word, a string and a property", () => {
  assert.deepEqual(runtimeGlobals(`const a = "Deno.env"; /* process.env */ job.process.start(); Denote.x;`), []);
  assert.deepEqual(runtimeGlobals(`a();\nglobalThis.Deno?.env;\nif (process.env.X) Buffer.from("x");`), [
    { line: 2, name: "Deno" },
    { line: 3, name: "process" },
    { line: 3, name: "Buffer" },
  ]);
});
