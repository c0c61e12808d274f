import { UsageError } from "../shared/usage-error.ts";

/** A part of a text: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A heading such as `[api]`, or a key with its value. */
export type TomlItem =
  | { readonly kind: "table"; readonly path: readonly string[]; readonly span: Span }
  | { readonly kind: "entry"; readonly path: readonly string[]; readonly value: Span };

/** An array's elements, the comma after each where there is one, and its closing bracket. */
export interface TomlArray {
  readonly elements: readonly (Span & { readonly comma: number | undefined })[];
  readonly close: number;
}

/**
 * Finds where headings, keys and values stand in a TOML text, so that it can be changed with everything else left as it
 * is: comments, order, spaces, line ends. It reads no more of a value than it needs to find its end.
 */
export function scanToml(text: string): TomlItem[] {
  const reader = new Reader(text);
  const items: TomlItem[] = [];
  let table: readonly string[] = [];
  for (reader.skipBlank(); !reader.atEnd; reader.skipBlank()) {
    const start = reader.at;
    if (reader.take("[")) {
      const isArray = reader.take("[");
      table = reader.keyPath();
      reader.expect("]");
      if (isArray) reader.expect("]");
      items.push({ kind: "table", path: table, span: { start, end: reader.at } });
    } else {
      const path = [...table, ...reader.keyPath()];
      reader.skipSpaces();
      reader.expect("=");
      reader.skipSpaces();
      items.push({ kind: "entry", path, value: reader.value() });
    }
    reader.endOfLine();
  }
  return items;
}

/** The elements of the array that stands at `span`, or undefined where something else does. */
export function scanArray(text: string, span: Span): TomlArray | undefined {
  if (text[span.start] !== "[") return undefined;
  return new Reader(text, span.start).array();
}

class Reader {
  constructor(readonly text: string, public at = 0) {}

  get atEnd(): boolean {
    return this.at >= this.text.length;
  }

  take(sign: string): boolean {
    if (!this.text.startsWith(sign, this.at)) return false;
    this.at += sign.length;
    return true;
  }

  expect(sign: string): void {
    this.skipSpaces();
    if (!this.take(sign)) this.#fail(`expected "${sign}"`);
  }

  skipSpaces(): void {
    while (this.text[this.at] === " " || this.text[this.at] === "\t") this.at++;
  }

  /** Spaces, line ends and comments; a mark of the byte order at the very beginning, too. */
  skipBlank(): void {
    if (this.at === 0) this.take("\ufeff");
    for (;; this.at++) {
      const sign = this.text[this.at];
      if (sign === "#") this.#toLineEnd();
      else if (sign === undefined || !/\s/.test(sign)) return;
      if (this.atEnd) return;
    }
  }

  endOfLine(): void {
    this.skipSpaces();
    if (this.text[this.at] === "#") this.#toLineEnd();
    if (!this.atEnd && !/[\r\n]/.test(this.text[this.at]!)) this.#fail("expected the end of the line");
  }

  keyPath(): string[] {
    const path: string[] = [];
    do {
      this.skipSpaces();
      const sign = this.text[this.at];
      if (sign === '"' || sign === "'") {
        const { start, end } = this.value();
        path.push(this.text.slice(start + 1, end - 1));
      } else {
        const bare = /^[\w-]+/.exec(this.text.slice(this.at, this.at + 1000))?.[0];
        if (bare === undefined) this.#fail("expected a key");
        this.at += bare.length;
        path.push(bare);
      }
      this.skipSpaces();
    } while (this.take("."));
    return path;
  }

  value(): Span {
    const start = this.at;
    const sign = this.text[start];
    if (sign === '"' || sign === "'") this.#string(sign);
    else if (sign === "[") this.array();
    else if (sign === "{") this.#inlineTable();
    else {
      while (!this.atEnd && !/[,\]}#\r\n]/.test(this.text[this.at]!)) this.at++;
      if (this.text.slice(start, this.at).trim() === "") this.#fail("expected a value");
      while (/[ \t]/.test(this.text[this.at - 1]!)) this.at--;
    }
    return { start, end: this.at };
  }

  array(): TomlArray {
    this.expect("[");
    const elements: { start: number; end: number; comma: number | undefined }[] = [];
    for (this.skipBlank(); !this.take("]"); this.skipBlank()) {
      const element = { ...this.value(), comma: undefined as number | undefined };
      elements.push(element);
      this.skipBlank();
      if (this.text[this.at] === ",") element.comma = this.at++;
      else if (this.text[this.at] !== "]") this.#fail('expected "," or "]"');
    }
    return { elements, close: this.at - 1 };
  }

  #inlineTable(): void {
    this.expect("{");
    for (this.skipBlank(); !this.take("}"); this.skipBlank()) {
      this.keyPath();
      this.expect("=");
      this.skipSpaces();
      this.value();
      this.skipBlank();
      if (!this.take(",") && this.text[this.at] !== "}") this.#fail('expected "," or "}"');
    }
  }

  #string(quote: string): void {
    const long = quote.repeat(3);
    const isLong = this.take(long);
    if (!isLong) this.at++;
    const end = isLong ? long : quote;
    for (; !this.text.startsWith(end, this.at); this.at++) {
      if (this.atEnd || (!isLong && /[\r\n]/.test(this.text[this.at]!))) this.#fail("a string does not end");
      if (quote === '"' && this.text[this.at] === "\\") this.at++;
    }
    this.at += end.length;
    // Up to two more quotes belong to a long string that ends in them.
    while (isLong && this.text[this.at] === quote) this.at++;
  }

  #toLineEnd(): void {
    while (!this.atEnd && this.text[this.at] !== "\n" && this.text[this.at] !== "\r") this.at++;
  }

  #fail(reason: string): never {
    const line = this.text.slice(0, this.at).split("\n").length;
    throw new UsageError(`Cannot read config.toml: line ${line}: ${reason}`);
  }
}
