import { generatedDocuments } from "../../functions/openapi.ts";
import { permissionsPage } from "../permissions/document.ts";

/** Something that is written from other sources and checked in all the same. */
export interface Generator {
  /** Relative to the root. */
  readonly file: string;
  /** The whole text of the file, formatted as `deno fmt` would. */
  generate(root: string): Promise<string>;
}

/** Every generated file of the tree; `npm run check -- --write` writes them all. */
export const generators: readonly Generator[] = [
  ...Object.entries(generatedDocuments()).map(([file, text]) => ({ file, generate: () => Promise.resolve(text) })),
  { file: "docs/permissions.md", generate: () => formatMarkdown(permissionsPage()) },
];

async function formatMarkdown(text: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "--line-width", "120", "-"],
    ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(text));
  await input.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("Cannot format Markdown: deno fmt failed");
  return new TextDecoder().decode(stdout);
}
