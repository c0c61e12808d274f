import assert from "node:assert/strict";
import { wrongFileNames } from "./file-names.ts";
import { generatedFiles, writeGeneratedFiles } from "./generated-files.ts";
import { migrationsLink } from "./migrations-link.ts";
import { plantedTree } from "./planted-tree.ts";

Deno.test("file names are kebab-case, and a migration has an instant of its own", () => {
  assert.deepEqual(
    wrongFileNames([
      "migrations/20260101000000_tenants.sql",
      "migrations/20260101000000_jobs.sql",
      "migrations/2_workers.sql",
      "shared/retry-delay.test.ts",
      "shared/retryDelay.ts",
      "tests/sql/complete_jobs.test.ts",
    ]),
    [
      "shared/retryDelay.ts: a TypeScript file is named in kebab-case",
      "migrations/2_workers.sql: a migration is named <yyyymmddhhmmss>_<what_it_is_about>.sql",
      "migrations/20260101000000_jobs.sql: another migration has the same instant",
    ],
  );
});

Deno.test("generated files are held against their generators, whatever the line ends", async () => {
  await using tree = await plantedTree({ "same.json": "{\r\n}\r\n", "old.json": "[]\n" });
  const generators = ["same.json", "old.json", "new.json"].map((file) => ({
    file,
    generate: () => Promise.resolve("{\n}\n"),
  }));
  const check = generatedFiles(generators);
  assert.deepEqual(await check.run(tree.root), [
    "old.json is out of date: npm run check -- --write",
    "new.json is missing: npm run check -- --write",
  ]);
  await writeGeneratedFiles(tree.root, generators);
  assert.deepEqual(await check.run(tree.root), []);
});

Deno.test("supabase/migrations must lead to the migrations", async () => {
  await using tree = await plantedTree({
    "migrations/20260101000000_a.sql": "",
    "supabase/migrations": "../migrations",
  });
  assert.equal((await migrationsLink.run(tree.root)).length, 1);
  await Deno.remove(`${tree.root}/supabase/migrations`);
  await Deno.symlink(`${tree.root}/migrations`, `${tree.root}/supabase/migrations`, { type: "junction" });
  assert.deepEqual(await migrationsLink.run(tree.root), []);
});
