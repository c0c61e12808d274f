import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../shared/usage-error.ts";

export interface Connection {
  readonly url: string;
  readonly secretKey: string;
}

const defaultUrl = "http://127.0.0.1:54321";

/** Where the local stack keeps its data unless MUSTER_DATA_DIR says otherwise. */
const defaultDataDir = fileURLToPath(new URL("../.muster", import.meta.url));

/** Which project to talk to: what the environment says, else the local stack. */
export async function readConnection(
  environment: Readonly<Record<string, string | undefined>>,
  readTextFile: (path: string) => Promise<string>,
): Promise<Connection> {
  const givenUrl = environment["SUPABASE_URL"] || undefined;
  const givenKey = environment["SUPABASE_SECRET_KEY"] || undefined;
  if (givenUrl !== undefined && !/^https?:\/\/[^/\s]/.test(givenUrl)) {
    throw new UsageError(`Cannot use SUPABASE_URL "${givenUrl}": it must be like https://<project>.supabase.co`);
  }
  if (givenUrl !== undefined && givenKey !== undefined) return connection(givenUrl, givenKey);
  // What the local stack writes while it runs.
  const stack = await readStack(join(environment["MUSTER_DATA_DIR"] || defaultDataDir, "stack.json"), readTextFile);
  const url = givenUrl ?? stack?.url ?? defaultUrl;
  // The local key is for the local stack alone: it is not sent anywhere else.
  const secretKey = givenKey ?? (url.replace(/\/+$/, "") === stack?.url ? stack.secretKey : undefined);
  if (secretKey !== undefined) return connection(url, secretKey);
  throw new UsageError(
    givenUrl === undefined
      ? "Cannot find a project: start the local stack with npm start, or set SUPABASE_URL and SUPABASE_SECRET_KEY"
      : `Cannot use ${givenUrl}: set SUPABASE_SECRET_KEY to its secret key`,
  );
}

function connection(url: string, secretKey: string): Connection {
  return { url: url.replace(/\/+$/, ""), secretKey };
}

async function readStack(
  stackFile: string,
  readTextFile: (path: string) => Promise<string>,
): Promise<Connection | null> {
  let stack: unknown;
  try {
    stack = JSON.parse(await readTextFile(stackFile));
  } catch {
    return null;
  }
  if (typeof stack !== "object" || stack === null || !("url" in stack) || !("secretKey" in stack)) return null;
  const { url, secretKey } = stack;
  return typeof url === "string" && typeof secretKey === "string" ? connection(url, secretKey) : null;
}
