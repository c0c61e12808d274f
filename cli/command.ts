import { parseArgs } from "node:util";
import { Capability } from "../shared/contracts/common.ts";
import { limits } from "../shared/contracts/limits.ts";
import { readLabels } from "../shared/read-labels.ts";
import { UsageError } from "../shared/usage-error.ts";

export const helpText = `muster: what an operator does with the project's secret key

Usage: npm run muster -- <command> [options]

Commands:
  tenant create NAME         Make a tenant, or show the one of that name
  api-key create             Make an API key for an app that submits jobs
      --tenant NAME          Tenant of the app; made when it is new (default: default)
      --executor NAME        The app (default: default)
      --expires TIME         30m, 12h, 90d or an ISO instant (default: never)
  enrollment-token create    Make a token that lets machines in
      --tenant NAME          Tenant of the machines; made when it is new (default: default)
      --name NAME            What the token is for (default: default)
      --capability NAME      A capability that its machines may have; repeat it (default: any)
      --label KEY=VALUE      A label that its machines get; repeat it
      --max-uses N           How many machines it lets in, or "unlimited" (default: 1)
      --expires TIME         30m, 12h, 90d or an ISO instant (default: 24h)
      --ephemeral            Its machines are forgotten once they are gone

Options:
  --json                     Print one JSON object
  --help                     Print this text

Environment:
  SUPABASE_URL               The project (default: the local stack, http://127.0.0.1:54321)
  SUPABASE_SECRET_KEY        Its secret key (default: the local stack's)
  MUSTER_DATA_DIR            Where the local stack keeps its data (default: .muster)

A key or token is shown once: only its hash is stored.`;

export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "tenant create"; readonly json: boolean; readonly name: string }
  | {
    readonly kind: "api-key create";
    readonly json: boolean;
    readonly tenant: string;
    readonly executor: string;
    readonly expiresAt: string | null;
  }
  | {
    readonly kind: "enrollment-token create";
    readonly json: boolean;
    readonly tenant: string;
    readonly name: string;
    /** Null for any. */
    readonly capabilities: string[] | null;
    readonly labels: Record<string, string>;
    /** Null for any number. */
    readonly maxUses: number | null;
    readonly expiresAt: string | null;
    readonly ephemeral: boolean;
  };

const common = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
const tenant = { type: "string", default: "default" } as const;

const options = {
  "tenant create": common,
  "api-key create": {
    ...common,
    tenant,
    executor: { type: "string", default: "default" },
    expires: { type: "string" },
  },
  "enrollment-token create": {
    ...common,
    tenant,
    name: { type: "string", default: "default" },
    capability: { type: "string", multiple: true },
    label: { type: "string", multiple: true },
    "max-uses": { type: "string", default: "1" },
    expires: { type: "string", default: "24h" },
    ephemeral: { type: "boolean", default: false },
  },
} as const;

/** Reads the command line. */
export function parseCommand(args: string[], now: () => number = Date.now): Command {
  if (args.length === 0 || args.includes("--help") || args.includes("-h") || args[0] === "help") {
    return { kind: "help" };
  }
  const kind = args.slice(0, 2).join(" ");
  const rest = args.slice(2);
  switch (kind) {
    case "tenant create": {
      const { values, positionals } = parsed(() => parse(rest, options[kind]));
      return { kind, json: values.json ?? false, name: onlyName(positionals) };
    }
    case "api-key create": {
      const { values, positionals } = parsed(() => parse(rest, options[kind]));
      nothingElse(positionals);
      const { tenant, executor, expires } = values;
      return {
        kind,
        json: values.json ?? false,
        tenant: readName("tenant", tenant),
        executor: readName("executor", executor),
        expiresAt: expires === undefined ? null : readExpiry(expires, now()),
      };
    }
    case "enrollment-token create": {
      const { values, positionals } = parsed(() => parse(rest, options[kind]));
      nothingElse(positionals);
      return {
        kind,
        json: values.json ?? false,
        tenant: readName("tenant", values.tenant),
        name: readName("name", values.name),
        capabilities: values.capability === undefined ? null : values.capability.map(readCapability),
        labels: readLabels(values.label ?? []),
        maxUses: readMaxUses(values["max-uses"]),
        expiresAt: readExpiry(values.expires, now()),
        ephemeral: values.ephemeral,
      };
    }
  }
  throw new UsageError(`Cannot run "${kind}": the commands are ${Object.keys(options).join(", ")}`);
}

function parse<Options extends NonNullable<Parameters<typeof parseArgs>[0]>["options"]>(
  args: string[],
  options: Options,
) {
  return parseArgs({ args, options: options as NonNullable<Options>, allowPositionals: true, strict: true });
}

function parsed<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function onlyName(positionals: string[]): string {
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) throw new UsageError("Cannot create a tenant: give exactly one name");
  return readName("tenant", name);
}

function readName(option: string, value: string): string {
  if (value.length >= 1 && value.length <= limits.nameLength) return value;
  throw new UsageError(`Cannot use the ${option} "${value}": it must have 1 to ${limits.nameLength} characters`);
}

function nothingElse(positionals: string[]): void {
  if (positionals.length > 0) throw new UsageError(`Cannot understand "${positionals[0]}": it belongs to no option`);
}

function readCapability(value: string): string {
  const result = Capability.safeParse(value);
  if (result.success) return result.data;
  throw new UsageError(`Cannot allow capability "${value}": ${result.error.issues[0]?.message.toLowerCase()}`);
}

function readMaxUses(value: string): number | null {
  if (value === "unlimited") return null;
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read --max-uses "${value}": it must be a whole number from 1, or unlimited`);
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90d` from now, or an instant as it is; always in the future. */
function readExpiry(value: string, now: number): string {
  const span = /^([1-9]\d{0,5})([mhd])$/.exec(value);
  const at = span === null ? Date.parse(value) : now + Number(span[1]) * unitMs[span[2] as keyof typeof unitMs];
  if (Number.isNaN(at)) {
    throw new UsageError(`Cannot read --expires "${value}": it must be like 30m, 12h, 90d or an ISO instant`);
  }
  if (at <= now) throw new UsageError(`Cannot use --expires "${value}": it must be in the future`);
  return new Date(at).toISOString();
}
