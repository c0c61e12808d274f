import type { z } from "zod";
import { CreatedTenant, type Tenant, TenantList } from "../shared/contracts/tenants.ts";
import { musterError, UnavailableError } from "../shared/errors.ts";
import { errorFromAnswer } from "../shared/problem.ts";
import type { Connection } from "./connection.ts";

export interface CallOptions {
  /** The tenant to act in. */
  readonly tenantId?: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
}

/** The project's functions, called with its secret key. A refusal is thrown as a `MusterError`. */
export interface Api {
  get<Answer>(path: string, schema: z.ZodType<Answer>, options?: CallOptions): Promise<Answer>;
  post<Answer>(path: string, schema: z.ZodType<Answer>, body: unknown, options?: CallOptions): Promise<Answer>;
  delete<Answer>(path: string, schema: z.ZodType<Answer>, options?: CallOptions): Promise<Answer>;
}

/** Longer than a function may take, cold start included. */
const callTimeoutMs = 30_000;

export function createApi({ url, secretKey }: Connection, send: typeof fetch = fetch): Api {
  async function call<Answer>(
    method: "GET" | "POST" | "DELETE",
    path: string,
    schema: z.ZodType<Answer>,
    { tenantId, query = {} }: CallOptions,
    body?: unknown,
  ): Promise<Answer> {
    const target = new URL(`${url}/functions/v1${path}`);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) target.searchParams.set(name, value);
    const request: RequestInit = {
      method,
      headers: {
        // Not as a bearer: a key of the new kind is no token.
        apikey: secretKey,
        ...(tenantId === undefined ? {} : { "x-tenant-id": tenantId }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      signal: AbortSignal.timeout(callTimeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    let response: Response;
    let answer: unknown;
    try {
      response = await send(target, request);
      const text = await response.text();
      answer = parsed(text);
    } catch (cause) {
      throw new UnavailableError(`Cannot reach ${target.origin}`, { cause });
    }
    if (!response.ok) throw errorFromAnswer(response.status, answer);
    const read = schema.safeParse(answer);
    if (read.success) return read.data;
    throw musterError("internal", `Cannot read the answer of ${method} ${path}: it has another shape`, {
      cause: read.error,
    });
  }
  return {
    get: (path, schema, options = {}) => call("GET", path, schema, options),
    post: (path, schema, body, options = {}) => call("POST", path, schema, options, body),
    delete: (path, schema, options = {}) => call("DELETE", path, schema, options),
  };
}

/** The tenant of that name, or `not_found`. */
export async function findTenant(api: Api, name: string): Promise<Tenant> {
  const { tenants: [tenant] } = await api.get("/tenants", TenantList, { query: { name } });
  if (tenant !== undefined) return tenant;
  throw musterError("not_found", `Cannot find tenant "${name}"`, { advice: "See npm run muster -- tenant list" });
}

/** The tenant of that name, made when it is new. */
export async function makeTenant(api: Api, name: string): Promise<Tenant> {
  return await api.post("/tenants", CreatedTenant, { name });
}

/** Everything that a list has, page by page. */
export async function allPages<Item>(
  page: (cursor: string | undefined) => Promise<{ items: Item[]; nextCursor: string | null }>,
): Promise<Item[]> {
  const all: Item[] = [];
  let cursor: string | undefined;
  do {
    const { items, nextCursor } = await page(cursor);
    all.push(...items);
    cursor = nextCursor ?? undefined;
  } while (cursor !== undefined);
  return all;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
