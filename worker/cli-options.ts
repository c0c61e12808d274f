import { readLabels } from "../shared/read-labels.ts";
import { UsageError } from "../shared/usage-error.ts";
import { readResources } from "./read-resources.ts";

/** What the worker script was told, from its arguments and the environment. */
export interface CliOptions {
  readonly url: string;
  readonly token: string | undefined;
  readonly key: string | undefined;
  readonly name: string | undefined;
  readonly capabilities: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: Readonly<Record<string, number>>;
  readonly slots: number;
  readonly identity: string | undefined;
  readonly spool: string | undefined;
  readonly handlers: string | undefined;
  readonly realtime: boolean;
  /** Takes jobs by claiming them, and is given none. */
  readonly claim: boolean;
  readonly drainSeconds: number;
  readonly logFormat: "text" | "json";
  /** Enrolls again by the key this machine has. */
  readonly reEnroll: boolean;
  /** Changes the key instead of working. */
  readonly rotateKey: boolean;
}

export const help = `Runs jobs of a Muster project on this machine.

  npm run worker -- --url https://xyz.supabase.co --token mse_… --capability compute/basic

The first start enrolls the machine with the enrollment token and keeps an identity; later starts need no token.

  --url URL             The project. Also MUSTER_URL
  --token TOKEN         Enrollment token, mse_…; needed the first time only. Also MUSTER_TOKEN
  --capability NAME     What this machine can do, such as compute/basic; repeat it for more
  --label KEY=VALUE     Something that jobs can ask for; repeat it for more
  --resource NAME=N     What jobs use up while they run, such as gpu=2; repeat it for more
  --name NAME           Shown to people. Default: this machine's name
  --slots N             Jobs to run at a time, 1 to 256. Default 1. Also --concurrency
  --identity FILE       Where the identity is kept. Default ~/.muster/<host of the URL>-<name>.json
  --spool DIR           Where results wait that cannot be delivered yet. Default beside the identity.
                        Also MUSTER_SPOOL_DIR
  --handlers DIR        Loads the handlers in this folder: each file's default export
  --no-realtime         Polls instead of listening
  --claim               Takes its jobs itself when all workers of its kind are called, instead of being given them
  --drain-seconds N     How long running jobs may finish after Ctrl-C or SIGTERM. Default 30
  --log-format FORMAT   text or json. Default text
  --re-enroll           Enrolls again with --token by the key this machine has: the same worker, with what
                        the token allows now
  --rotate-key          Gives the worker a new key and ends; the old one is void from then on
  --key KEY             The project's publishable key. Default: what enrolling tells. Also MUSTER_KEY
  --help                Shows this

Ctrl-C or SIGTERM lets running jobs finish and hands back the rest; a second one stops at once.
`;

/** Values as `parseArgs` gives them. */
export type RawValues = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

/** Reads the options; arguments win over the environment. */
export function readOptions(values: RawValues, environment: (name: string) => string | undefined): CliOptions {
  const one = (name: string, variable?: string): string | undefined => {
    const value = values[name] ?? (variable === undefined ? undefined : environment(variable));
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const many = (name: string): string[] => {
    const value = values[name];
    return Array.isArray(value) ? value.map(String) : [];
  };
  const url = one("url", "MUSTER_URL");
  if (url === undefined) {
    throw new UsageError(
      "No project was named",
      "Give its URL with --url or MUSTER_URL, such as https://xyz.supabase.co",
    );
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new UsageError(`--url "${url}" is not a URL`, "Give the project's URL, such as https://xyz.supabase.co");
  }
  const logFormat = one("log-format") ?? "text";
  if (logFormat !== "text" && logFormat !== "json") {
    throw new UsageError(`--log-format is text or json, not "${logFormat}"`);
  }
  return {
    url: url.replace(/\/+$/, ""),
    token: one("token", "MUSTER_TOKEN"),
    key: one("key", "MUSTER_KEY"),
    name: one("name", "MUSTER_NAME"),
    capabilities: [...new Set(many("capability"))],
    labels: readLabels(many("label")),
    resources: readResources(many("resource")),
    slots: readNumber("--slots", one("slots") ?? one("concurrency") ?? "1", 1, 256),
    identity: one("identity", "MUSTER_IDENTITY"),
    spool: one("spool", "MUSTER_SPOOL_DIR"),
    handlers: one("handlers"),
    realtime: values["no-realtime"] !== true,
    claim: values["claim"] === true,
    drainSeconds: readNumber("--drain-seconds", one("drain-seconds") ?? "30", 0, 86_400),
    logFormat,
    reEnroll: values["re-enroll"] === true,
    rotateKey: values["rotate-key"] === true,
  };
}

/** The name of the file that keeps the identity, made of the URL's host and the worker's name. */
export function identityFileName(url: string, name: string): string {
  const safe = (text: string) => text.replace(/[^A-Za-z0-9._-]+/g, "_");
  return `${safe(new URL(url).host)}-${safe(name)}.json`;
}

function readNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`${option} is "${text}": it must be a whole number from ${least} to ${most}`);
}
