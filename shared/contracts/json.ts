import { isStorableText } from "./common.ts";
import { limits } from "./limits.ts";

const encoder = new TextEncoder();

/** Bytes of the value's JSON text in UTF-8. */
export function jsonBytes(value: unknown): number {
  return encoder.encode(JSON.stringify(value) ?? "").byteLength;
}

/**
 * Why a JSON value cannot be stored as it is, or null when it can. Postgres refuses NUL characters and lone
 * surrogates, and a number beyond the range of a double (1e999) would silently become null on the way.
 * Written as a loop: the depth that it checks must not be the depth of its own stack.
 */
export function unstorableJson(value: unknown): string | null {
  const stack: { value: unknown; depth: number }[] = [{ value, depth: 1 }];
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    if (typeof item.value === "string" && !isStorableText(item.value)) return badText;
    if (typeof item.value === "number" && !Number.isFinite(item.value)) return "Must not contain numbers out of range";
    if (typeof item.value !== "object" || item.value === null) continue;
    if (item.depth > limits.jsonDepth) return `Must not be nested deeper than ${limits.jsonDepth} levels`;
    const depth = item.depth + 1;
    if (Array.isArray(item.value)) {
      for (const child of item.value) stack.push({ value: child, depth });
      continue;
    }
    for (const [key, child] of Object.entries(item.value)) {
      if (!isStorableText(key)) return badText;
      stack.push({ value: child, depth });
    }
  }
  return null;
}

const badText = "Must not contain NUL characters or lone surrogates";
