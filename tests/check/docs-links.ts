import { dirname, join, normalize } from "node:path";
import type { Check } from "./check.ts";
import { sourceFiles } from "./source-files.ts";

export const docsLinks: Check = {
  name: "links in documents lead somewhere",
  run: async (root) => {
    const headings = new Map<string, Promise<Set<string>>>();
    const problems: string[] = [];
    for (const file of await sourceFiles(root, ".md")) {
      for (const { target, line } of relativeLinks(await Deno.readTextFile(join(root, file)))) {
        const [path = "", anchor] = target.split("#");
        const aim = path === "" ? file : normalize(join(dirname(file), decodeURIComponent(path)));
        if (!await exists(join(root, aim))) problems.push(`${file}:${line} links to ${target}: there is no such file`);
        else if (anchor && aim.endsWith(".md")) {
          if (!headings.has(aim)) headings.set(aim, Deno.readTextFile(join(root, aim)).then(anchors));
          if (!(await headings.get(aim)!).has(anchor)) {
            problems.push(`${file}:${line} links to ${target}: there is no such heading`);
          }
        }
      }
    }
    return problems;
  },
};

/** The links and images of a Markdown text that stay inside the tree, with their lines from 1. */
export function relativeLinks(markdown: string): { target: string; line: number }[] {
  const text = withoutCode(markdown);
  const inline = [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const references = [...text.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?/gm)];
  return [...inline, ...references]
    .map((match) => ({ target: match[1]!, line: text.slice(0, match.index).split("\n").length }))
    .filter(({ target }) => !/^([a-z][a-z+.-]*:|\/\/)/i.test(target));
}

/** The anchors that the headings of a Markdown text get. */
export function anchors(markdown: string): Set<string> {
  const found = new Set<string>();
  for (const [, heading = ""] of withoutFences(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*\s*$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
    let unique = slug;
    for (let count = 1; found.has(unique); count++) unique = `${slug}-${count}`;
    found.add(unique);
  }
  return found;
}

function withoutCode(markdown: string): string {
  return withoutFences(markdown).replace(/`[^`\n]*`/g, blank);
}

function withoutFences(markdown: string): string {
  return markdown.replaceAll("\r\n", "\n").replace(/^ {0,3}(```|~~~)[\s\S]*?^ {0,3}\1/gm, blank);
}

/** As many lines as before, with nothing in them, so that line numbers stay true. */
function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
