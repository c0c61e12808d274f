import assert from "node:assert/strict";
import fc from "fast-check";
import { addToConfig, declaredFunctions, markedBlock, remotesWithout, removeFromConfig } from "./config-edit.ts";
import { scanToml } from "./toml-text.ts";

const functions = {
  slugs: ["enroll", "jobs"],
  entrypoint: (slug: string) => `./muster/functions/${slug}/index.ts`,
  importMap: "./muster/deno.json",
};

const cases: Record<string, [before: string, after: string]> = {
  "a list on one line": [
    `[api]\nschemas = ["public", "graphql_public"] # exposed\nmax_rows = 1\n`,
    `[api]\nschemas = ["public", "graphql_public", "muster"] # exposed\nmax_rows = 1\n`,
  ],
  "a list that ends in a comma": [`[api]\nschemas = ["public",]\n`, `[api]\nschemas = ["public", "muster",]\n`],
  "an empty list": [`[api]\nschemas = [ ]\n`, `[api]\nschemas = ["muster" ]\n`],
  "a list over several lines": [
    `[api]\nschemas = [\n  "public", # ours\n  "app" # , "not this"\n]\n`,
    `[api]\nschemas = [\n  "public", # ours\n  "app", # , "not this"\n  "muster"\n]\n`,
  ],
  "a list over several lines that ends in a comma": [
    `[api]\r\nschemas = [\r\n\t"public",\r\n\t'app', # last\r\n]\r\n`,
    `[api]\r\nschemas = [\r\n\t"public",\r\n\t'app', # last\r\n\t"muster",\r\n]\r\n`,
  ],
  "a dotted key": [`api.schemas = ["public"]\n`, `api.schemas = ["public", "muster"]\n`],
  "a section without a list": [
    `[api] # the door\nport = 1\n`,
    `[api] # the door\nschemas = ["public", "graphql_public", "muster"]\nport = 1\n`,
  ],
  "a section at the end of the file": [`[api]`, `[api]\nschemas = ["public", "graphql_public", "muster"]`],
};

for (const [name, [before, after]] of Object.entries(cases)) {
  Deno.test(`addToConfig() exposes the schema in ${name}, and removeFromConfig() takes it back`, () => {
    const { text, edit } = addToConfig(before, functions);
    assert.ok(text.startsWith(after), text);
    assert.equal(removeFromConfig(text, edit), before);
  });
}

Deno.test("addToConfig() puts [api] into the marked section where there is none", () => {
  const before = `# ours\nproject_id = "a"\n\n[api.tls]\nenabled = false\n`;
  const { text, edit } = addToConfig(before, functions);
  assert.ok(text.startsWith(before));
  assert.match(markedBlock(text)!, /^\[api\]\nschemas = \["public", "graphql_public", "muster"\]$/m);
  assert.equal(removeFromConfig(text, edit), before);
});

Deno.test("addToConfig() leaves a schema and a bucket that are there as they are", () => {
  const before = `[api]\nschemas = ['muster']\n[storage.buckets.muster-artifacts]\nfile_size_limit = "1MiB"\n`;
  const { text, edit } = addToConfig(before, functions);
  assert.ok(text.startsWith(before));
  assert.equal(text.split("muster-artifacts").length, 2);
  assert.equal(removeFromConfig(text, edit), before);
});

Deno.test("addToConfig() refuses what it cannot change safely", () => {
  for (
    const [text, reason] of [
      [`api = { schemas = ["public"] }\n`, /inline table/],
      [`[api]\nschemas = "public"\n`, /not an array/],
      [`[api]\nschemas = ["public"\n`, /line 3/],
      [`[api\n`, /line 1/],
      [`key = "open\n`, /line 1: a string does not end/],
    ] as const
  ) assert.throws(() => addToConfig(text, functions), reason);
});

