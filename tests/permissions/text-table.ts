/** A table written as text: the first line names the columns, every other line a row and its cells. */
export interface TextTable {
  readonly columns: readonly string[];
  /** Cells by row and column. */
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** Reads a table whose cells are separated by two spaces or more; throws on what is not one. */
export function readTextTable(text: string): TextTable {
  const [head, ...lines] = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const columns = (head ?? "").split(/\s{2,}/);
  const rows = new Map<string, ReadonlyMap<string, string>>();
  for (const line of lines) {
    const [name, ...cells] = line.split(/\s{2,}/);
    if (name === undefined || cells.length !== columns.length) {
      throw new Error(`Cannot read the row "${line}": it must have ${columns.length} cells, not ${cells.length}`);
    }
    if (rows.has(name)) throw new Error(`Cannot read the table: it has two rows "${name}"`);
    rows.set(name, new Map(cells.map((cell, index) => [columns[index]!, cell])));
  }
  return { columns, rows };
}
