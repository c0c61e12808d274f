import { cp } from "node:fs/promises";
import { join, resolve } from "node:path";
import { allFiles } from "../check/source-files.ts";
import { supabaseOk } from "../deploy/supabase-cli.ts";

const repository = resolve(import.meta.dirname!, "../..");
let fresh: Promise<string> | undefined;

export interface Outcome {
  readonly code: number;
  readonly said: string;
}

/** A Supabase project of somebody's, in a folder of its own. */
export class TestProject implements AsyncDisposable {
  private constructor(readonly root: string) {}

  /** As `supabase init` of the real CLI leaves it, with these files added; paths are relative to its root. */
  static async create(files: Record<string, string> = {}): Promise<TestProject> {
    fresh ??= makeFresh();
    const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "muster install " }));
    await cp(await fresh, root, { recursive: true });
    const project = new TestProject(root);
    for (const [path, text] of Object.entries(files)) await project.write(path, text);
    return project;
  }

  /** Runs `npm run install:project -- <this folder>`. */
  async install(...flags: string[]): Promise<Outcome> {
    return await runInstall([this.root, ...flags]);
  }

  read(path: string): Promise<string> {
    return Deno.readTextFile(join(this.root, path));
  }

  async write(path: string, text: string): Promise<void> {
    await Deno.mkdir(join(this.root, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(this.root, path), text);
  }

  /** Every file with its text. */
  async files(): Promise<Record<string, string>> {
    const names = await allFiles(this.root, [""], new Set([".temp"]));
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await this.read(name)])));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

export async function runInstall(args: string[], cwd: string = repository): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", "--quiet", join(repository, "install/main.ts"), ...args],
    cwd: repository,
    // As npm says where it was started.
    env: { INIT_CWD: cwd, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, said: text.decode(stdout) + text.decode(stderr) };
}

// Made once for all tests of a file.
async function makeFresh(): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "muster-init-" });
  globalThis.addEventListener("unload", () => Deno.removeSync(root, { recursive: true }));
  await supabaseOk(root, ["init"]);
  return root;
}
