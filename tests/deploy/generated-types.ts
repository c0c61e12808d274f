import { join } from "node:path";
import { runDeno } from "../check/run-deno.ts";
import { remoteFlag } from "./database.ts";
import { supabaseOk } from "./supabase-cli.ts";

/** Where the types of schema muster are checked in, for apps that read its tables with supabase-js. */
export const typesFile = "docs/database.types.ts";

/** What `supabase gen types` says of a database, formatted as this tree is. */
export async function generatedTypes(project: { readonly root: string }, dbUrl: string): Promise<string> {
  const { stdout } = await supabaseOk(project.root, ["gen", "types", "--schema", "muster", remoteFlag(dbUrl)]);
  const file = join(project.root, "database.types.ts");
  await Deno.writeTextFile(file, stdout);
  const { ok, stderr } = await runDeno(["fmt", "--quiet", file], project.root);
  if (!ok) throw new Error(`Cannot format the types: ${stderr}`);
  return await Deno.readTextFile(file);
}
