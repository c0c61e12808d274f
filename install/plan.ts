import { addToConfig, type ConfigEdit, declaredFunctions, markedBlock, removeFromConfig } from "./config-edit.ts";
import { hashOf, type Manifest } from "./manifest.ts";
import type { Source } from "./source.ts";

/** What a project has now. Paths are relative to its folder `supabase`, with `/`. */
export interface ProjectState {
  readonly manifest: Manifest | undefined;
  readonly config: string;
  /** Those of the files that Muster has, or once put there, which exist. */
  readonly files: ReadonlyMap<string, string>;
  /** The file names in `migrations`. */
  readonly migrations: readonly string[];
  /** The folder names in `functions`. */
  readonly functionFolders: readonly string[];
}

/** What is to be done. With problems nothing is. */
export interface Plan {
  readonly write: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
  /** The whole new text, where it changes. */
  readonly config: string | undefined;
  /** Undefined when nothing of Muster is left. */
  readonly manifest: Manifest | undefined;
  readonly problems: readonly Problem[];
}

export interface Problem {
  readonly reason: "collision" | "not ours" | "changed here" | "migration changed";
  readonly what: string;
}

const isMigration = (path: string): boolean => path.startsWith("migrations/");

/** Puts Muster into a project, or brings what is there to the present release. */
export function planInstall(source: Source, state: ProjectState, { force = false } = {}): Plan {
  const known = state.manifest?.files ?? {};
  const problems: Problem[] = collisions(source, state);
  const write = new Map<string, string>();
  for (const [path, text] of source.files) {
    const present = state.files.get(path);
    if (present === undefined) write.set(path, text);
    else if (hashOf(present) !== hashOf(text)) {
      const before = known[path];
      if (before === undefined) problems.push({ reason: "not ours", what: path });
      else if (isMigration(path)) problems.push({ reason: "migration changed", what: path });
      else if (hashOf(present) !== before && !force) problems.push({ reason: "changed here", what: path });
      else write.set(path, text);
    }
  }
  const remove: string[] = [];
  for (const [path, before] of Object.entries(known)) {
    const present = state.files.get(path);
    if (source.files.has(path) || present === undefined) continue;
    // A database may have it: the history of its migrations must stay whole.
    if (isMigration(path)) problems.push({ reason: "migration changed", what: path });
    else if (hashOf(present) !== before && !force) problems.push({ reason: "changed here", what: path });
    else remove.push(path);
  }
  problems.push(...changedBlock(state, force));

  const without = state.manifest ? removeFromConfig(state.config, state.manifest.config) : state.config;
  const { text, edit } = addToConfig(without, source.functions);
  const manifest: Manifest = {
    version: source.version,
    files: Object.fromEntries([...source.files].map(([path, text]) => [path, hashOf(text)])),
    config: kept(edit, state.manifest?.config),
  };
  return { write, remove, config: text === state.config ? undefined : text, manifest, problems };
}

/** Takes out what was put in. */
export function planRemoval(state: ProjectState & { manifest: Manifest }, { force = false } = {}): Plan {
  const present = Object.keys(state.manifest.files).filter((path) => state.files.has(path));
  const changed = present.filter((path) => hashOf(state.files.get(path)!) !== state.manifest.files[path]);
  const problems: Problem[] = force ? [] : changed.map((what) => ({ reason: "changed here", what }));
  return {
    write: new Map(),
    remove: present,
    config: removeFromConfig(state.config, state.manifest.config),
    manifest: undefined,
    problems: [...problems, ...changedBlock(state, force)],
  };
}

function collisions({ files, functions }: Source, state: ProjectState): Problem[] {
  const known = state.manifest?.files ?? {};
  const versions = new Map<string, string>();
  for (const path of files.keys()) {
    if (isMigration(path)) versions.set(versionOf(path.slice("migrations/".length)), path);
  }
  return [
    ...declaredFunctions(state.config, functions.slugs).map((slug) => `[functions.${slug}] of config.toml`),
    ...functions.slugs.filter((slug) => state.functionFolders.includes(slug)).map((slug) => `functions/${slug}`),
    ...state.migrations
      .filter((name) => versions.has(versionOf(name)) && versions.get(versionOf(name)) !== `migrations/${name}`)
      .map((name) => `migrations/${name}`)
      .filter((path) => !(path in known)),
  ].map((what) => ({ reason: "collision", what }));
}

function changedBlock(state: ProjectState, force: boolean): Problem[] {
  const present = markedBlock(state.config);
  if (force || present === undefined || present === state.manifest?.config.block) return [];
  return [{ reason: "changed here", what: "the marked section of config.toml" }];
}

// A schema that is in the list because of us stays ours when the list is found with it.
function kept(edit: ConfigEdit, before: ConfigEdit | undefined): ConfigEdit {
  return edit.schemas === "present" && before !== undefined ? { ...edit, schemas: before.schemas } : edit;
}

function versionOf(name: string): string {
  return /^\d+/.exec(name)?.[0] ?? name;
}
