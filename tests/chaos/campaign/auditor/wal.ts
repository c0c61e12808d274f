/** One row as one transaction left it, out of the write-ahead log. */
export interface Change {
  readonly table: string;
  readonly kind: "insert" | "update" | "delete";
  /** Values as text, by column; a column is absent when its value was not logged because it did not change. */
  readonly row: Readonly<Record<string, string | null>>;
}

/** A transaction with the changes it made to the watched tables. */
export interface Commit {
  /** Where its commit stands in the log: commits are told in the order of these. */
  readonly lsn: bigint;
  /** Milliseconds since the epoch, by the database's clock. */
  readonly atMs: number;
  readonly changes: readonly Change[];
}

const postgresEpochMs = Date.UTC(2000, 0, 1);

/** Reads the messages of `pgoutput`, protocol version 1, of one call. */
export function readCommits(messages: Iterable<Uint8Array>): Commit[] {
  const relations = new Map<number, { table: string; columns: string[] }>();
  const commits: Commit[] = [];
  let changes: Change[] = [];
  for (const message of messages) {
    const reader = new Reader(message);
    const tag = reader.char();
    switch (tag) {
      case "B":
        changes = [];
        break;
      case "C": {
        reader.skip(1);
        const lsn = reader.int64();
        reader.skip(8);
        commits.push({ lsn, atMs: postgresEpochMs + Number(reader.int64()) / 1000, changes });
        break;
      }
      case "R": {
        const id = reader.int32();
        reader.text();
        const table = reader.text();
        reader.skip(1);
        const columns = Array.from({ length: reader.int16() }, () => {
          reader.skip(1);
          const name = reader.text();
          reader.skip(8);
          return name;
        });
        relations.set(id, { table, columns });
        break;
      }
      case "I":
      case "U":
      case "D": {
        const relation = relations.get(reader.int32());
        if (relation === undefined) throw new Error("Cannot read the log: a change precedes its table");
        let row: Record<string, string | null> = {};
        // An update may tell the old key or row first; the new row is the last.
        while (!reader.isAtEnd) {
          reader.skip(1);
          row = reader.tuple(relation.columns);
        }
        changes.push({
          table: relation.table,
          kind: tag === "I" ? "insert" : tag === "U" ? "update" : "delete",
          row,
        });
        break;
      }
      case "T":
        throw new Error("Cannot audit this run: a watched table was truncated");
    }
  }
  return commits;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  skip(count: number): void {
    this.#at += count;
  }

  char(): string {
    return String.fromCharCode(this.#bytes[this.#at++]!);
  }

  int16(): number {
    this.#at += 2;
    return this.#view.getInt16(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#view.getInt32(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#view.getBigInt64(this.#at - 8);
  }

  /** Up to a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  tuple(columns: readonly string[]): Record<string, string | null> {
    const row: Record<string, string | null> = {};
    const count = this.int16();
    for (let index = 0; index < count; index += 1) {
      const kind = this.char();
      const name = columns[index]!;
      if (kind === "n") row[name] = null;
      if (kind === "t") {
        const length = this.int32();
        row[name] = new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#at + length));
        this.#at += length;
      }
    }
    return row;
  }
}
