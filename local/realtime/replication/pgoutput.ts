import { toText } from "../frames.ts";

/** A row as the stream carries it: text format, by column, with null kept. */
export type Row = Map<string, Uint8Array<ArrayBuffer> | null>;

export interface Insert {
  schema: string;
  table: string;
  row: Row;
}

interface Relation {
  schema: string;
  table: string;
  columns: string[];
}

/** Reads the inserts out of pgoutput's messages (protocol version 1); everything else passes unread. */
export class PgoutputDecoder {
  readonly #relations = new Map<number, Relation>();

  decode(message: Uint8Array<ArrayBuffer>): Insert | undefined {
    const reader = new Reader(message);
    const type = String.fromCharCode(reader.byte());
    if (type === "R") {
      this.#relations.set(reader.int32(), readRelation(reader));
      return undefined;
    }
    if (type !== "I") return undefined;
    const relation = this.#relations.get(reader.int32());
    if (!relation) throw new Error("Cannot decode insert: its relation was never described");
    reader.byte(); // Always "N": the new row follows.
    return { schema: relation.schema, table: relation.table, row: readRow(reader, relation.columns) };
  }
}

function readRelation(reader: Reader): Relation {
  const schema = reader.cstring();
  const table = reader.cstring();
  reader.byte(); // replica identity
  const columns = Array.from({ length: reader.int16() }, () => {
    reader.byte(); // part of the key or not
    const name = reader.cstring();
    reader.int32(); // type
    reader.int32(); // type modifier
    return name;
  });
  return { schema, table, columns };
}

function readRow(reader: Reader, columns: string[]): Row {
  const row: Row = new Map();
  const count = reader.int16();
  for (const column of columns.slice(0, count)) {
    const kind = String.fromCharCode(reader.byte());
    row.set(column, kind === "t" || kind === "b" ? reader.bytes(reader.int32()) : null);
  }
  return row;
}

class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    return this.#view.getUint8(this.#offset++);
  }

  int16(): number {
    this.#offset += 2;
    return this.#view.getInt16(this.#offset - 2);
  }

  int32(): number {
    this.#offset += 4;
    return this.#view.getInt32(this.#offset - 4);
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    this.#offset += length;
    return this.#bytes.slice(this.#offset - length, this.#offset);
  }

  cstring(): string {
    const end = this.#bytes.indexOf(0, this.#offset);
    const text = toText(this.#bytes.subarray(this.#offset, end));
    this.#offset = end + 1;
    return text;
  }
}
