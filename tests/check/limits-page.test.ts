import assert from "node:assert/strict";
import { limits } from "../../shared/contracts/limits.ts";
import { TenantLimits } from "../../shared/contracts/tenant-limits.ts";

const root = new URL("../../", import.meta.url);
const page = await Deno.readTextFile(new URL("docs/guides/limits.md", root));

/** Cells of the rows that name a limit, by section and name. */
function rowsOf(heading: string): Map<string, string[]> {
  const section = page.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? "";
  const rows = section.split("\n").map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  return new Map(rows.flatMap(([name, ...cells]) => {
    const known = /^`(\w+)`$/.exec(name ?? "")?.[1];
    return known === undefined ? [] : [[known, cells] as const];
  }));
}

Deno.test("the page of limits names each size and count with its value, and no other", () => {
  const rows = rowsOf("Sizes and counts");
  assert.deepEqual([...rows.keys()].sort(), Object.keys(limits).sort());
  for (const [name, value] of Object.entries(limits)) assert.equal(rows.get(name)![0], String(value), name);
});

Deno.test("the page of limits names each quota and rate with the value that SQL has, and so do the schemas", async () => {
  const sql = await Deno.readTextFile(new URL("migrations/20261121000220_limits.sql", root));
  const usual = new Map(
    [...sql.matchAll(/^ {2}v_limits\.(\w+) := (\d+);$/gm)].map(([, name, value]) => [
      name!.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
      value!,
    ]),
  );
  assert.deepEqual([...usual.keys()].sort(), Object.keys(TenantLimits.shape).sort());
  const [rates, quotas] = [rowsOf("Rates"), rowsOf("Quotas")];
  for (const [name, value] of usual) {
    const rate = name.replace(/Burst$/, "Rate");
    const shown = name.endsWith("Rate")
      ? rates.get(name)?.[1]
      : name.endsWith("Burst")
      ? rates.get(rate)?.[2]
      : quotas.get(name)?.[1];
    assert.equal(shown, value, name);
  }
  // What holds for addresses stands in SQL alone.
  const addresses = [...sql.matchAll(/when '(?:enroll|refused)' then\s+v_rate := (\d+);\s+v_burst := (\d+);/g)];
  const shown = page.split("\n").filter((line) => line.startsWith("| –")).map((line) => line.match(/\d+/g));
  assert.deepEqual(shown, addresses.map(([, rate, burst]) => [rate, burst]));
});

Deno.test("SQL bounds events of a job and calls of a worker as the list of limits says", async () => {
  const read = (name: string) => Deno.readTextFile(new URL(`migrations/${name}`, root));
  const events = await read("20261121000450_job_events.sql");
  assert.ok(events.includes(`>= ${limits.eventsPerJob}`));
  assert.ok(events.includes(`'the events', ${limits.callBytes})`));
  assert.ok((await read("20261121000900_worker_api.sql")).includes(`'the results', ${limits.callBytes})`));
});
