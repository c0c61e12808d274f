import { join } from "node:path";
import { promisify } from "node:util";
import { gzip as gzipCallback } from "node:zlib";
import { z } from "zod";
import { importGraph } from "../check/import-graph.ts";
import { allFiles } from "../check/source-files.ts";

const gzip = promisify(gzipCallback);
const PackageJson = z.object({ dependencies: z.record(z.string(), z.string()).optional() });
const packedEndings = [".js", ".mjs", ".cjs", ".json", ".wasm", ".d.ts", ".d.mts", ".d.cts"];
const measured = new Map<string, Promise<number>>();

/**
 * The most bytes that the function with this entrypoint can have as a bundle. The platform packs the files of the tree
 * and whole packages, compressed; gzip, used here, packs less tightly than what it uses.
 */
export async function bundleSize(root: string, entrypoint: string): Promise<number> {
  const imports = await importGraph(root, [entrypoint]);
  const packages = await packagesOf(root, imports.map(({ specifier }) => packageOf(specifier)));
  const own = [entrypoint, ...imports.map(({ to }) => to)].filter((file) => file !== undefined);
  const sizes = await Promise.all([
    compressedSize(root, [...new Set(own)]),
    ...packages.map((name) => packageSize(root, name)),
  ]);
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** "@hono/zod-openapi" of "@hono/zod-openapi/x"; undefined for files and built-in modules. */
function packageOf(specifier: string): string | undefined {
  return /^(?!\.|node:|file:)(@[^/]+\/[^/]+|[^/]+)/.exec(specifier)?.[1];
}

/** The packages with these names that `root` has in its node_modules, and what they depend on. */
export async function packagesOf(root: string, names: readonly (string | undefined)[]): Promise<string[]> {
  const found = new Set<string>();
  const add = async (name: string | undefined): Promise<void> => {
    if (name === undefined || found.has(name)) return;
    const text = await Deno.readTextFile(join(root, "node_modules", name, "package.json")).catch(() => undefined);
    if (text === undefined) return;
    found.add(name);
    for (const next of Object.keys(PackageJson.parse(JSON.parse(text)).dependencies ?? {})) await add(next);
  };
  for (const name of names) await add(name);
  return [...found];
}

function packageSize(root: string, name: string): Promise<number> {
  const folder = join(root, "node_modules", name);
  const known = measured.get(name);
  if (known !== undefined) return known;
  const size = allFiles(folder, packedEndings).then((files) => compressedSize(folder, files));
  measured.set(name, size);
  return size;
}

async function compressedSize(folder: string, files: string[]): Promise<number> {
  const contents = await Promise.all(files.map((file) => Deno.readFile(join(folder, file))));
  return (await gzip(new Uint8Array(await new Blob(contents).arrayBuffer()))).byteLength;
}
