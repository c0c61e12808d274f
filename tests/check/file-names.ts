import type { Check } from "./check.ts";
import { sourceFiles } from "./source-files.ts";

const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*\.tsx?$/;
const migration = /^migrations\/\d{14}_[a-z0-9_]+\.sql$/;

/** TypeScript is named in kebab-case; a migration as the CLI wants it, each with an instant of its own. */
export const fileNames: Check = {
  name: "file names",
  run: async (root) => wrongFileNames(await sourceFiles(root, ".ts", ".tsx", ".sql")),
};

export function wrongFileNames(files: readonly string[]): string[] {
  const migrations = files.filter((file) => file.startsWith("migrations/") && file.endsWith(".sql"));
  const instants = migrations.map((file) => /\/(\d+)_/.exec(file)?.[1]);
  return [
    ...files.filter((file) => /\.tsx?$/.test(file) && !kebabCase.test(file.slice(file.lastIndexOf("/") + 1)))
      // A test of a SQL function carries the function's name.
      .filter((file) => !file.startsWith("tests/sql/"))
      .map((file) => `${file}: a TypeScript file is named in kebab-case`),
    ...migrations.filter((file) => !migration.test(file))
      .map((file) => `${file}: a migration is named <yyyymmddhhmmss>_<what_it_is_about>.sql`),
    ...migrations.filter((_, index) => instants.indexOf(instants[index]) !== index)
      .map((file) => `${file}: another migration has the same instant`),
  ];
}
