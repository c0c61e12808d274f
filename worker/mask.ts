import type { SecretValues } from "../shared/auth/sealed-secrets.ts";

/** What stands where a secret was. */
export const maskText = "***";

/** A part of a text, from `start` up to `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Parts of a secret shorter than this are not looked for: they are found in any text. */
const leastLength = 6;

/**
 * Takes the values of secrets out of whatever is about to leave the worker: as they are, line by line, and as JSON, URL,
 * base64 and hex make them.
 */
export class Mask {
  /** The longest first. */
  readonly #needles: readonly string[];

  constructor(values: Iterable<string>) {
    const needles = new Set<string>();
    for (const value of values) for (const form of formsOf(value)) if (form.length >= leastLength) needles.add(form);
    this.#needles = [...needles].sort((a, b) => b.length - a.length);
  }

  static of(values: SecretValues): Mask {
    const texts = Object.values(values);
    return texts.length === 0 ? nothing : new Mask(texts);
  }

  get isEmpty(): boolean {
    return this.#needles.length === 0;
  }

  /** Characters of the longest text that is looked for. */
  get longest(): number {
    return this.#needles[0]?.length ?? 0;
  }

  text(text: string): string {
    const spans = this.spans(text);
    if (spans.length === 0) return text;
    let masked = "";
    let from = 0;
    for (const { start, end } of spans) {
      masked += text.slice(from, start) + maskText;
      from = end;
    }
    return masked + text.slice(from);
  }

  /** The same in every text of a JSON value, names of fields and numbers included. */
  json(value: unknown): unknown {
    if (this.isEmpty) return value;
    if (typeof value === "string") return this.text(value);
    if (typeof value === "number") return this.spans(String(value)).length > 0 ? maskText : value;
    if (Array.isArray(value)) return value.map((item) => this.json(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [this.text(key), this.json(item)]));
  }

  /** Where secrets are in a text, in order; what overlaps is one. */
  spans(text: string): Span[] {
    const found: Span[] = [];
    for (const needle of this.#needles) {
      for (let start = text.indexOf(needle); start >= 0; start = text.indexOf(needle, start + 1)) {
        found.push({ start, end: start + needle.length });
      }
    }
    found.sort((a, b) => a.start - b.start);
    const merged: Span[] = [];
    for (const span of found) {
      const last = merged.at(-1);
      if (last === undefined || span.start >= last.end) merged.push(span);
      else merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, span.end) };
    }
    return merged;
  }

  /** Where the end of a text may be the beginning of a secret; the text's length when it is not. */
  openEnd(text: string): number {
    let open = text.length;
    for (const needle of this.#needles) {
      for (let start = Math.max(0, text.length - needle.length + 1); start < open; start += 1) {
        if (needle.startsWith(text.slice(start))) open = start;
      }
    }
    return open;
  }
}

/** Of most jobs: they have no secrets. */
const nothing = new Mask([]);

/** The ways in which a value is commonly written. */
function formsOf(value: string): string[] {
  const lines = value.split(/\r?\n/).map((line) => line.trim());
  const plain = [...new Set([value, value.trim(), ...(lines.length > 1 ? lines : [])])].filter((form) => form !== "");
  const bytes = new TextEncoder().encode(value);
  const url = encodeURIComponent(value);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [
    ...plain,
    ...plain.map((form) => JSON.stringify(form).slice(1, -1)),
    url,
    url.replace(/%[0-9A-F]{2}/g, (escaped) => escaped.toLowerCase()),
    new URLSearchParams({ "": value }).toString().slice(1),
    hex,
    hex.toUpperCase(),
    ...base64Forms(bytes),
    ...base64Forms(new TextEncoder().encode(value.trim())),
  ];
}

/** Base64 of the bytes wherever in a longer text they begin: each of the three places gives other characters. */
function base64Forms(bytes: Uint8Array): string[] {
  return [0, 1, 2].flatMap((offset) => {
    let binary = "\0".repeat(offset);
    for (const byte of bytes) binary += String.fromCharCode(byte);
    const bits = binary.length * 8;
    // The characters at both ends that hold bits of a neighbour, too, are left out.
    const form = btoa(binary).slice(Math.ceil(offset * 8 / 6), Math.floor(bits / 6));
    return [form, form.replaceAll("+", "-").replaceAll("/", "_")];
  });
}
