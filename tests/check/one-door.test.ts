import assert from "node:assert/strict";
import { throughOneDoor } from "./one-door.ts";
import { plantedTree } from "./planted-tree.ts";

const door = { module: "functions/a/key.ts", entry: "functions/a/index.ts", variables: ["KEY"] };
const reader = `export const readKey = () => Deno.env.get("KEY");\n`;

Deno.test("one-door lets the one function reach its key, and others name it in comments", async () => {
  await using tree = await plantedTree({
    "functions/a/key.ts": reader,
    "functions/a/vault.ts": `export { readKey } from "./key.ts";\n`,
    "functions/a/index.ts": `import "./vault.ts";\n`,
    "functions/b/index.ts": `// KEY is for a: get("KEY")\nexport const name = "KEY";\n`,
  });
  assert.deepEqual(await throughOneDoor(tree.root, [door]), []);
});

Deno.test("one-door finds another function that reaches the key by a detour, and one that reads it by itself", async () => {
  await using tree = await plantedTree({
    "functions/a/key.ts": reader,
    "functions/a/index.ts": `import "./key.ts";\n`,
    "functions/b/index.ts": `import "../../shared/detour.ts";\n`,
    "functions/c/index.ts": `const { env } = Deno;\nconsole.log(env.toObject()["KEY"]);\n`,
    "functions/d/index.ts": `export {};\n`,
    "shared/detour.ts": `import "./further.ts";\n`,
    "shared/further.ts": `export const load = () => import("../functions/a/key.ts");\n`,
  });
  assert.deepEqual(await throughOneDoor(tree.root, [door]), [
    "functions/b/index.ts reaches functions/a/key.ts, which is for functions/a/index.ts alone",
    "functions/c/index.ts reads KEY, which is for functions/a/key.ts alone",
  ]);
});

Deno.test("one-door says so when it guards nothing", async () => {
  await using tree = await plantedTree({
    "functions/a/index.ts": `export {};\n`,
    "functions/b/index.ts": `export {};\n`,
  });
  const missing = { ...door, entry: "functions/x/index.ts" };
  assert.deepEqual(await throughOneDoor(tree.root, [door, missing]), [
    "functions/a/index.ts does not reach functions/a/key.ts: the check guards nothing",
    "functions/x/index.ts is not there: the check guards nothing",
  ]);
});
