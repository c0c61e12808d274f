import { join, resolve } from "node:path";
import os from "node:os";
import { parseArgs } from "node:util";
import { serverSettings, startCluster } from "./bench-cluster.ts";
import { Context } from "./compare/context.ts";
import { type Part, partNames, parts } from "./compare/parts.ts";
import { type Circumstances, Run } from "./compare/run.ts";
import { fullSizes, quickSizes, withSizes } from "./compare/sizes.ts";
import { onInterrupt, untilInterrupted } from "./interrupt.ts";
import { installPeers, peerVersions } from "./peers.ts";
import { UsageError } from "../shared/usage-error.ts";

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
  const chosen = (values.only?.split(",") ?? partNames) as Part[];
  const unknown = chosen.find((part) => !(part in parts));
  if (unknown) throw new UsageError(`There is no part "${unknown}": there are ${partNames.join(", ")}`);
  const sizes = withSizes(values.quick ? quickSizes : fullSizes, values.size);
  const settings = { ...serverSettings, ...(values.durable && { fsync: "on" }) };
  // Part of a run, or a small one, does not take the place of the figures that are kept, unless it is sent there.
  const isWhole = !values.quick && values.only === undefined && values.size.length === 0;
  const out = resolve(values.out ?? (isWhole ? folder : join(folder, "..", ".muster", "bench")));

  const began = performance.now();
  await installPeers();
  await using cluster = await startCluster(settings);
  await using context = new Context(cluster, sizes, settings);
  const about: Circumstances = {
    mode: values.quick ? "quick" : "full",
    machine: `${os.availableParallelism()} cores (${os.cpus()[0]?.model.trim() ?? "unknown"}), ${
      (os.totalmem() / 2 ** 30).toFixed(0)
    } GB of memory`,
    ...{ postgres: await context.serverVersion(), settings: await context.serverSettings() },
    ...{ peers: await peerVersions(), sizes },
  };
  // What was named is not lost to a slip; the folder of the small runs is.
  const goOn = values.only === undefined ? "no" : values.out === undefined ? "if possible" : "surely";
  const run = await Run.open(out, about, goOn);
  const failed: Part[] = [];
  for (const part of partNames.filter((part) => chosen.includes(part))) {
    if (!await measurePart(part, context, run)) failed.push(part);
  }
  console.log(run.report);
  context.say(`took ${((performance.now() - began) / 60_000).toFixed(1)} minutes; written to ${out}`);
  if (failed.length > 0) throw new Error(`Could not measure ${failed.join(", ")}; --only measures a part again`);
}

/** One that fails leaves the others their turn. */
async function measurePart(part: Part, context: Context, run: Run): Promise<boolean> {
  const [began, before] = [performance.now(), os.loadavg()[0]!];
  const soFar = () => ({
    minutes: (performance.now() - began) / 60_000,
    load: [before, os.loadavg()[0]!] as [number, number],
  });
  context.say(`—— ${part}`);
  context.begin(
    run.begin(part, { date: new Date().toISOString().slice(0, 10), commit: await commit(), ...soFar(), end: null }),
    run,
  );
  const forget = onInterrupt(() => {
    run.change(part, soFar());
    return run.save();
  });
  try {
    await parts[part](context);
    run.change(part, { ...soFar(), end: "complete" });
    return true;
  } catch (error) {
    await untilInterrupted();
    console.error(error);
    run.change(part, { ...soFar(), end: `failed: ${error instanceof Error ? error.message : error}` });
    return false;
  } finally {
    forget();
    await run.save();
    context.say(`—— ${part} took ${soFar().minutes.toFixed(1)} minutes`);
  }
}

async function commit(): Promise<string> {
  // The results themselves do not make the tree another one.
  const { stdout } = await new Deno.Command("git", {
    args: ["describe", "--always", "--exclude=*", "--abbrev=9"],
    cwd: folder,
  }).output().catch(() => ({ stdout: new Uint8Array() }));
  const changed = await new Deno.Command("git", {
    args: ["status", "--porcelain", "--", ":/", ":!README.md", ":!results.json", ":!plots"],
    cwd: folder,
  }).output().catch(() => ({ stdout: new Uint8Array() }));
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return decode(stdout) === "" ? "unknown" : decode(stdout) + (decode(changed.stdout) === "" ? "" : ", changed");
}
