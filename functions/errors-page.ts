import { errorList } from "../shared/errors.ts";

/** The text of docs/errors.md. */
export function errorsPage(): string {
  const rows = Object.entries(errorList).map((
    [code, { sqlState, status, retryable, title, advice }],
  ) => [`\`${code}\``, sqlState ?? "–", String(status), retryable ? "yes" : "no", title, advice]);
  const table = [["code", "SQLSTATE", "HTTP", "retry", "meaning", "what to do"], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const line = (row: string[]): string => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [
    "# Errors",
    "",
    "<!-- Written by functions/openapi.ts from shared/errors.ts. -->",
    "",
    "Every error answer is an RFC 9457 problem document, `application/problem+json`, with a stable `code`, a `detail` for",
    "people, a `hint` that says what to do, and the `correlationId` that the logs carry. `errors` lists the places of a",
    "request that do not fit. SQL functions raise the same errors under the SQLSTATE; the Data API hands it on as `code`.",
    "",
    line(table[0]!),
    rule,
    ...rows.map(line),
    "",
    "_Retry_ says whether the same request may succeed later without being changed.",
    "",
  ].join("\n");
}