Deno.test("declaredFunctions() sees functions in sections, dotted keys and quotes, and none in the marked section", () => {
  const own = `[functions.jobs]\nverify_jwt = true\n`;
  assert.deepEqual(declaredFunctions(own, ["enroll", "jobs"]), ["jobs"]);
  assert.deepEqual(declaredFunctions(`functions."enroll".verify_jwt = true\n`, ["enroll", "jobs"]), ["enroll"]);
  assert.deepEqual(declaredFunctions(`# [functions.jobs]\nx = """\n[functions.jobs]\n"""\n`, ["jobs"]), []);
  assert.deepEqual(declaredFunctions(addToConfig("", functions).text, ["enroll", "jobs"]), []);
});

Deno.test("remotesWithout() names the branches whose own list lacks the schema", () => {
  const text = `[remotes.staging.api]\nschemas = ["public"]\n[remotes.live.api]\nschemas = ["muster"]\n`;
  assert.deepEqual(remotesWithout(text), ["staging"]);
});

Deno.test("scanToml() finds keys and values whatever stands in strings, arrays and comments", () => {
  const text = `a = "x # [no]\\""\nb = '''\n[no]\n''' # c\n[[t."q.r"]]\nc.d = [1, { e = "]" }, # ]\n 2]\n`;
  assert.deepEqual(scanToml(text).map(({ path }) => path), [["a"], ["b"], ["t", "q.r"], ["t", "q.r", "c", "d"]]);
});

Deno.test("whatever a config.toml holds, adding leaves its lines and removing gives it back byte for byte", () => {
  const word = fc.stringMatching(/^[a-z]{1,6}$/);
  const text = fc.constantFrom(
    `"a # b"`,
    `'it\\'`,
    `"q\\"[x]"`,
    "true",
    "12",
    `"""\nlong\n[api]\n"""`,
    `{ a = 1, b = [2] }`,
  );
  const gap = fc.constantFrom("", "\n", "# note [api]\n", "  \n");
  const entry = fc.tuple(word, text, gap).map(([key, value, gap]) => `k_${key} = ${value}\n${gap}`);
  const separator = fc.constantFrom(", ", ",", " ,\n  ", ", # c\n  ", ",\n\t");
  const list = fc.tuple(
    fc.constantFrom("[", "[ ", "[\n  ", "[ # c\n"),
    fc.array(word.map((name) => `"${name}s"`), { maxLength: 3 }),
    separator,
    fc.constantFrom("]", " ]", "\n]", ",]", ", # c\n]", " # c\n]", ",\n\n]"),
  ).map(([open, names, separator, close]) =>
    open + names.join(separator) + (names.length === 0 ? close.replace(",", "") : close)
  );
  const api = fc.oneof(
    fc.constant(""),
    list.map((list) => `[api]\nport = 1\nschemas = ${list} # end\nmax_rows = 3\n`),
    list.map((list) => `[api]\nschemas=${list}\n`),
    fc.constant(`[api]\nport = 1\n`),
  );
  const sections = fc.array(fc.tuple(word, fc.array(entry, { maxLength: 3 })), { maxLength: 3 }).map((tables) =>
    tables.map(([name, entries], index) => `[t${index}.${name}]\n${entries.join("")}`).join("")
  );
  const whole = fc.tuple(fc.array(entry, { maxLength: 2 }), sections, api, sections, fc.boolean(), fc.boolean());
  fc.assert(
    fc.property(whole, ([top, first, api, second, windows, cut]) => {
      const lines = `${top.join("")}${first}${api}${second.replaceAll("[t", "[u")}`;
      const before = (cut ? lines.replace(/\n+$/, "") : lines).replaceAll("\n", windows ? "\r\n" : "\n");
      const { text, edit } = addToConfig(before, functions);
      const found = scanToml(text);
      const kept = scanToml(before).map(({ path }) => path.join("/"));
      const now = found.map(({ path }) => path.join("/"));
      assert.deepEqual(kept.filter((path) => !now.includes(path)), []);
      const exposed = found.find(({ kind, path }) => kind === "entry" && path.join(".") === "api.schemas");
      assert.ok(exposed?.kind === "entry" && text.slice(exposed.value.start, exposed.value.end).includes(`"muster"`));
      assert.deepEqual(addToConfig(removeFromConfig(text, edit), functions).text, text);
      assert.equal(removeFromConfig(text, edit), before);
    }),
    { numRuns: 2000 },
  );
});
