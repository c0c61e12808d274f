import { UsageError } from "../shared/usage-error.ts";
import { apiKeyCommands } from "./commands/api-key.ts";
import { auditCommands } from "./commands/audit.ts";
import { deadLetterCommands } from "./commands/dead-letter.ts";
import { enrollmentTokenCommands } from "./commands/enrollment-token.ts";
import { jobCommands } from "./commands/job.ts";
import { limitsCommands } from "./commands/limits.ts";
import { memberCommands } from "./commands/member.ts";
import { scheduleCommands } from "./commands/schedule.ts";
import { secretCommands } from "./commands/secret.ts";
import { tenantCommands } from "./commands/tenant.ts";
import { workerCommands } from "./commands/worker.ts";
import type { CliCommand, Work } from "./define-command.ts";

/** All commands by their names, in the order the help text has them. */
const commands: Readonly<Record<string, CliCommand>> = {
  ...tenantCommands,
  ...memberCommands,
  ...apiKeyCommands,
  ...enrollmentTokenCommands,
  ...workerCommands,
  ...secretCommands,
  ...jobCommands,
  ...deadLetterCommands,
  ...scheduleCommands,
  ...auditCommands,
  ...limitsCommands,
};

export type Command =
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "run"; readonly json: boolean; readonly work: Work };

/** Reads the command line. */
export function parseCommand(args: string[], now: () => number = Date.now): Command {
  const words = args.findIndex((arg) => arg.startsWith("-"));
  const [noun = "", verb = ""] = words < 0 ? args : args.slice(0, words);
  const name = Object.hasOwn(commands, noun) ? noun : `${noun} ${verb}`.trim();
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (args.length === 0 || noun === "help" || args.includes("--help") || args.includes("-h")) {
    return { kind: "help", text: helpText(command === undefined ? Object.values(commands) : [command]) };
  }
  if (command === undefined) {
    throw new UsageError(`Cannot run "${name}": the commands are ${Object.keys(commands).join(", ")}`);
  }
  return { kind: "run", ...command.read(args.slice(name.split(" ").length), now()) };
}

function helpText(shown: readonly CliCommand[]): string {
  return `muster: what an operator does with the project's secret key

Usage: npm run muster -- <command> [options]

Commands:
${shown.map(({ help }) => help).join("\n")}

Options:
  --json                     Print one JSON object
  --help                     Print this text; after a command, its part

Environment:
  SUPABASE_URL               The project (default: the local stack, http://127.0.0.1:54321)
  SUPABASE_SECRET_KEY        Its secret key (default: the local stack's)
  MUSTER_DATA_DIR            Where the local stack keeps its data (default: .muster)

A key, token or password is shown once: only its hash is stored. A secret's value is never shown.`;
}
