import { dirname, join } from "node:path";
import { UsageError } from "../shared/usage-error.ts";
import { readManifest } from "./manifest.ts";
import type { Plan, ProjectState } from "./plan.ts";
import { folder, manifestFile, type Source } from "./source.ts";

/** Finds the folder `supabase` of the project at `dir`. */
export async function supabaseFolder(dir: string, ownRoot: string): Promise<string> {
  const supabase = join(dir, "supabase");
  if (await isThere(join(supabase, "config.toml"))) {
    if (await Deno.realPath(dir) === await Deno.realPath(ownRoot)) {
      throw new UsageError("Cannot install Muster into itself: name the folder of your own project");
    }
    return supabase;
  }
  for (const name of ["config.json", "config.jsonc"]) {
    if (!await isThere(join(supabase, name))) continue;
    throw new UsageError(`Cannot change ${join(supabase, name)}: only a project with a config.toml can be changed`);
  }
  throw new UsageError(`Cannot find ${join(supabase, "config.toml")}: run \`npx supabase init\` in the project first`);
}

export async function readState(supabase: string, source: Source): Promise<ProjectState> {
  const manifestText = await textOf(join(supabase, manifestFile));
  const manifest = manifestText === undefined ? undefined : readManifest(manifestText);
  const files = new Map<string, string>();
  for (const path of new Set([...source.files.keys(), ...Object.keys(manifest?.files ?? {})])) {
    const text = await textOf(join(supabase, path));
    if (text !== undefined) files.set(path, text);
  }
  return {
    manifest,
    config: await Deno.readTextFile(join(supabase, "config.toml")),
    files,
    migrations: await namesIn(join(supabase, "migrations")),
    functionFolders: await namesIn(join(supabase, "functions")),
  };
}

/**
 * Carries a plan out. What says what is ours is written before config.toml is, and removed last: broken off, the same
 * command finishes what it began.
 */
export async function carryOut(plan: Plan, supabase: string): Promise<void> {
  for (const [path, text] of plan.write) {
    await Deno.mkdir(dirname(join(supabase, path)), { recursive: true });
    await writeWhole(join(supabase, path), text);
  }
  const manifest = join(supabase, manifestFile);
  if (plan.manifest) await writeWhole(manifest, `${JSON.stringify(plan.manifest, null, 2)}\n`);
  if (plan.config !== undefined) await writeWhole(join(supabase, "config.toml"), plan.config);
  for (const path of plan.remove) await Deno.remove(join(supabase, path));
  if (!plan.manifest) await Deno.remove(manifest);
  await removeEmpty(join(supabase, folder));
  if (!plan.manifest) await removeIfEmpty(join(supabase, "migrations"));
}

/** Moved into place: who reads it meanwhile, or cuts the power, finds the old text or the new one. */
async function writeWhole(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.new`, text);
  await Deno.rename(`${path}.new`, path);
}

async function removeEmpty(dir: string): Promise<void> {
  if (!await isThere(dir)) return;
  for await (const { name, isDirectory } of Deno.readDir(dir)) if (isDirectory) await removeEmpty(join(dir, name));
  await removeIfEmpty(dir);
}

async function removeIfEmpty(dir: string): Promise<void> {
  if ((await namesIn(dir)).length === 0 && await isThere(dir)) await Deno.remove(dir);
}

async function namesIn(dir: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(dir)) names.push(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
