/** A realistic slip: one place in one file, written otherwise. */
export interface Mutation {
  readonly name: string;
  /** What no longer holds, in words. */
  readonly breaks: string;
  readonly file: string;
  /** Stands exactly once in the file; anything else is an error, so that a mutation cannot rot silently. */
  readonly find: string;
  readonly replace: string;
  /** The test files that should notice, the quick ones first. */
  readonly tests: readonly string[];
}

/** The file's text with the slip in it. */
export function mutate(text: string, { name, file, find, replace }: Mutation): string {
  const count = text.split(find).length - 1;
  if (count !== 1) throw new Error(`Mutation ${name}: its text stands ${count} times in ${file}, not once`);
  if (find === replace) throw new Error(`Mutation ${name} changes nothing`);
  return text.replace(find, () => replace);
}
