/** Values under these names are somebody's own data: their keys are theirs and stay as they are. */
const opaque: ReadonlySet<string> = new Set(["payload", "result", "error", "data", "details", "labels", "metrics"]);

/** Keys of an answer of Postgres, snake_case, to those of HTTP, camelCase. */
export function toCamel(value: unknown): unknown {
  return convert(value, camelName);
}

/** Keys of an HTTP body, camelCase, to those of a call to Postgres, snake_case. */
export function toSnake(value: unknown): unknown {
  return convert(value, snakeName);
}

function camelName(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function snakeName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function convert(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => convert(item, rename));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [rename(key), opaque.has(key) ? child : convert(child, rename)]),
  );
}
