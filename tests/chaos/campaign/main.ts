import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { runCampaign } from "./campaign.ts";
import { hasPassed, report } from "./report.ts";

const help =
  `Breaks everything that can break while jobs run, then checks that none was lost and none done twice on record.

  npm run chaos                                  two minutes, 20 workers, a seed by the clock
  npm run chaos -- --minutes 10 --seed 7         the same seed gives the same faults at the same times

  --minutes N   How long faults are made. Default 2; below 2, faults are shorter
  --seed S      Default a new one, which is told
  --workers N   Worker processes, 2 to 100. Default 20
  --keep DIR    Keeps journals and logs in this folder. Default a temporary one, removed when nothing was wrong
  --quiet       Tells only the result

It starts a local stack of its own and stops all it started, also at Ctrl-C. docs/guides/reliability.md explains the
table. Exit code 0: nothing lost, nothing doubled, no rule broken. 1: something was. 2: it could not run.
`;

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: "string", default: "2" },
      seed: { type: "string" },
      workers: { type: "string", default: "20" },
      keep: { type: "string" },
      quiet: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const minutes = number("--minutes", values.minutes, 0.2, 24 * 60);
  const workers = number("--workers", values.workers, 2, 100);
  const seed = number("--seed", values.seed ?? String(Date.now() % 1_000_000), 0, 2 ** 32 - 1);
  const stopped = new AbortController();
  const stop = () => stopped.abort(new Error("The campaign was told to end"));
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const folder = values.keep ?? await mkdtemp(join(tmpdir(), "muster-campaign-"));
  await Deno.mkdir(folder, { recursive: true });
  const log = values.quiet ? () => {} : (line: string) => console.log(line);
  const outcome = await runCampaign({ seed, minutes, workers, folder, log, signal: stopped.signal });
  console.log(`\n${report(outcome)}`);
  if (!hasPassed(outcome)) {
    console.log(`Journals and logs are in ${folder}`);
    return 1;
  }
  if (values.keep === undefined) await Deno.remove(folder, { recursive: true });
  return 0;
}

function number(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text !== "" && value >= least && value <= most) return value;
  throw new TypeError(`${option} is "${text}": it must be a number from ${least} to ${most}`);
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof TypeError ? error.message : error);
  // What failed first is the one that was suppressed.
  for (let each = error; each instanceof SuppressedError; each = each.suppressed) {
    console.error(each.error, each.suppressed);
  }
  process.exit(2);
}
