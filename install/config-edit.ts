import { UsageError } from "../shared/usage-error.ts";
import { scanArray, scanToml, type Span, type TomlItem } from "./toml-text.ts";

const beginMark =
  "# >>> muster >>> Written by `npm run install:project`, which changes and removes it: leave it as it is.";
const endMark = "# <<< muster <<<";
const schema = "muster";
const bucket = ["storage", "buckets", "muster-artifacts"];

/** What was done to a config.toml, so that it can be undone. */
export interface ConfigEdit {
  /** The marked section, with LF line ends. */
  readonly block: string;
  /** What stands before it since then. */
  readonly lead: string;
  /** How schema muster got among the exposed ones; `present` where it was there already. */
  readonly schemas: "element" | "line" | "section" | "present";
}

/** The functions that Muster brings, and where each begins, as config.toml names it. */
export interface Functions {
  readonly slugs: readonly string[];
  readonly entrypoint: (slug: string) => string;
  readonly importMap: string;
}

/** Exposes schema muster and declares the functions and the bucket; everything else stays as it is. */
export function addToConfig(text: string, functions: Functions): { text: string; edit: ConfigEdit } {
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const exposed = exposeSchema(text, eol);
  const sections: string[] = [];
  if (exposed.how === "section") sections.push(`[api]\nschemas = ["public", "graphql_public", "${schema}"]`);
  if (!scanToml(exposed.text).some(({ path }) => startsWith(path, bucket))) {
    sections.push(`[${bucket.join(".")}]\npublic = false`);
  }
  for (const slug of functions.slugs) {
    sections.push(
      `[functions.${slug}]\nverify_jwt = false\nentrypoint = "${functions.entrypoint(slug)}"\n` +
        `import_map = "${functions.importMap}"`,
    );
  }
  const block = `${beginMark}\n${sections.join("\n\n")}\n${endMark}\n`;
  const lead = exposed.text === "" ? "" : /\n$/.test(exposed.text) ? eol : eol + eol;
  return {
    text: exposed.text + lead + block.replaceAll("\n", eol),
    edit: { block, lead: lead.replaceAll("\r\n", "\n"), schemas: exposed.how },
  };
}

/** Undoes what `addToConfig` did, and nothing else. */
export function removeFromConfig(text: string, { lead, schemas }: ConfigEdit): string {
  const span = blockSpan(text);
  let rest = text;
  if (span) {
    const before = text.slice(0, span.start);
    const withLead = [lead.replaceAll("\n", "\r\n"), lead].find((lead) => lead !== "" && before.endsWith(lead));
    rest = before.slice(0, before.length - (withLead?.length ?? 0)) + text.slice(span.end);
  }
  if (schemas === "element") return withoutElement(rest);
  if (schemas === "line") return withoutLine(rest);
  return rest;
}

/** The marked section as it stands in a config.toml, with LF line ends; undefined where there is none. */
export function markedBlock(text: string): string | undefined {
  const span = blockSpan(text);
  return span && text.slice(span.start, span.end).replaceAll("\r\n", "\n");
}

/** The functions among `slugs` that a config.toml declares outside of the marked section. */
export function declaredFunctions(text: string, slugs: readonly string[]): string[] {
  const span = blockSpan(text);
  const own = span ? text.slice(0, span.start) + text.slice(span.end) : text;
  const declared = new Set(scanToml(own).filter(({ path }) => path[0] === "functions").map(({ path }) => path[1]));
  return slugs.filter((slug) => declared.has(slug));
}

/** The sections `[remotes.<name>.api]` that expose schemas of their own, without muster. */
export function remotesWithout(text: string): string[] {
  return scanToml(text).flatMap((item) => {
    const [remotes, name, ...rest] = item.path;
    if (item.kind !== "entry" || remotes !== "remotes" || rest.join(".") !== "api.schemas") return [];
    return text.slice(item.value.start, item.value.end).includes(`"${schema}"`) ? [] : [name!];
  });
}

function blockSpan(text: string): Span | undefined {
  const start = text.indexOf(beginMark);
  if (start < 0) return undefined;
  const endAt = text.indexOf(endMark, start);
  if (endAt < 0) throw new UsageError(`Cannot read config.toml: "${endMark}" is missing after "# >>> muster >>>"`);
  const end = endAt + endMark.length;
  return { start, end: end + (/^\r?\n/.exec(text.slice(end, end + 2))?.[0].length ?? 0) };
}

