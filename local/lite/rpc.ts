import postgres from "postgres";
import type { VerifyingKeys } from "../keys.ts";
import { lasting, transaction } from "../lasting-sql.ts";
import { databaseErrorAnswer, errorAnswer } from "./rpc-errors.ts";
import { type Claims, verifyBearer } from "./bearer.ts";
import { type Callable, findCallable, readCallables } from "./callables.ts";

export type RpcOptions = { dbUrl: string; schemas: string[]; keys: VerifyingKeys };

export type Rpc = {
  /** Answers a call, or nothing for a request that it leaves to lite. */
  answer(request: Request): Promise<Response | undefined>;
  forgetSchema(): void;
  stop(): Promise<void>;
};

const path = /^\/rest\/v1\/rpc\/([^/]+)$/;
const objectOnly = "application/vnd.pgrst.object+json";

/**
 * Answers `POST /rest/v1/rpc/<function>` as PostgREST does: the same query, so that Postgres reads the arguments and
 * writes the result as JSON, and the same mapping of errors. Lite itself sends jsonb arguments encoded twice and hides
 * SQLSTATEs that it does not know. Calls with filters, and other methods, are left to it.
 */
export function createRpc({ dbUrl, schemas, keys }: RpcOptions): Rpc {
  const sql = postgres(dbUrl, { ...lasting, max: 20, onnotice: () => {}, connection: { TimeZone: "UTC" } });
  let callables: Promise<Callable[]> | undefined;

  async function answer(request: Request): Promise<Response | undefined> {
    const url = new URL(request.url);
    const name = path.exec(url.pathname)?.[1];
    if (name === undefined || request.method !== "POST" || [...url.searchParams.keys()].some((k) => k !== "apikey")) {
      return undefined;
    }
    const schema = request.headers.get("content-profile") ?? schemas[0]!;
    if (!schemas.includes(schema)) {
      const hint = `Only the following schemas are exposed: ${schemas.join(", ")}`;
      return errorAnswer(406, "PGRST106", `Invalid schema: ${schema}`, null, hint);
    }
    const claims = await verifyBearer(request.headers.get("authorization"), keys);
    if (claims instanceof Response) return claims;
    const text = await request.text();
    const args = parseArguments(text);
    if (args instanceof Response) return args;

    callables ??= readCallables(sql, schemas);
    const found = findCallable(await callables, schema, decodeURIComponent(name), Object.keys(args));
    if (found instanceof Response) return found;
    try {
      return await call(found, text === "" ? "{}" : text, claims, request, url);
    } catch (error) {
      if (error instanceof postgres.PostgresError) return databaseErrorAnswer(error, claims.role !== "anon");
      throw error;
    }
  }

  async function call(f: Callable, body: string, claims: Claims, request: Request, url: URL): Promise<Response> {
    const headers = JSON.stringify(Object.fromEntries(request.headers));
    const searchPath = [...new Set([f.schema, "public", "extensions"])].map((s) => `"${s}"`).join(", ");
    // The context is set by one statement and the call follows on its heels, without waiting for the first answer.
    const [, [row]] = await transaction(sql, (tx) =>
      Promise.all([
        tx`select set_config('search_path', ${searchPath}, true),
        set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
        set_config('request.method', ${request.method}, true),
        set_config('request.path', ${url.pathname.replace("/rest/v1", "")}, true),
        set_config('request.headers', ${headers}, true),
        set_config('response.status', '', true), set_config('response.headers', '', true),
        set_config('role', ${claims.role}, true)`,
        tx.unsafe<CallRow[]>(f.query, f.parameters.length > 0 ? [body] : [], { prepare: true }),
      ]));
    return toResponse(f, row!, request.headers.get("accept")?.includes(objectOnly) ?? false);
  }

  return {
    answer,
    forgetSchema() {
      callables = undefined;
    },
    stop: () => sql.end({ timeout: 1 }),
  };
}

type CallRow = { body: string; total: number; status: string | null; headers: string | null };

function toResponse(f: Callable, row: CallRow, wantsObject: boolean): Response {
  const headers = new Headers();
  for (const header of row.headers ? JSON.parse(row.headers) as Record<string, string>[] : []) {
    for (const [name, value] of Object.entries(header)) headers.append(name, value);
  }
  const status = row.status ? Number(row.status) : undefined;
  if (f.result === "void") return new Response(null, { status: status ?? 204, headers });

  let { body } = row;
  if (f.isSet) headers.set("content-range", row.total > 0 ? `0-${row.total - 1}/*` : "*/*");
  if (f.isSet && wantsObject) {
    if (row.total !== 1) {
      const details = `The result contains ${row.total} rows`;
      return errorAnswer(406, "PGRST116", "Cannot coerce the result to a single JSON object", details, null);
    }
    body = JSON.stringify(JSON.parse(body)[0]);
  }
  headers.set("content-type", `${wantsObject ? objectOnly : "application/json"}; charset=utf-8`);
  return new Response(body, { status: status ?? 200, headers });
}

function parseArguments(text: string): Record<string, unknown> | Response {
  try {
    const args: unknown = text === "" ? {} : JSON.parse(text);
    if (typeof args === "object" && args !== null && !Array.isArray(args)) return args as Record<string, unknown>;
  } catch { /* answered below */ }
  return errorAnswer(400, "PGRST102", "Empty or invalid json", null, null);
}
