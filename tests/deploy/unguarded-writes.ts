/**
 * The updates and deletes in a function's text that have no `where`. The platform's Data API refuses these, in whatever
 * function they stand: it loads an extension against the ones that somebody forgot to finish.
 */
export function unguardedWrites(text: string): string[] {
  const code = text
    .replaceAll(/--[^\n]*|\/\*[^]*?\*\//g, " ")
    .replaceAll(/'(?:[^']|'')*'/g, "''");
  const starts = code.matchAll(/\b(?:update\s+(?:only\s+)?[\w."]+(?:\s+(?:as\s+)?\w+)?\s+set|delete\s+from)\b/gi);
  return [...starts].map(({ index }) => statementAt(code, index)).filter((statement) => !hasOwnWhere(statement));
}

/** From there to the end of the statement, or of the parentheses it stands in. */
function statementAt(code: string, start: number): string {
  let depth = 0;
  let end = start;
  for (; end < code.length && depth >= 0; end++) {
    if (code[end] === "(") depth++;
    if (code[end] === ")") depth--;
    if (code[end] === ";" && depth === 0) break;
  }
  return code.slice(start, depth < 0 ? end - 1 : end).replaceAll(/\s+/g, " ").trim();
}

/** Not one of a query within it. */
function hasOwnWhere(statement: string): boolean {
  let own = statement;
  for (let before = ""; before !== own;) {
    before = own;
    own = own.replaceAll(/\([^()]*\)/g, " ");
  }
  return /\bwhere\b/i.test(own);
}
