/**
 * What a log line or a problem document must never carry: keys and tokens of ours, the project's secret keys, JWTs,
 * passwords in URLs, and the signatures by which a URL opens a file. Each keeps what tells its kind.
 */
const secrets: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, "(private key)"],
  [/\b(msk|mse)_[A-Za-z0-9_-]{8,}/g, "$1_…"],
  [/\bsb_secret_[A-Za-z0-9_-]{4,}/g, "sb_secret_…"],
  [/\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}/g, "(token)"],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, "$1 …"],
  [
    /([?&](?:token|apikey|api_key|access_token|signature|sig|x-amz-signature|x-amz-credential|key)=)[^&\s"'<>]+/gi,
    "$1…",
  ],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*:)[^\s/@"']+@/gi, "$1…@"],
];

/** Found in every text that one of them is found in: most texts are looked at once, and no more. */
const suspicious = /-----BEGIN |ms[ke]_|sb_secret_|eyJ|bearer|basic|[?&]|:\/\//i;

/** Fields whose value is nobody's business, whatever it looks like. */
const secretFields =
  /^(authorization|proxy-authorization|cookie|set-cookie|apikey|api[_-]?key|x-api-key|password|passphrase|secret|secret[_-]?key|client[_-]?secret|(.*[_-])?token|(access|refresh|enrollment|client|worker|id)token|private[_-]?(key|jwk)|proof|jwt|d)$/i;

const longestText = 8 * 1024;
const mostItems = 200;
const deepest = 10;

/** The text without the secrets that can be told by their form. */
export function maskText(text: string): string {
  if (!suspicious.test(text)) return text;
  let masked = text;
  for (const [pattern, replacement] of secrets) masked = masked.replace(pattern, replacement);
  return masked;
}

/** A value as a log may hold it: secrets masked at any depth, errors with their causes, and of no great length. */
export function mask(value: unknown): unknown {
  return masked(value, 0, new Set());
}

function masked(value: unknown, depth: number, above: Set<object>): unknown {
  if (typeof value === "string") return short(maskText(value));
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return `(${typeof value})`;
  if (typeof value !== "object" || value === null) return value;
  if (above.has(value)) return "(circular)";
  if (depth >= deepest) return "(nested deeper)";
  above.add(value);
  try {
    if (Array.isArray(value)) return value.slice(0, mostItems).map((item) => masked(item, depth + 1, above));
    if (value instanceof Error) return maskedError(value, depth, above);
    if (value instanceof URL) return short(maskText(value.href));
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
    if (value instanceof Headers || value instanceof Map) return maskedFields([...value], depth, above);
    if (value instanceof Set) return [...value].slice(0, mostItems).map((item) => masked(item, depth + 1, above));
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `(${value.byteLength} bytes)`;
    return maskedFields(Object.entries(value), depth, above);
  } finally {
    above.delete(value);
  }
}

function maskedFields(entries: readonly (readonly [unknown, unknown])[], depth: number, above: Set<object>): object {
  const fields: Record<string, unknown> = {};
  for (const [key, value] of entries.slice(0, mostItems)) {
    const { name, isSecret } = fieldOf(String(key));
    const hides = isSecret && value !== null && value !== undefined && typeof value !== "boolean";
    const shown = hides ? "…" : masked(value, depth + 1, above);
    // A field may have any name, also the one that would set the prototype.
    if (name === "__proto__") Object.defineProperty(fields, name, { value: shown, enumerable: true });
    else fields[name] = shown;
  }
  return fields;
}

type Field = { readonly name: string; readonly isSecret: boolean };

/** The same few names come with every line. */
const fieldsMet = new Map<string, Field>();

function fieldOf(key: string): Field {
  const met = fieldsMet.get(key);
  if (met !== undefined) return met;
  const field = { name: short(maskText(key)), isSecret: secretFields.test(key) };
  if (fieldsMet.size < 500 && key.length <= 64) fieldsMet.set(key, field);
  return field;
}

function maskedError(error: Error, depth: number, above: Set<object>): object {
  const { name, message, stack, cause, ...more } = error as Error & Record<string, unknown>;
  return {
    name,
    message: short(maskText(String(message))),
    ...maskedFields(Object.entries(more), depth, above),
    ...(stack === undefined ? {} : { stack: short(maskText(String(stack))) }),
    ...(cause === undefined ? {} : { cause: masked(cause, depth + 1, above) }),
  };
}

function short(text: string): string {
  return text.length > longestText ? `${text.slice(0, longestText)}… (${text.length} characters)` : text;
}
