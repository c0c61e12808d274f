import assert from "node:assert/strict";
import { anchors, docsLinks, relativeLinks } from "./docs-links.ts";
import { documentedScripts, npmScripts } from "./documented-scripts.ts";
import { plantedTree } from "./planted-tree.ts";

Deno.test("document links are found outside of code, and the web is left alone", () => {
  const text = "[a](a.md) `[b](b.md)`\n```\n[c](c.md)\n```\n[d](https://example.org) ![e](<e.png>)\n\n[f]: ../f.md\n";
  assert.deepEqual(relativeLinks(text), [
    { target: "a.md", line: 1 },
    { target: "e.png", line: 5 },
    { target: "../f.md", line: 7 },
  ]);
});

Deno.test("document anchors follow the headings", () => {
  const text = "# The way, a job travels\n## `tick()` & co\n## Same\n## Same\n```\n# not a heading\n```\n";
  assert.deepEqual([...anchors(text)], ["the-way-a-job-travels", "tick--co", "same", "same-1"]);
});

Deno.test("document links that lead nowhere are named", async () => {
  await using tree = await plantedTree({
    "README.md": "[ok](docs/a.md#first) [gone](docs/b.md)\n[no heading](docs/a.md#second)\n",
    "docs/a.md": "# First\n\n[up](../README.md)\n",
  });
  assert.deepEqual(await docsLinks.run(tree.root), [
    "README.md:1 links to docs/b.md: there is no such file",
    "README.md:2 links to docs/a.md#second: there is no such heading",
  ]);
});

Deno.test("npm scripts that documents name must exist, and so must the files that scripts start", async () => {
  await using tree = await plantedTree({
    "package.json": JSON.stringify({ scripts: { start: "node start.mjs", test: "node gone.ts" } }),
    "start.mjs": "",
    "README.md": "`npm start`, `npm test`\n\n`npm run worker`\n",
  });
  assert.deepEqual(await documentedScripts.run(tree.root), [
    `README.md:3 names "npm run worker": package.json has no such script`,
    `package.json: script "test" starts gone.ts, which does not exist`,
  ]);
  assert.deepEqual(npmScripts("npm ci, then npm run demo -- --fast"), [{ name: "demo", line: 1 }]);
});
