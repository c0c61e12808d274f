import assert from "node:assert/strict";
import { parseProjectConfig } from "./config.ts";

Deno.test("parseProjectConfig() reads schemas and buckets", () => {
  const toml = `
project_id = "x"
[api]
schemas = ["public", "muster"] # exposed
[auth]
schemas = ["not these"]
[storage.buckets.private-files]
public = false
[storage.buckets."shown"]
file_size_limit = "5MiB"
public = true
`;
  const expected = {
    schemas: ["public", "muster"],
    buckets: [{ name: "private-files", public: false }, { name: "shown", public: true }],
  };
  assert.deepEqual(parseProjectConfig(toml), expected);
  assert.deepEqual(parseProjectConfig(toml.replaceAll("\n", "\r\n")), expected);
});
