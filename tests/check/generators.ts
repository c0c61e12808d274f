import { generatedDocuments } from "../../functions/openapi.ts";

/** Something that is written from other sources and checked in all the same. */
export interface Generator {
  /** Relative to the root. */
  readonly file: string;
  /** The whole text of the file, formatted as `deno fmt` would. */
  generate(root: string): Promise<string>;
}

/** Every generated file of the tree; `npm run check -- --write` writes them all. */
export const generators: readonly Generator[] = Object.entries(generatedDocuments())
  .map(([file, text]) => ({ file, generate: () => Promise.resolve(text) }));
