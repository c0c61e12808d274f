import { type Mask, maskText, type Span } from "./mask.ts";

type Path = string;

/** A chunk that waits, and its texts by their place in it. */
interface Held {
  readonly data: unknown;
  readonly leaves: ReadonlyMap<Path, string>;
}

/** So many chunks more than the longest secret has characters may wait: then others are in between, and all go. */
const mostBetween = 200;

/**
 * Masks a stream of chunks, also where a secret is cut into several of them, as happens when words are passed on as they
 * come. A chunk that ends in what may be the beginning of a secret waits for the next; texts in the same place of their
 * chunks (`{delta: …}`) are read as one.
 */
export class ChunkMask {
  readonly #mask: Mask;
  readonly #held: Held[] = [];

  constructor(mask: Mask) {
    this.#mask = mask;
  }

  /** Takes a chunk, which is JSON; answers those that may go now, in order. */
  push(data: unknown): unknown[] {
    if (this.#mask.isEmpty) return [data];
    this.#held.push({ data, leaves: new Map(leavesOf(data)) });
    if (this.#held.length > this.#mask.longest + mostBetween) return this.end();
    return this.#release(this.#closedCount());
  }

  /** What still waits: nothing follows it. */
  end(): unknown[] {
    return this.#release(this.#held.length);
  }

  #release(count: number): unknown[] {
    if (count === 0) return [];
    const masked = this.#held.slice(0, count).map(({ data }) => data);
    for (const path of this.#paths()) {
      const joined = this.#joined(path);
      const spans = this.#mask.spans(joined);
      if (spans.length === 0) continue;
      for (const { index, start, end } of this.#parts(path).filter(({ index }) => index < count)) {
        masked[index] = withLeaf(masked[index], JSON.parse(path), maskedPart(joined, { start, end }, spans));
      }
    }
    this.#held.splice(0, count);
    return masked.map((data) => this.#mask.json(data));
  }

  /** How many chunks need not wait for what follows. */
  #closedCount(): number {
    const places = this.#paths().map((path) => {
      const joined = this.#joined(path);
      return { parts: this.#parts(path), spans: this.#mask.spans(joined), open: this.#mask.openEnd(joined) };
    });
    let count = this.#held.length;
    for (const { parts, open } of places) {
      count = Math.min(count, parts.find(({ end }) => end > open)?.index ?? count);
    }
    // A secret goes as a whole, or its rest could not be told later: where one is cut, all of it waits.
    for (let before = -1; before !== count;) {
      before = count;
      for (const { parts, spans } of places) {
        const cut = parts.find(({ index }) => index >= count)?.start;
        if (cut === undefined) continue;
        const crossing = spans.find(({ start, end }) => start < cut && end > cut);
        if (crossing === undefined) continue;
        count = Math.min(count, parts.find(({ end }) => end > crossing.start)?.index ?? count);
      }
    }
    return count;
  }

  #paths(): Path[] {
    return [...new Set(this.#held.flatMap(({ leaves }) => [...leaves.keys()]))];
  }

  #joined(path: Path): string {
    return this.#held.map(({ leaves }) => leaves.get(path) ?? "").join("");
  }

  /** Where in the joined text of a place each chunk has its part. */
  #parts(path: Path): (Span & { readonly index: number })[] {
    let at = 0;
    return this.#held.flatMap(({ leaves }, index) => {
      const text = leaves.get(path);
      if (text === undefined) return [];
      at += text.length;
      return [{ index, start: at - text.length, end: at }];
    });
  }
}

/** The part without the secrets; the mask stands where a secret begins. */
function maskedPart(joined: string, part: Span, spans: readonly Span[]): string {
  let text = "";
  let from = part.start;
  for (const { start, end } of spans) {
    if (end <= part.start || start >= part.end) continue;
    text += joined.slice(from, Math.max(from, start)) + (start >= part.start ? maskText : "");
    from = Math.min(part.end, end);
  }
  return text + joined.slice(from, part.end);
}

/** Every text of a JSON value with its place, as JSON text of the keys that lead there. */
function leavesOf(value: unknown, path: readonly (string | number)[] = []): [Path, string][] {
  if (typeof value === "string") return [[JSON.stringify(path), value]];
  if (Array.isArray(value)) return value.flatMap((item, index) => leavesOf(item, [...path, index]));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => leavesOf(item, [...path, key]));
}

function withLeaf(value: unknown, [key, ...rest]: readonly (string | number)[], text: string): unknown {
  if (key === undefined) return text;
  if (Array.isArray(value)) return value.map((item, index) => index === key ? withLeaf(item, rest, text) : item);
  return Object.fromEntries(
    Object.entries(value as object).map(([name, item]) => [name, name === key ? withLeaf(item, rest, text) : item]),
  );
}
