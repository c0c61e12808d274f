import assert from "node:assert/strict";
import { join } from "node:path";
import type { Outcome } from "./outcome.ts";
import { type Circumstances, type PartRun, Run } from "./run.ts";
import { quickSizes } from "./sizes.ts";

const about: Circumstances = {
  ...{ mode: "full", machine: "2 cores", postgres: "17.10", settings: { fsync: "off" }, peers: {}, sizes: quickSizes },
};
const begun: PartRun = { date: "2026-11-21", commit: "abc1234", minutes: 1, load: [0, 1], end: null };

function outcome(measure: string, rate: number): Outcome {
  return {
    ...{ id: measure, measure, unit: "per second", figure: { median: rate, min: rate, max: rate } },
    aim: { text: "≥ 100", of: "figure", atLeast: 100 },
  };
}

async function withFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "muster-test-" });
  try {
    await act(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a run that is cut leaves what it had, and says what is missing", () =>
  withFolder(async (folder) => {
    const page = join(folder, "README.md");
    await Deno.writeTextFile(page, "# Title\n\n<!-- results: begin -->\n\nold\n\n<!-- results: end -->\n\nrest\n");
    const run = await Run.open(folder, about, "no");
    run.begin("throughput", begun).outcomes.push(outcome("drain", 200));
    run.change("throughput", { end: "complete" });
    run.begin("cycle", begun).outcomes.push(outcome("cycle", 50));
    await run.save();

    const text = await Deno.readTextFile(page);
    assert.match(text, /^\*\*Not all of it is here\*\*: doors was not measured;/m);
    assert.match(text, /cycle was cut off/);
    assert.match(text, /^\| drain .* met +\|$/m);
    assert.match(text, /^\| cycle .* \*\*missed\*\* \|$/m);
    assert.ok(!text.includes("old") && text.endsWith("rest\n"));
  }));

Deno.test("a part that is measured again takes the place of what it had, and the others stay", () =>
  withFolder(async (folder) => {
    const first = await Run.open(folder, about, "no");
    const throughput = first.begin("throughput", begun);
    throughput.outcomes.push(outcome("drain", 200));
    throughput.peers["drain"] = [1, 2, 3];
    first.begin("cycle", begun).outcomes.push(outcome("cycle", 50));
    await first.save();

    const again = await Run.open(folder, about, "surely");
    again.begin("cycle", { ...begun, commit: "def5678" }).outcomes.push(outcome("cycle", 150));
    await again.save();

    const { results, report } = await Run.open(folder, about, "surely");
    assert.deepEqual(results.outcomes.map(({ id, figure }) => [id, figure!.median]), [["drain", 200], ["cycle", 150]]);
    assert.deepEqual(results.peers["drain"], [1, 2, 3]);
    assert.match(report, /^\| throughput .* abc1234/m);
    assert.match(report, /^\| cycle .* def5678/m);
  }));

Deno.test("what was measured on another server or with other sizes is not mixed", () =>
  withFolder(async (folder) => {
    const first = await Run.open(folder, about, "no");
    first.begin("cycle", begun).outcomes.push(outcome("cycle", 50));
    await first.save();

    const durable = { ...about, settings: { fsync: "on" } };
    await assert.rejects(Run.open(folder, durable, "surely"), /Cannot go on .*"settings" is another/);
    assert.deepEqual((await Run.open(folder, durable, "if possible")).results.outcomes, []);
    assert.equal((await Run.open(folder, about, "if possible")).results.outcomes.length, 1);
    assert.deepEqual((await Run.open(folder, about, "no")).results.outcomes, []);
  }));
