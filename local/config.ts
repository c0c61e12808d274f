export type ProjectConfig = {
  /** The schemas that the Data API exposes. */
  schemas: string[];
  buckets: { name: string; public: boolean }[];
};

/**
 * Reads what the stack needs from `supabase/config.toml`. Not a TOML parser: it knows headings, and strings, booleans
 * and lists of strings on one line, which is how that file is written.
 */
export function parseProjectConfig(toml: string): ProjectConfig {
  const config: ProjectConfig = { schemas: ["public", "graphql_public"], buckets: [] };
  let section = "";
  for (const line of toml.split(/\r?\n/)) {
    const heading = /^\s*\[([^[\]]+)\]\s*(#.*)?$/.exec(line)?.[1];
    if (heading !== undefined) {
      section = heading.trim();
      const bucket = /^storage\.buckets\.(.+)$/.exec(section)?.[1];
      if (bucket) config.buckets.push({ name: bucket.replace(/^"(.*)"$/, "$1"), public: false });
      continue;
    }
    const [, key, value] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key === undefined || value === undefined) continue;
    if (section === "api" && key === "schemas") config.schemas = [...value.matchAll(/"([^"]*)"/g)].map((m) => m[1]!);
    if (section.startsWith("storage.buckets.") && key === "public") {
      config.buckets.at(-1)!.public = value.startsWith("true");
    }
  }
  return config;
}
