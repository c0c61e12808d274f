/** Values under these names are somebody's own data: their keys are theirs and stay as they are. */
const opaque: ReadonlySet<string> = new Set([
  ...["payload", "result", "error", "data", "details"],
  ...["labels", "metrics", "metadata"],
]);

/** And under these, where they are amounts by name; a list under such a name is one of ours. */
const opaqueRecords: ReadonlySet<string> = new Set(["resources", "held_resources"]);

/** Keys of an answer of Postgres, snake_case, to those of HTTP, camelCase. */
export function toCamel(value: unknown): unknown {
  return convert(value, camelName);
}

/** Keys of an HTTP body, camelCase, to those of a call to Postgres, snake_case. */
export function toSnake(value: unknown): unknown {
  return convert(value, snakeName);
}

/** The name of a field in HTTP, where it stands as a value. */
export function toCamelName(name: string): string {
  return camelName(name);
}

const camelName = remembered((key) => key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()));
const snakeName = remembered((key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));

/** The same few names come again and again: a thousand jobs have thirty thousand keys. */
function remembered(rename: (key: string) => string): (key: string) => string {
  const known = new Map<string, string>();
  return (key) => {
    const name = known.get(key) ?? rename(key);
    if (known.size < 1_000) known.set(key, name);
    return name;
  };
}

function convert(value: unknown, rename: (key: string) => string): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => convert(item, rename));
  const converted: Record<string, unknown> = {};
  const fields = value as Record<string, unknown>;
  // A loop rather than entries: an answer about a thousand jobs has forty thousand fields.
  for (const key of Object.keys(fields)) {
    const field = fields[key];
    const child = typeof field !== "object" || isOpaque(key, field) ? field : convert(field, rename);
    if (key === "__proto__") Object.defineProperty(converted, key, { value: child, ...plain });
    else converted[rename(key)] = child;
  }
  return converted;
}

const plain = { enumerable: true, configurable: true, writable: true };

function isOpaque(key: string, value: unknown): boolean {
  return opaque.has(key) || opaqueRecords.has(key) && !Array.isArray(value);
}
