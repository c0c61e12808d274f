import assert from "node:assert/strict";
import { deployable } from "./deployable.ts";
import { plantedTree } from "./planted-tree.ts";

const config = (name: string) =>
  `[functions.${name}]\nverify_jwt = false\nentrypoint = "../functions/${name}/index.ts"\nimport_map = "../deno.json"\n`;

Deno.test("deployable names functions that only the tree or only the configuration has", async () => {
  await using tree = await plantedTree({
    "supabase/config.toml": config("jobs") + config("gone"),
    "functions/jobs/index.ts": "export {};\n",
    "functions/new/index.ts": "export {};\n",
  });
  assert.deepEqual(await deployable.run(tree.root), [
    "functions/new/index.ts is not declared in supabase/config.toml",
    `supabase/config.toml: function "gone" has no file functions/gone/index.ts`,
  ]);
});

Deno.test("deployable names a package that the platform could not find", async () => {
  await using tree = await plantedTree({
    "deno.json": `{ "imports": { "hono": "npm:hono@4", "hono/": "npm:/hono@4/" } }`,
    "supabase/config.toml": config("jobs"),
    "functions/jobs/index.ts": `import "hono";\nimport "hono/cors";\nimport "../../shared/db.ts";\n`,
    "package.json": "{}",
    "node_modules/hono/package.json":
      `{ "name": "hono", "version": "4.0.0", "exports": { ".": "./a.js", "./cors": "./a.js" } }`,
    "node_modules/hono/a.js": "",
    "shared/db.ts": `import "node:path";\nimport "postgres";\n`,
  });
  assert.deepEqual(await deployable.run(tree.root), [
    `shared/db.ts:2 imports "postgres", which deno.json does not name: the platform cannot find it`,
  ]);
});

Deno.test("deployable refuses a setting that would send the platform to node_modules", async () => {
  await using tree = await plantedTree({
    "deno.json": `{ "nodeModulesDir": "manual", "imports": {} }`,
    "supabase/config.toml": config("jobs"),
    "functions/jobs/index.ts": "export {};\n",
  });
  assert.deepEqual(await deployable.run(tree.root), [
    'deno.json sets "nodeModulesDir", with which the platform finds no packages',
  ]);
});
