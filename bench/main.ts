import process from "node:process";
import { audit } from "./audit.ts";
import { compare } from "./compare.ts";
import { core } from "./core.ts";
import { cost } from "./cost.ts";
import { explain } from "./explain.ts";
import { fleet } from "./fleet.ts";
import { listenForInterrupts, untilInterrupted } from "./interrupt.ts";
import { latency } from "./latency.ts";
import { limits } from "./limits.ts";
import { tick } from "./tick.ts";
import { UsageError } from "../shared/usage-error.ts";

const benches: Record<string, { about: string; run: (args: readonly string[]) => Promise<void> }> = {
  latency: {
    about: "from submit to handler start and to result, Realtime on and off; start times and memory",
    run: latency,
  },
  fleet: {
    about: "1,000 workers with sockets and heartbeats: cost, vanishing workers, Realtime restarts; --workers N",
    run: fleet,
  },
  limits: { about: "what counting requests and waiting jobs adds to a call", run: limits },
  cost: {
    about: "what workers and jobs use of what Supabase charges for, and a month of it; --workers N --seconds N",
    run: cost,
  },
  core: {
    about:
      "submit and drain by SQL alone, with CPU, in under a minute; --jobs N --singles N --workers N --runs N --set a=b",
    run: core,
  },
  tick: {
    about: "the tick and a worker's calls in SQL alone; --workers 10000 --jobs 1000000",
    run: tick,
  },
  explain: {
    about: "why a job is not running, over a fleet of unlike workers, in SQL alone; --workers 1000",
    run: explain,
  },
  audit: {
    about: "what the audit log costs a job in SQL, singly and in batches; --jobs 400",
    run: audit,
  },
};

const [first, ...rest] = process.argv.slice(2);
const isNamed = first !== undefined && !first.startsWith("-");
if (isNamed && !(first in benches)) {
  console.error(`There is no bench "${first}"\n\n${usage()}`);
  process.exit(2);
}
if (first === "--help" || first === "-h") console.log(usage());
else await run();
process.exit();

async function run(): Promise<void> {
  listenForInterrupts();
  try {
    if (isNamed) await benches[first!]!.run(rest);
    else await compare(process.argv.slice(2));
  } catch (error) {
    await untilInterrupted();
    // An option that there is not is reported by parseArgs, as a TypeError.
    if (!(error instanceof UsageError) && !(error instanceof TypeError && "code" in error)) throw error;
    console.error(`${error.message}\n\nSee npm run bench -- --help`);
    process.exit(2);
  }
}

function usage(): string {
  return `npm run bench [-- --quick] [--durable] [--only PART,…] [--size NAME=NUMBER …] [--out FOLDER]

Measures Muster beside graphile-worker, pg-boss and pgbench. --quick takes less than five minutes, all of it some forty
on a machine that does nothing else. Without other options it replaces the figures in bench/README.md, and so does all
that goes there by --out bench; --only measures parts again and leaves the others as they are in the folder.

npm run bench -- NAME [options]

${Object.entries(benches).map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`).join("\n")}`;
}
