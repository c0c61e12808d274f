/** A page as a list of blocks, from which Markdown and HTML are made. Texts may hold `code` and [links](#anchor). */
export type Block =
  | { readonly kind: "heading"; readonly level: 1 | 2 | 3; readonly text: string; readonly id: string }
  | { readonly kind: "paragraph"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] }
  | { readonly kind: "code"; readonly language: string; readonly text: string }
  | { readonly kind: "table"; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };

export function heading(level: 1 | 2 | 3, text: string, id: string = slug(text)): Block {
  return { kind: "heading", level, text, id };
}

export function paragraph(text: string): Block {
  return { kind: "paragraph", text };
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): Block {
  return { kind: "table", head, rows };
}

/** The anchor that a heading gets where Markdown is shown, as GitHub makes it. */
export function slug(text: string): string {
  return text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

/** Markdown as the repository's formatter would write it; a heading's anchor is its text's. */
export function toMarkdown(blocks: readonly Block[], note?: string): string {
  const parts = blocks.map((block) => {
    switch (block.kind) {
      case "heading":
        return `${"#".repeat(block.level)} ${block.text}`;
      case "paragraph":
        return wrapped(block.text, "", "");
      case "list":
        return block.items.map((item) => wrapped(item, "- ", "  ")).join("\n");
      case "code":
        return `\`\`\`${block.language}\n${block.text}\n\`\`\``;
      case "table":
        return markdownTable(block.head, block.rows);
    }
  });
  if (note !== undefined) parts.splice(1, 0, `<!-- ${note} -->`);
  return `${parts.join("\n\n")}\n`;
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, column) => Math.max(3, ...lines.map((row) => [...(row[column] ?? "")].length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell + " ".repeat(widths[column]! - [...cell].length)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(lines[0]!), rule, ...lines.slice(1).map(line)].join("\n");
}

const lineWidth = 120;

function wrapped(text: string, first: string, others: string): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(" ")) {
    if (!empty && line.length + 1 + word.length > lineWidth) {
      lines.push(line);
      line = others;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line].join("\n");
}

/** A page that needs nothing but itself: no script, nothing from elsewhere. */
export function toHtml(title: string, blocks: readonly Block[]): string {
  const body = blocks.map((block) => {
    switch (block.kind) {
      case "heading":
        return `<h${block.level} id="${escaped(block.id)}">${inline(block.text)}</h${block.level}>`;
      case "paragraph":
        return `<p>${inline(block.text)}</p>`;
      case "list":
        return `<ul>${block.items.map((item) => `<li>${inline(item)}</li>`).join("")}</ul>`;
      case "code":
        return `<pre><code>${escaped(block.text)}</code></pre>`;
      case "table": {
        const row = (tag: string, cells: readonly string[]): string =>
          `<tr>${cells.map((cell) => `<${tag}>${inline(cell)}</${tag}>`).join("")}</tr>`;
        return `<div class="wide"><table><thead>${row("th", block.head)}</thead><tbody>${
          block.rows.map((cells) => row("td", cells)).join("\n")
        }</tbody></table></div>`;
      }
    }
  });
  return [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>`,
    `<meta name="viewport" content="width=device-width, initial-scale=1"><style>${style}</style></head><body><main>`,
    ...body,
    "</main></body></html>",
    "",
  ].join("\n");
}

function inline(text: string): string {
  return text.split(/(`[^`]*`|\[[^\]]*\]\([^)\s]*\))/).map((part) => {
    if (part.startsWith("`") && part.length > 1) return `<code>${escaped(part.slice(1, -1))}</code>`;
    const link = /^\[([^\]]*)\]\(([^)\s]*)\)$/.exec(part);
    // What leads elsewhere than within the API's own pages is shown, not linked.
    if (link && /^[#./]/.test(link[2]!)) return `<a href="${escaped(link[2]!)}">${inline(link[1]!)}</a>`;
    return escaped(part);
  }).join("");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

const style = "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1b1f24;background:#fff}" +
  "main{max-width:60rem;margin:0 auto;padding:1.5rem}h2{margin-top:3rem;border-bottom:1px solid #d0d7de}" +
  "h3{margin-top:2rem}code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f5f7;border-radius:4px}" +
  "code{padding:.1em .3em}pre{padding:.8rem;overflow:auto}pre code{padding:0}.wide{overflow-x:auto}" +
  "table{border-collapse:collapse;font-size:15px}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;" +
  "border:1px solid #d0d7de}@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}" +
  "code,pre{background:#1c2128}a{color:#6cb6ff}h2,th,td{border-color:#373e47}}";
