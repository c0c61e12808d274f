import assert from "node:assert/strict";
import { isMet, noResults, type Outcome, type Results } from "./outcome.ts";
import { digits, format, type MeasuredPart, reportOf, table, withResults } from "./report.ts";
import type { Circumstances } from "./run.ts";
import { quickSizes } from "./sizes.ts";

const about: Circumstances = {
  ...{ mode: "full", machine: "2 cores (virtual), 4 GB of memory", postgres: "17.10", settings: { fsync: "off" } },
  ...{ peers: { "pg-boss": "12.35.0" }, sizes: quickSizes },
};
const complete: MeasuredPart = {
  name: "throughput",
  run: { date: "2026-11-21", commit: "abc1234", minutes: 3.14, load: [0.1, 2.34], end: "complete" },
};

const drain: Outcome = {
  ...{ id: "drain", measure: "drain", unit: "per second", note: "4 workers" },
  aim: { text: "≥ 1.0 × peer", of: "ratio", atLeast: 1 },
  figure: { median: 43_210.4, min: 40_000, max: 45_000 },
  beside: { name: "peer", figure: { median: 42_000, min: 41_000, max: 43_000 } },
  ratio: { median: 1.029, min: 0.95, max: 1.1 },
};

function resultsOf(...outcomes: Outcome[]): Results {
  return { ...noResults(), outcomes };
}

Deno.test("digits() keeps three that count, and groups thousands", () => {
  assert.deepEqual([0, 0.0123, 1.234, 12.34, 999.6, 1234.5, 1_234_567].map(digits), [
    ...["0", "0.012", "1.23", "12.3", "1,000", "1,235", "1,234,567"],
  ]);
});

Deno.test("format() has the median with its unit, and the range", () => {
  assert.equal(format({ median: 2.5, min: 1, max: 30 }, "ms"), "2.50 ms (1.00 to 30.0)");
});

Deno.test("isMet() holds the ratio against the aim where that is about the ratio, else the figure", () => {
  assert.equal(isMet(drain), true);
  assert.equal(isMet({ ...drain, ratio: { median: 0.99, min: 0.9, max: 1.1 } }), false);
  const tick: Outcome = { ...drain, aim: { text: "≤ 50 ms", of: "figure", atMost: 50 }, unit: "ms" };
  assert.equal(isMet({ ...tick, figure: { median: 50, min: 1, max: 60 } }), true);
  assert.equal(isMet({ ...tick, figure: { median: 50.1, min: 1, max: 60 } }), false);
});

Deno.test("isMet() calls nothing met that was not measured", () => {
  assert.equal(isMet({ ...drain, figure: null }), true, "the ratio alone counts");
  const { ratio: _, ...alone } = drain;
  assert.equal(isMet(alone), null);
  assert.equal(isMet({ ...alone, aim: { text: "≤ 1", of: "figure", atMost: 1 }, figure: null }), null);
});

Deno.test("reportOf() says what was aimed at, what came out and whether that is enough", () => {
  const missed: Outcome = { ...drain, measure: "claim", ratio: { median: 0.5, min: 0.4, max: 0.6 } };
  const text = reportOf(resultsOf(drain, missed), about, [complete]);
  const rows = text.split("\n").filter((line) => /^\| (drain|claim) /.test(line));
  assert.match(
    rows[0]!,
    /\| ≥ 1\.0 × peer \| 43,210\/s \(40,000 to 45,000\) \| peer: 42,000\/s .* \| 1\.03 \(0\.95 to 1\.10\) \| met +\|$/,
  );
  assert.match(rows[1]!, /\*\*missed\*\* \|$/);
  assert.match(text, /^- drain: 4 workers$/m);
  assert.match(text, /^Measured on 2 cores .* PostgreSQL 17\.10 with `fsync=off`\. pg-boss 12\.35\.0\.$/m);
  assert.match(text, /^\| throughput \| 2026-11-21 +\| abc1234 \| 3\.1 +\| 0\.1 +\| 2\.3 +\|$/m);
  assert.ok(!text.includes("Not all of it is here"));
});

Deno.test("reportOf() says first what a cut run lacks", () => {
  const run = complete.run!;
  const text = reportOf(resultsOf(drain), about, [
    complete,
    { name: "doors", run: { ...run, end: "failed: no stack" } },
    { name: "cycle", run: { ...run, end: null } },
    { name: "tick", run: undefined },
  ]);
  assert.equal(
    text.split("\n")[0],
    "**Not all of it is here**: doors failed: no stack; cycle was cut off; tick was not measured.",
  );
});

Deno.test("reportOf() does not hide what was not measured", () => {
  const text = reportOf(resultsOf({ ...drain, figure: null, aim: { ...drain.aim, of: "figure" } }), about, [complete]);
  assert.match(text, /\| not measured \|$/m);
});

Deno.test("table() pads its cells as the formatter does", () => {
  assert.equal(
    table(["a", "long head"], [["1", "x"], ["12345", "y"]]),
    "| a     | long head |\n| ----- | --------- |\n| 1     | x         |\n| 12345 | y         |",
  );
});

Deno.test("withResults() replaces what stands between the marks, and nothing else", () => {
  const page = "# Title\n\n<!-- results: begin -->\n\nold\n\n<!-- results: end -->\n\nrest\n";
  const written = withResults(page, "new");
  assert.equal(written, "# Title\n\n<!-- results: begin -->\n\nnew\n\n<!-- results: end -->\n\nrest\n");
  assert.equal(withResults(written, "new"), written);
});

Deno.test("withResults() refuses a page without the marks", () => {
  assert.throws(() => withResults("# Title\n", "new"), /lacks the marks/);
});
