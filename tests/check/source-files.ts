import { join } from "node:path";

const skippedFolders = new Set(["node_modules", ".git", ".muster", ".temp", ".branches", "dist", ".venv"]);

/** The files of ours below `root` whose names end in one of `endings`, relative to it, with `/`, in order. */
export function sourceFiles(root: string, ...endings: string[]): Promise<string[]> {
  return allFiles(root, endings, skippedFolders);
}

/** The same without regard to whose files they are; folders named in `skipped` are left out. */
export async function allFiles(
  root: string,
  endings: readonly string[],
  skipped: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for await (const entry of Deno.readDir(join(root, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory && !skipped.has(entry.name)) await walk(path);
      else if (entry.isFile && endings.some((ending) => entry.name.endsWith(ending))) found.push(path);
    }
  };
  await walk("");
  return found.sort();
}
