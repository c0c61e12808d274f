import assert from "node:assert/strict";
import { importDirection } from "./import-direction.ts";
import { plantedTree } from "./planted-tree.ts";

const leaf = `export const value = 1;\n`;

Deno.test("import direction lets through what points one way", async () => {
  await using tree = await plantedTree({
    "shared/errors.ts": leaf,
    "shared/errors.test.ts": `import "../tests/support/world.ts";\nimport "./errors.ts";\n`,
    "functions/jobs/index.ts": `import "./app.ts";\n`,
    "functions/jobs/app.ts": `export { value } from "../../shared/errors.ts";\n`,
    "functions/openapi.ts": `import "./jobs/app.ts";\n`,
    "worker/worker.ts": `import { value } from "../shared/errors.ts";\nvoid value;\n`,
    "local/stack.ts": `import "../shared/errors.ts";\n`,
    "dashboard/src/services/jobs.ts": `export * from "../../../shared/errors.ts";\n`,
    "tests/support/world.ts": `import "../../local/stack.ts";\nimport "../../functions/jobs/app.ts";\n`,
    "demo/main.ts": `import "../local/stack.ts";\n`,
  });
  assert.deepEqual(await importDirection.run(tree.root), []);
});

Deno.test("import direction names every arrow that points back", async (test) => {
  const planted: Record<string, [file: string, text: string]> = {
    "shared may not import worker": ["shared/a.ts", `import "../worker/leaf.ts";`],
    "shared may not import functions": ["shared/a.ts", `export type { T } from "../functions/jobs/leaf.ts";`],
    "no function imports another": ["functions/enroll/a.ts", `import "../jobs/leaf.ts";`],
    "functions may not import local": ["functions/jobs/a.ts", `await import("../../local/leaf.ts");`],
    "worker may not import functions": ["worker/a.ts", `export * from "../functions/jobs/leaf.ts";`],
    "worker may not import local": ["worker/runtime/a.ts", `import "../../local/leaf.ts";`],
    "cli may not import local": ["cli/a.ts", `import "../local/leaf.ts";`],
    "nothing imports tests": ["local/a.ts", `import "../tests/leaf.ts";`],
    "nothing imports bench": ["worker/a.ts", `import "../bench/leaf.ts";`],
    "the dashboard imports shared only in src/services": [
      "dashboard/src/components/a.ts",
      `import "../../../shared/leaf.ts";`,
    ],
    "packages are imported by their names in deno.json": ["worker/a.ts", `import "https://example.invalid/leaf.ts";`],
  };
  for (const [rule, [file, text]] of Object.entries(planted)) {
    await test.step(rule, async () => {
      await using tree = await plantedTree({
        "shared/leaf.ts": leaf,
        "functions/jobs/leaf.ts": `${leaf}export type T = 1;\n`,
        "worker/leaf.ts": leaf,
        "local/leaf.ts": leaf,
        "tests/leaf.ts": leaf,
        "bench/leaf.ts": leaf,
        [file]: `// import "./nothing.ts"\n${text}\n`,
      });
      const problems = await importDirection.run(tree.root);
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0]!, new RegExp(`^${file}:2 imports ".*": ${rule}$`));
    });
  }
});
