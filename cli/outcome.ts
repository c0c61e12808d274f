import { printableLine } from "../shared/printable.ts";

/** What a command answers: for machines, and for people. */
export interface Outcome {
  readonly record: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** The command found what it looks for to be wrong. */
  readonly failed?: boolean;
}

/** A sentence, and the secret that will not be seen again. */
export function shownOnce(sentence: string, secret: string): string {
  return `${printableLine(sentence)}. It is shown once:\n\n${secret}`;
}

export function untilText(expiresAt: string | null): string {
  return expiresAt === null ? "good until revoked" : `good until ${expiresAt}`;
}

/** Rows under their headings, in columns as wide as they need to be. */
export function table(headings: readonly string[], rows: readonly (readonly (string | number | null)[])[]): string {
  if (rows.length === 0) return "None";
  const lines = [headings, ...rows].map((row) => row.map((cell) => printableLine(String(cell ?? "-"))));
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
    .join("\n");
}