function exposeSchema(text: string, eol: string): { text: string; how: ConfigEdit["schemas"] } {
  const items = scanToml(text);
  const schemas = schemasEntry(items);
  if (schemas) {
    const changed = withElement(text, schemas.value, eol);
    return { text: changed, how: changed === text ? "present" : "element" };
  }
  if (items.some(({ kind, path }) => kind === "entry" && path.join(".") === "api")) {
    throw new UsageError("Cannot change config.toml: api is an inline table: write it as a section [api] first");
  }
  const table = items.find(({ kind, path }) => kind === "table" && path.join(".") === "api");
  if (table?.kind !== "table") return { text, how: "section" };
  const lineEnd = endOfLine(text, table.span.end);
  return { text: text.slice(0, lineEnd) + eol + schemasLine() + text.slice(lineEnd), how: "line" };
}

function withElement(text: string, value: Span, eol: string): string {
  const array = scanArray(text, value);
  if (!array) throw new UsageError("Cannot change config.toml: schemas of [api] is not an array");
  if (array.elements.some((element) => isSchema(text, element))) return text;
  const last = array.elements.at(-1);
  if (!last) return insert(text, value.start + 1, `"${schema}"`);
  const lineStart = startOfLine(text, last.start);
  const indent = text.slice(lineStart, last.start);
  const hasOwnLine = /^[ \t]*$/.test(indent) && text.slice(last.end, array.close).includes("\n");
  if (last.comma !== undefined) {
    return hasOwnLine
      ? insert(text, endOfLine(text, last.comma), `${eol}${indent}"${schema}",`)
      : insert(text, last.comma + 1, ` "${schema}",`);
  }
  if (!hasOwnLine) return insert(text, last.end, `, "${schema}"`);
  const withLine = insert(text, endOfLine(text, last.end), `${eol}${indent}"${schema}"`);
  return insert(withLine, last.end, ",");
}

function withoutElement(text: string): string {
  const entry = schemasEntry(scanToml(text));
  const array = entry && scanArray(text, entry.value);
  const index = array?.elements.findIndex((element) => isSchema(text, element)) ?? -1;
  const element = array?.elements[index];
  if (!array || !element) return text;
  const before = array.elements[index - 1];
  const end = element.comma === undefined ? element.end : element.comma + 1;
  const lineStart = startOfLine(text, element.start);
  const hasOwnLine = /^[ \t]*$/.test(text.slice(lineStart, element.start)) && /^[ \t]*\r?\n/.test(text.slice(end));
  const from = hasOwnLine
    ? lineStart - (text[lineStart - 2] === "\r" ? 2 : 1)
    : element.comma === undefined
    ? before?.end ?? element.start
    : before?.comma !== undefined
    ? before.comma + 1
    : element.start;
  const without = text.slice(0, from) + text.slice(end);
  // The element before it had no comma before this one came.
  const comma = hasOwnLine && element.comma === undefined ? before?.comma : undefined;
  return comma === undefined ? without : without.slice(0, comma) + without.slice(comma + 1);
}

function withoutLine(text: string): string {
  const entry = schemasEntry(scanToml(text));
  if (!entry) return text;
  const start = startOfLine(text, entry.value.start);
  const end = endOfLine(text, entry.value.end);
  // Changed since, it is no longer the line that was put there.
  if (text.slice(start, end) !== schemasLine()) return withoutElement(text);
  return text.slice(0, start - (text[start - 2] === "\r" ? 2 : 1)) + text.slice(end);
}

function schemasLine(): string {
  return `schemas = ["public", "graphql_public", "${schema}"]`;
}

function schemasEntry(items: readonly TomlItem[]): (TomlItem & { kind: "entry" }) | undefined {
  return items.find((item) => item.kind === "entry" && item.path.join(".") === "api.schemas") as
    | (TomlItem & { kind: "entry" })
    | undefined;
}

function isSchema(text: string, { start, end }: Span): boolean {
  return [`"${schema}"`, `'${schema}'`].includes(text.slice(start, end));
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((name, index) => path[index] === name);
}

function insert(text: string, at: number, what: string): string {
  return text.slice(0, at) + what + text.slice(at);
}

function startOfLine(text: string, at: number): number {
  return text.lastIndexOf("\n", at - 1) + 1;
}

/** Where the line that `at` is on ends, before its line end. */
function endOfLine(text: string, at: number): number {
  const next = text.indexOf("\n", at);
  if (next < 0) return text.length;
  return text[next - 1] === "\r" ? next - 1 : next;
}
