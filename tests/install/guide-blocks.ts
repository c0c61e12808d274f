/** The shell commands of a guide, a block each, in order. */
export function shellBlocks(markdown: string): string[] {
  return [...markdown.replaceAll("\r\n", "\n").matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
}
