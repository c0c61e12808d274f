import { dirname, join } from "node:path";

/** A small tree with the given files, in a folder of its own that goes away with the handle. */
export async function plantedTree(files: Record<string, string>): Promise<AsyncDisposable & { root: string }> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "muster planted " }));
  for (const [file, text] of Object.entries({ "deno.json": `{ "imports": {} }`, ...files })) {
    await Deno.mkdir(dirname(join(root, file)), { recursive: true });
    await Deno.writeTextFile(join(root, file), text);
  }
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}
