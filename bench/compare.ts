import { join, resolve } from "node:path";
import os from "node:os";
import { parseArgs } from "node:util";
import { serverSettings, startCluster } from "./bench-cluster.ts";
import { Context } from "./compare/context.ts";
import { control } from "./compare/control.ts";
import { cycle } from "./compare/cycle.ts";
import { doors } from "./compare/doors.ts";
import { floor } from "./compare/floor.ts";
import { growth } from "./compare/growth.ts";
import { peersGrowth } from "./compare/peers-growth.ts";
import { drawPlots } from "./compare/plots.ts";
import { type Circumstances, reportOf, withResults } from "./compare/report.ts";
import { fullSizes, quickSizes, type Sizes } from "./compare/sizes.ts";
import { throughput } from "./compare/throughput.ts";
import { installPeers, peerVersions } from "./peers.ts";

/** In this order: what is held against the peers' rates comes after them. */
const parts = { throughput, floor, doors, growth, "peers-growth": peersGrowth, cycle, control };
type Part = keyof typeof parts;

const folder = import.meta.dirname!;

/** Muster beside its peers and the floor, in one run on one Postgres, against what is aimed at. */
export async function compare(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: "boolean", default: false },
      durable: { type: "boolean", default: false },
      only: { type: "string" },
      size: { type: "string", multiple: true, default: [] },
      out: { type: "string" },
    },
  });
  const chosen = (values.only?.split(",") ?? Object.keys(parts)) as Part[];
  const unknown = chosen.find((part) => !(part in parts));
  if (unknown) throw new Error(`There is no part "${unknown}": there are ${Object.keys(parts).join(", ")}`);
  const sizes = withSizes(values.quick ? quickSizes : fullSizes, values.size);
  const settings = { ...serverSettings, ...(values.durable && { fsync: "on" }) };
  // Part of a run, or a small one, does not take the place of the figures that are kept.
  const isWhole = !values.quick && values.only === undefined && values.size.length === 0;
  const out = resolve(values.out ?? (isWhole ? folder : join(folder, "..", ".muster", "bench")));

  const began = performance.now();
  const loadBefore = os.loadavg()[0]!;
  await installPeers();
  await using cluster = await startCluster(settings);
  const context = new Context(cluster, sizes, settings);
  try {
    for (const part of Object.keys(parts) as Part[]) if (chosen.includes(part)) await parts[part](context);
    const about: Circumstances = {
      date: new Date().toISOString().slice(0, 10),
      commit: await commit(),
      mode: values.quick ? "quick" : "full",
      machine: `${os.availableParallelism()} cores (${os.cpus()[0]?.model.trim() ?? "unknown"})`,
      load: [loadBefore, os.loadavg()[0]!],
      postgres: await context.serverVersion(),
      ...{ settings, peers: await peerVersions(), runs: sizes.runs },
    };
    await write(out, context, about, isWhole);
    context.say(`took ${((performance.now() - began) / 60_000).toFixed(1)} minutes; written to ${out}`);
  } finally {
    await context.end();
  }
}

async function write(out: string, { results, sizes }: Context, about: Circumstances, isWhole: boolean): Promise<void> {
  const report = reportOf(results, about);
  console.log(report);
  await Deno.mkdir(join(out, "plots"), { recursive: true });
  await Deno.writeTextFile(join(out, "results.json"), JSON.stringify({ ...about, sizes, ...results }, null, 2) + "\n");
  const plots = drawPlots(results);
  for (const [name, text] of plots) await Deno.writeTextFile(join(out, "plots", name), text);
  const pictures = [...plots.keys()].map((name) => `![${name.replace(".svg", "")}](plots/${name})`).join("\n\n");
  const page = `${report}\n\n${pictures}`;
  if (!isWhole) return await Deno.writeTextFile(join(out, "report.md"), page + "\n");
  const readme = join(folder, "README.md");
  await Deno.writeTextFile(readme, withResults(await Deno.readTextFile(readme), page));
  // Its lines are wrapped as those of all documents are.
  await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", readme], cwd: folder }).output();
}

/** `--size name=value` changes one: a list is separated by commas. */
function withSizes(sizes: Sizes, changes: readonly string[]): Sizes {
  const changed: Record<string, unknown> = { ...sizes };
  for (const change of changes) {
    const [name, value] = change.split("=") as [string, string | undefined];
    const numbers = value?.split(",").map(Number) ?? [];
    if (!(name in sizes) || numbers.length === 0 || numbers.some((number) => !(number > 0))) {
      throw new Error(`Cannot use --size ${change}: it is name=number, of ${Object.keys(sizes).join(", ")}`);
    }
    changed[name] = Array.isArray(changed[name]) ? numbers : numbers[0];
  }
  return changed as Sizes;
}

async function commit(): Promise<string> {
  const { stdout } = await new Deno.Command("git", { args: ["describe", "--always", "--dirty"], cwd: folder }).output()
    .catch(() => ({ stdout: new Uint8Array() }));
  return new TextDecoder().decode(stdout).trim() || "unknown";
}
