import { unstorableJson } from "../shared/contracts/json.ts";
import type { Mask } from "./mask.ts";

/** What `measureJson` found: the size of the JSON text in bytes, or why the value cannot be stored. */
export type MeasuredJson = { readonly bytes: number } | { readonly problem: string };

/** Looks at a value before it travels, so that one bad value does not spoil a batch. Undefined counts as null. */
export function measureJson(value: unknown): MeasuredJson {
  let text: string | undefined;
  try {
    text = JSON.stringify(value ?? null);
  } catch (error) {
    return { problem: `it is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (text === undefined) return { problem: `it is not JSON: it is a ${typeof value}` };
  // Parsed again, because what travels is what toJSON() methods made of the value.
  const problem = unstorableJson(JSON.parse(text));
  if (problem !== null) return { problem: `it ${problem.charAt(0).toLowerCase()}${problem.slice(1)}` };
  return { bytes: new TextEncoder().encode(text).length };
}

/** The JSON value without secrets; the same value where there are none. */
export function maskedJson(value: unknown, mask: Mask): unknown {
  // Parsed again, for the same reason: a toJSON() method may tell what no field holds.
  return mask.isEmpty ? value : mask.json(JSON.parse(JSON.stringify(value ?? null)));
}

/** The text cut to at most so many bytes of UTF-8, without what Postgres cannot store. */
export function clampText(text: string, maxBytes: number): string {
  const clean = text.replaceAll("\u0000", "").toWellFormed();
  const bytes = new TextEncoder().encode(clean);
  if (bytes.length <= maxBytes) return clean;
  // A character cut in half decodes as the replacement character, which is left out.
  const head = new TextDecoder().decode(bytes.subarray(0, maxBytes - 3)).replace(/\uFFFD+$/u, "");
  return `${head}…`;
}

/** The same, by the size of the text as JSON, where some characters take six bytes. */
export function clampJsonText(text: string, maxBytes: number): string {
  const sizeOf = (value: string) => new TextEncoder().encode(value).length;
  let clamped = clampText(text, maxBytes);
  for (let size = sizeOf(JSON.stringify(clamped)); size > maxBytes; size = sizeOf(JSON.stringify(clamped))) {
    clamped = clampText(clamped, Math.floor(sizeOf(clamped) * Math.min(0.98, maxBytes / size)));
  }
  return clamped;
}
