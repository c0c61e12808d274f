import { createClients } from "../shared/db/sql-call.ts";
import { MusterError } from "../shared/errors.ts";
import { printable, printableLine } from "../shared/printable.ts";
import { UsageError } from "../shared/usage-error.ts";
import { createApi } from "./api.ts";
import { createAuth } from "./auth.ts";
import { type Command, parseCommand } from "./command.ts";
import { type Connection, readConnection } from "./connection.ts";
import type { Context } from "./define-command.ts";

/** Runs one command; answers the exit code: 0 done, 1 refused by the server or found wrong, 2 not understood. */
async function main(args: string[]): Promise<number> {
  let command: Command;
  try {
    command = parseCommand(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${printableLine(error.message)}\n\n${error.advice ?? "See npm run muster -- --help"}`);
    return 2;
  }
  if (command.kind === "help") {
    console.log(command.text);
    return 0;
  }
  try {
    const { record, text, failed = false } = await command.work(await findProject());
    console.log(command.json ? JSON.stringify(record) : printable(text));
    return failed ? 1 : 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(printableLine(error.message));
      return 2;
    }
    if (!(error instanceof MusterError)) throw error;
    console.error(`${printableLine(error.message)}\n${printableLine(error.advice)}`);
    for (const { path, message } of error.errors) console.error(printableLine(`${path}: ${message}`));
    if (error.code === "unavailable") console.error("Is the project running, and is SUPABASE_URL right?");
    if (error.code === "route_not_found") console.error("Are the functions deployed to this project?");
    if (error.code === "unauthenticated" || error.code === "forbidden") {
      console.error("Is SUPABASE_SECRET_KEY the secret key of this project?");
    }
    return 1;
  }
}

/** Says that there is no project when a command wants one: not every command does. */
async function findProject(): Promise<Context> {
  let connection: Connection;
  try {
    connection = await readConnection(Deno.env.toObject(), (path) => Deno.readTextFile(path));
  } catch (error) {
    const refuse = () => {
      throw error;
    };
    return Object.defineProperties({} as Context, { api: { get: refuse }, auth: { get: refuse } });
  }
  const { service } = createClients({ ...connection, publishableKey: connection.secretKey });
  return { api: createApi(connection), auth: createAuth(service) };
}

Deno.exit(await main(Deno.args));
