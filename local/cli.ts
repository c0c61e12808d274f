import { parseArgs } from "node:util";
import { resolve } from "node:path";
import process from "node:process";
import { DataInUseError, lockData } from "./lock.ts";
import { defaultDataDir, defaultPorts, forgetData, type LocalStack, startLocalStack } from "./stack.ts";

const help = `Starts Muster on this machine: Postgres, the Data API, Auth, Storage, Realtime, cron and the functions.

  npm start                     start, with the data of the last time
  npm start -- --reset          forget the data first
  npm start -- --port 8000      serve on this port, or the next free one (default ${defaultPorts.gateway})
  npm start -- --data-dir DIR   keep the data there (default MUSTER_DATA_DIR, else .muster)
`;

/** How often to look whether the process that started this one still lives. */
const lookForParentEveryMs = 1_000;

const sameRequestWithinMs = 300;

const args = parse();
if (args.help) {
  console.log(help);
  process.exit(0);
}
const dataDir = resolve(args["data-dir"] ?? (process.env.MUSTER_DATA_DIR || defaultDataDir));
const port = Number(args.port ?? defaultPorts.gateway);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  end(`Cannot use port "${args.port}": a number up to 65535 is needed`);
}

const abort = new AbortController();
let askedAt = 0;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  if (Deno.build.os === "windows" && signal === "SIGTERM") continue;
  Deno.addSignalListener(signal, () => {
    // A second request is from somebody who will not wait. The children see their pipe end and leave by themselves.
    // One that comes at once is the same request, given to the whole process group and passed on by the runner.
    if (abort.signal.aborted && Date.now() - askedAt > sameRequestWithinMs) process.exit(130);
    if (abort.signal.aborted) return;
    askedAt = Date.now();
    console.error("\nStopping …");
    abort.abort(new DOMException("stopped", "AbortError"));
  });
}
stopWithParent();

try {
  if (args.reset) {
    // Taking the lock first tells a running stack from data that may go.
    const lock = await lockData(dataDir);
    await lock.release();
    await forgetData(dataDir);
  }
  const stack = await startLocalStack({ dataDir, ports: { gateway: port }, signal: abort.signal });
  describe(stack);
  if (!abort.signal.aborted) {
    await new Promise((resolve) => abort.signal.addEventListener("abort", resolve, { once: true }));
  }
  await stack.stop();
  process.exit(0);
} catch (error) {
  if (abort.signal.aborted) process.exit(0);
  const isOurs = error instanceof DataInUseError || (error as Error).message?.startsWith("Cannot ");
  end(isOurs ? (error as Error).message : (error as Error).stack ?? String(error));
}

function parse() {
  try {
    return parseArgs({
      options: {
        reset: { type: "boolean" },
        port: { type: "string" },
        "data-dir": { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    return end(`${(error as Error).message}\n\n${help}`);
  }
}

function describe(stack: LocalStack): void {
  const wanted = [
    ["Port", port, stack.url],
    ["Database port", defaultPorts.database, stack.dbUrl],
  ] as const;
  for (const [name, preferred, url] of wanted) {
    const served = Number(new URL(url).port);
    if (preferred !== 0 && served !== preferred) console.log(`${name} ${preferred} is taken: using ${served}.`);
  }
  const rows = [
    ["URL", stack.url],
    ["Publishable key", stack.publishableKey],
    ["Secret key", stack.secretKey],
    ["Database URL", stack.dbUrl],
    ["Data", stack.dataDir],
  ];
  const width = Math.max(...rows.map(([name]) => name!.length));
  console.log("Muster is running. The keys are those of this data, for local development only.\n");
  for (const [name, value] of rows) console.log(`  ${name!.padEnd(width)}  ${value}`);
  console.log(`
Next:
  npm run muster -- enrollment-token create      let a machine in
  npm run worker -- --url ${stack.url} --token mse_… --capability compute/basic
  npm run muster -- api-key create               a key for an app: see README.md for its first job

Ctrl-C stops everything; the data stays. npm start -- --reset forgets it.`);
}

// The runner may be killed in a way that it cannot pass on; then nobody could stop this stack any more.
function stopWithParent(): void {
  const parent = Deno.ppid;
  if (Deno.build.os === "windows" || process.env.MUSTER_LAUNCHER !== String(parent)) return;
  const timer = setInterval(() => {
    if (Deno.ppid === parent) return;
    clearInterval(timer);
    abort.abort(new DOMException("stopped", "AbortError"));
  }, lookForParentEveryMs);
}

function end(message: string): never {
  console.error(message);
  process.exit(1);
}
