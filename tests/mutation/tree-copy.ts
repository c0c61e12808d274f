import { cp, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { mutate, type Mutation } from "./mutation.ts";

const left = new Set([".git", ".muster", "node_modules"]);

/** A copy of the tree to break things in; it shares node_modules with the tree, and is deleted with its handle. */
export class TreeCopy implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async make(of: string): Promise<TreeCopy> {
    const root = await Deno.makeTempDir({ prefix: "muster-mutation-" });
    await cp(of, root, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => source === of || !left.has(basename(source)),
    });
    await symlink(join(of, "node_modules"), join(root, "node_modules"), "junction");
    return new TreeCopy(root);
  }

  /** Applies a mutation until the handle is disposed of. */
  async apply(mutation: Mutation): Promise<AsyncDisposable> {
    const path = join(this.root, mutation.file);
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, mutate(text, mutation));
    return { [Symbol.asyncDispose]: () => Deno.writeTextFile(path, text) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}
