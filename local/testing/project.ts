import { join } from "node:path";

/** A project of nothing but the given files, in a folder with a space in its name. */
export async function makeProject(files: Record<string, string> = {}): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "muster project " });
  const all = {
    "supabase/config.toml": `project_id = "tiny"\n[api]\nschemas = ["public", "tiny"]\n`,
    "supabase/migrations/20260101000000_tiny.sql": "create schema tiny;\n",
    ...files,
  };
  await Deno.mkdir(join(path, "functions"));
  for (const [name, text] of Object.entries(all)) {
    await Deno.mkdir(join(path, name, ".."), { recursive: true });
    await Deno.writeTextFile(join(path, name), text);
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true });
    },
  };
}
