import process from "node:process";
import { audit } from "./audit.ts";
import { core } from "./core.ts";
import { cost } from "./cost.ts";
import { fleet } from "./fleet.ts";
import { latency } from "./latency.ts";
import { limits } from "./limits.ts";
import { tick } from "./tick.ts";

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
  audit: {
    about: "what the audit log costs a job in SQL, singly and in batches; --jobs 400",
    run: audit,
  },
};

const [name, ...args] = process.argv.slice(2);
const bench = name === undefined ? undefined : benches[name];
if (bench === undefined) {
  if (name !== undefined && !name.startsWith("-")) console.error(`There is no bench "${name}"`);
  console.log(
    `npm run bench -- NAME [options]\n\n${
      Object.entries(benches).map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`).join("\n")
    }`,
  );
  process.exit(name === undefined || name.startsWith("-") ? 0 : 2);
}
await bench.run(args);
process.exit();
