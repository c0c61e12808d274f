import { homedir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { UsageError } from "../shared/usage-error.ts";
import { type CliOptions, help, identityFileName, readOptions } from "./cli-options.ts";
import { explainStart, type Explanation } from "./explain-start.ts";
import { printableLine } from "../shared/printable.ts";
import { builtInHandlers } from "./handlers/built-in.ts";
import { Lines } from "./lines.ts";
import { jsonLine, textLine } from "./log-line.ts";
import type { Log } from "./log.ts";
import { rotateKey } from "./rotate-key.ts";
import { runtime } from "./runtime/current.ts";
import { fileIdentityStore } from "./runtime/file-identity-store.ts";
import { fileSpool } from "./runtime/file-spool.ts";
import { loadHandlers } from "./runtime/load-handlers.ts";
import { Worker } from "./worker.ts";

/** What the script exits with: 2 when it could not start, 3 when it had to give up later. */
const exitCodes = { ended: 0, stoppedAtOnce: 130, cannotStart: 2, gaveUp: 3 } as const;

async function main(args: readonly string[]): Promise<number> {
  let options: CliOptions | undefined;
  let worker: Worker | undefined;
  let signals = () => 0;
  let online = false;
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      options: {
        "url": { type: "string" },
        "token": { type: "string" },
        "key": { type: "string" },
        "name": { type: "string" },
        "capability": { type: "string", multiple: true },
        "label": { type: "string", multiple: true },
        "resource": { type: "string", multiple: true },
        "slots": { type: "string" },
        "concurrency": { type: "string" },
        "identity": { type: "string" },
        "spool": { type: "string" },
        "handlers": { type: "string" },
        "no-realtime": { type: "boolean" },
        "claim": { type: "boolean" },
        "drain-seconds": { type: "string" },
        "log-format": { type: "string" },
        "re-enroll": { type: "boolean" },
        "rotate-key": { type: "boolean" },
        "help": { type: "boolean", short: "h" },
      },
    });
    if (values.help) {
      process.stdout.write(help);
      return exitCodes.ended;
    }
    options = readOptions(values, (name) => process.env[name]);
    const log = createLog(options);
    // A promise that some handler left alone is no reason to end the jobs of the others.
    process.on("unhandledRejection", (reason: unknown) => {
      const message = `a handler left a rejected promise alone: ${reason instanceof Error ? reason.message : reason}`;
      log({ level: "error", event: "handler.unhandled_rejection", message: worker?.masked(message) ?? message });
    });
    if (options.rotateKey) {
      await changeKey(options, log);
      return exitCodes.ended;
    }
    worker = await createWorker(options, log);
    signals = obeySignals(worker);
    await worker.start();
    online = true;
    await worker.closed;
    return signals() > 1 ? exitCodes.stoppedAtOnce : exitCodes.ended;
  } catch (error) {
    // Told to end while it was still starting.
    if (signals() > 0 && !online) {
      await worker?.closed;
      return exitCodes.ended;
    }
    complain(explain(error, options?.url ?? ""), options?.logFormat ?? "text");
    return online ? exitCodes.gaveUp : exitCodes.cannotStart;
  }
}

/** What the worker is called, and the file of its identity. */
function placeOf(options: CliOptions): { name: string; identity: string } {
  const name = options.name ?? runtime.hostName();
  return { name, identity: options.identity ?? join(homedir(), ".muster", identityFileName(options.url, name)) };
}

async function changeKey(options: CliOptions, log: Log): Promise<void> {
  const identity = fileIdentityStore(resolve(placeOf(options).identity));
  const { workerId, fingerprint } = await rotateKey({
    url: options.url,
    identity,
    publishableKey: options.key,
    log: (event) => event.event === "worker.key_rotated" || log(event),
  });
  const message = `worker ${workerId} has a new key, ${fingerprint}; the old one is void`;
  log({ level: "info", event: "worker.key_rotated", message, fields: { workerId, fingerprint } });
}

async function createWorker(options: CliOptions, log: Log): Promise<Worker> {
  const { name, identity } = placeOf(options);
  const worker = new Worker({
    url: options.url,
    spool: fileSpool(resolve(options.spool ?? `${identity}.spool`)),
    enrollmentToken: options.token,
    reEnroll: options.reEnroll,
    publishableKey: options.key,
    identity: fileIdentityStore(resolve(identity)),
    name,
    capabilities: options.capabilities,
    labels: options.labels,
    resources: options.resources,
    slots: options.slots,
    realtime: options.realtime,
    mode: options.claim ? "claim" : "push",
    drainSeconds: options.drainSeconds,
    log,
  });
  const loaded = options.handlers === undefined ? [] : await loadHandlers(options.handlers);
  for (const handler of [...builtInHandlers, ...loaded]) {
    worker.handle({
      ...handler,
      handle: (job) => {
        // A handler may block or end the process: what was said before it stands written by then.
        lines.flush();
        return handler.handle(job);
      },
    });
  }
  return worker;
}

const lines = new Lines((text) => process.stdout.write(text));
process.on("exit", () => lines.flush());

function createLog({ logFormat }: CliOptions): Log {
  const line = logFormat === "json" ? jsonLine : textLine;
  return (event) => {
    if (event.level === "debug" && process.env["MUSTER_DEBUG"] === undefined) return;
    lines.add(line(event, new Date()));
  };
}

/** The first signal drains, the second stops at once. Answers how many came. */
function obeySignals(worker: Worker): () => number {
  let signals = 0;
  const obey = () => {
    signals += 1;
    if (signals === 1) void worker.drain("the process was told to end");
    else void worker.stop("the process was told to end at once");
  };
  process.on("SIGINT", obey);
  // Windows has no SIGTERM to listen to.
  if (process.platform !== "win32") process.on("SIGTERM", obey);
  return () => signals;
}

function explain(error: unknown, url: string): Explanation {
  if (error instanceof UsageError) {
    return { message: error.message, advice: error.advice ?? "See npm run worker -- --help" };
  }
  // What parseArgs says of an unknown option is a sentence already.
  if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS")) {
    return { message: error.message, advice: "See npm run worker -- --help" };
  }
  return explainStart(error, url);
}

function complain({ message, advice }: Explanation, logFormat: "text" | "json"): void {
  const event = { level: "error", event: "worker.cannot_start", message, fields: { advice } } as const;
  const lines = `${printableLine(message)}.\n${printableLine(advice)}.\n`;
  process.stderr.write(logFormat === "json" ? `${jsonLine(event, new Date())}\n` : lines);
}

process.exit(await main(process.argv.slice(2)));
