import { join, resolve } from "node:path";
import { startLocalStack } from "../../../local/stack.ts";
import { generatedTypes, typesFile } from "../generated-types.ts";
import { copyProject } from "../project-copy.ts";

const repository = resolve(import.meta.dirname!, "../../..");

/** Writes the checked-in types anew, from a database with the migrations of this tree. */
export async function writeTypes(): Promise<void> {
  await using project = await copyProject();
  await using stack = await startLocalStack({ ephemeral: true, log: () => {} });
  await Deno.writeTextFile(join(repository, typesFile), await generatedTypes(project, stack.dbUrl));
}
