/**
 * Text that came from elsewhere, fit for a terminal: control characters (C0, DEL and C1), which could move the cursor,
 * recolour or rename things, are left out. Line ends and tabs stay.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "");
}

/** The same for what has to stay on one line: a name, a message. */
export function printableLine(text: string): string {
  return printable(text.replace(/\r?\n|\t/g, " "));
}
