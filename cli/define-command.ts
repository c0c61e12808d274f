import { parseArgs } from "node:util";
import { UsageError } from "../shared/usage-error.ts";
import type { Api } from "./api.ts";
import type { Auth } from "./auth.ts";
import type { Outcome } from "./outcome.ts";

/** What a command works with. */
export interface Context {
  readonly api: Api;
  readonly auth: Auth;
}

/** Carries out a command that was read in full. */
export type Work = (context: Context) => Promise<Outcome>;

export interface CliCommand {
  /** Its lines of the help text. */
  readonly help: string;
  /** Reads what follows the command's name; throws a `UsageError` before anything is sent. */
  read(args: string[], now: number): { readonly json: boolean; readonly work: Work };
}

type Options = Record<string, { type: "string" | "boolean"; multiple?: boolean; default?: string | boolean }>;
type Values<Given extends Options> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Given; allowPositionals: true; strict: true }>
>["values"];

export interface CommandSpec<Given extends Options> {
  readonly help: string;
  readonly options?: Given;
  /** What it takes besides options, in order: each must be given. */
  readonly names?: readonly string[];
  /** What is not understood may be a secret's value: it is not quoted. */
  readonly isSecret?: boolean;
  readonly read: (input: { values: Values<Given>; names: string[]; now: number }) => Work;
}

export function defineCommand<const Given extends Options = Record<never, never>>(
  { help, options, names = [], isSecret = false, read }: CommandSpec<Given>,
): CliCommand {
  return {
    help,
    read(args, now) {
      const { values, positionals } = parsed(args, options ?? {});
      if (positionals.length > names.length) {
        const expected = names.length === 0 ? "it belongs to no option" : `give exactly ${names.join(" and ")}`;
        const slip = isSecret ? "what follows" : `"${positionals[names.length]}"`;
        throw new UsageError(`Cannot understand ${slip}: ${expected}`);
      }
      if (positionals.length < names.length) {
        throw new UsageError(`Cannot run the command without ${names[positionals.length]}`);
      }
      const { json, ...others } = values;
      return {
        json: json === true,
        work: read({ values: others as unknown as Values<Given>, names: positionals, now }),
      };
    },
  };
}

function parsed(args: string[], options: Options) {
  try {
    return parseArgs({
      args,
      options: { ...options, json: { type: "boolean" } },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
