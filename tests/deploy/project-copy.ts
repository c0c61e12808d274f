import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sourceFiles } from "../check/source-files.ts";

const tree = fileURLToPath(new URL("../../", import.meta.url));

export interface ProjectCopy extends AsyncDisposable {
  readonly root: string;
}

/**
 * Copies what is deployed into a folder of its own, because the CLI writes beside config.toml. The folder's name has a
 * space in it, as a user's may. The packages are not copied: the platform does not have them either.
 */
export async function copyProject(source: string = tree): Promise<ProjectCopy> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "muster project " }));
  const parts = ["supabase/config.toml", "functions/", "shared/", "migrations/", "deno.json", "package.json"];
  for (const file of await sourceFiles(source, "")) {
    if (!parts.some((part) => file === part || (part.endsWith("/") && file.startsWith(part)))) continue;
    await Deno.mkdir(dirname(join(root, file)), { recursive: true });
    await Deno.copyFile(join(source, file), join(root, file));
  }
  await Deno.mkdir(join(root, "migrations"), { recursive: true });
  await Deno.mkdir(join(root, "supabase"), { recursive: true });
  if (Deno.build.os === "windows") {
    await Deno.symlink(join(root, "migrations"), join(root, "supabase/migrations"), { type: "junction" });
  } else {
    await Deno.symlink(await Deno.readLink(join(source, "supabase/migrations")), join(root, "supabase/migrations"));
  }
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}
