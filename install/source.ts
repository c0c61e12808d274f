import { join } from "node:path";
import { z } from "zod";
import type { Functions } from "./config-edit.ts";

/** What Muster puts into a project, by paths relative to its folder `supabase`. */
export interface Source {
  readonly version: string;
  readonly files: ReadonlyMap<string, string>;
  readonly functions: Functions;
}

/** Everything of ours but migrations lies in one folder. */
export const folder = "muster";
export const manifestFile = `${folder}/manifest.json`;

const DenoConfig = z.object({ imports: z.record(z.string(), z.string()) });
const PackageJson = z.object({ version: z.string() });

/** Reads what a project needs from the tree of Muster at `root`: its migrations, functions, and what these share. */
export async function readSource(root: string): Promise<Source> {
  const files = new Map<string, string>();
  const slugs = await functionSlugs(root);
  for (const part of ["functions", "shared"]) {
    for (const file of await codeFiles(join(root, part))) {
      files.set(`${folder}/${part}/${file}`, await readText(join(root, part, file)));
    }
  }
  const { imports } = DenoConfig.parse(JSON.parse(await readText(join(root, "deno.json"))));
  files.set(`${folder}/deno.json`, `${JSON.stringify({ imports }, null, 2)}\n`);
  files.set(`${folder}/README.md`, readme);
  files.set(`${folder}/remove.sql`, await removalSql(root));
  for (const name of await migrationNames(root)) {
    const [, version, subject] = /^(\d+)_(.*)$/.exec(name)!;
    files.set(`migrations/${version}_muster_${subject}`, await readText(join(root, "migrations", name)));
  }
  return {
    version: PackageJson.parse(JSON.parse(await readText(join(root, "package.json")))).version,
    files,
    functions: {
      slugs,
      entrypoint: (slug) => `./${folder}/functions/${slug}/index.ts`,
      importMap: `./${folder}/deno.json`,
    },
  };
}

/** The script that takes Muster out of a database that has the migrations of the tree at `root`. */
export async function removalSql(root: string): Promise<string> {
  const versions = (await migrationNames(root)).map((name) => name.split("_")[0]);
  return (await readText(join(root, "install/remove.sql"))).replace("/* versions */", versions.join(","));
}

async function functionSlugs(root: string): Promise<string[]> {
  const slugs: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(root, "functions"))) {
    const index = join(root, "functions", name, "index.ts");
    if (isDirectory && await Deno.stat(index).then(() => true, () => false)) slugs.push(name);
  }
  return slugs.sort();
}

async function migrationNames(root: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(join(root, "migrations"))) if (/^\d+_.*\.sql$/.test(name)) names.push(name);
  return names.sort();
}

/** The files of a folder that run, without tests, relative to it. */
async function codeFiles(root: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(root, below))) {
    const path = below === "" ? name : `${below}/${name}`;
    if (isDirectory) found.push(...await codeFiles(root, path));
    else if (/\.(ts|json)$/.test(name) && !/\.test\.ts$/.test(name)) found.push(path);
  }
  return found.sort();
}

/** The same text whatever line ends git wrote it with. */
async function readText(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).replaceAll("\r\n", "\n");
}

const readme = `# Muster

A control plane for work on machines you own. \`npm run install:project\` of the Muster repository wrote this folder, the
files \`../migrations/*_muster_*.sql\`, and in \`../config.toml\` the marked section and the schema \`muster\` in \`[api]\`. The
same command updates and removes all of it; \`manifest.json\` says what was written, so that nothing of yours is touched.

Deploy as you deploy your own: \`supabase db push --include-all\` and \`supabase functions deploy\`. \`remove.sql\` takes Muster
out of a database again.
`;
