import { cp } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { packagesOf } from "../bundle-size.ts";
import type { DeployedFunction } from "../management-api.ts";

const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
const ImportMap = z.object({ imports: z.record(z.string(), z.string()).default({}) });

export interface Unpacked extends AsyncDisposable {
  /** A folder of its own for each function, by slug, with nothing in it but what was uploaded and `node_modules`. */
  readonly folders: ReadonlyMap<string, string>;
  readonly packages: string;
  readonly root: string;
}

/**
 * Writes uploads where nothing of this tree is in reach. The packages that their import maps name are copied beside
 * them, in place of the platform's download.
 */
export async function unpack(uploads: Iterable<DeployedFunction>): Promise<Unpacked> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "muster-uploads-" }));
  const packages = join(root, "packages", "node_modules");
  const folders = new Map<string, string>();
  const wanted = new Set<string>();
  for (const { slug, files, metadata } of uploads) {
    const folder = join(root, slug);
    for (const [file, bytes] of files) {
      await Deno.mkdir(dirname(join(folder, file)), { recursive: true });
      await Deno.writeFile(join(folder, file), bytes);
    }
    const importMap = files.get(metadata.import_map_path ?? "");
    for (const specifier of Object.values(readImports(importMap))) {
      const name = /^npm:\/?((?:@[^/]+\/)?[^/@]+)/.exec(specifier)?.[1];
      if (name) wanted.add(name);
    }
    const base = join(folder, dirname(metadata.import_map_path ?? "deno.json"));
    await Deno.mkdir(base, { recursive: true });
    const type = Deno.build.os === "windows" ? "junction" : "dir";
    await Deno.symlink(packages, join(base, "node_modules"), { type });
    folders.set(slug, folder);
  }
  await Deno.mkdir(packages, { recursive: true });
  for (const name of await packagesOf(dirname(modules), [...wanted])) {
    await cp(join(modules, name), join(packages, name), { recursive: true });
  }
  return { folders, packages, root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

function readImports(importMap: Uint8Array | undefined): Record<string, string> {
  return importMap === undefined ? {} : ImportMap.parse(JSON.parse(new TextDecoder().decode(importMap))).imports;
}
