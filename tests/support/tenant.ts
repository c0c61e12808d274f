import type { ApiKeyScope } from "../../shared/contracts/tenants.ts";
import { type AdminDb, type ApiKey, createAdminDb, type EnrollmentToken, type Tenant } from "../../shared/db/admin.ts";
import { createClients, createSqlCall } from "../../shared/db/sql-call.ts";
import { project } from "./project.ts";

let opened: AdminDb | undefined;

/** What the operator of the tested project may do. */
export function admin(): AdminDb {
  return opened ??= createAdminDb(createSqlCall(createClients(project)));
}

/** A tenant of the test's own, so that tests neither see nor disturb each other. */
export function createTenant(name = "tenant"): Promise<Tenant> {
  return admin().createTenant(`${name}-${crypto.randomUUID()}`);
}

/** By default for an app that also looks after the machines. */
export function createApiKey(
  tenantId: string,
  options: {
    readonly executorName?: string;
    readonly expiresAt?: string | null;
    readonly scopes?: ApiKeyScope[];
  } = {},
): Promise<ApiKey> {
  const { executorName = "app", expiresAt = null, scopes = ["read", "submit", "operate"] } = options;
  return admin().createApiKey({ tenantId, executorName, expiresAt, scopes });
}

export interface EnrollmentTokenOptions {
  readonly name?: string;
  readonly capabilities?: string[] | null;
  readonly labels?: Record<string, string>;
  readonly maxUses?: number | null;
  readonly expiresAt?: string | null;
  readonly ephemeral?: boolean;
  readonly cidrs?: string[] | null;
}

/** By default for any number of machines with any capability. */
export function createEnrollmentToken(
  tenantId: string,
  options: EnrollmentTokenOptions = {},
): Promise<EnrollmentToken> {
  return admin().createEnrollmentToken({
    tenantId,
    name: "test",
    maxUses: null,
    ...options,
  });
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON body; undefined when there is none. */
  // deno-lint-ignore no-explicit-any -- tests look at answers field by field, which is the test
  readonly body: any;
}

export interface ApiRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is, with the content type of `headers`, else as JSON. */
  readonly raw?: BodyInit;
  readonly signal?: AbortSignal;
}

/** Calls a path below /functions/v1, such as `/jobs/…`. */
export type Api = (path: string, request?: ApiRequest) => Promise<ApiAnswer>;

/** A caller of the functions through the public door: with an API key, another bearer token, or nothing. */
export function api(key: string | null, more: Readonly<Record<string, string>> = {}): Api {
  return async (path, { method, headers = {}, json, raw, signal } = {}) => {
    const body = json === undefined ? raw : JSON.stringify(json);
    const response = await fetch(`${project.url}/functions/v1${path}`, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...more,
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === "" ? undefined : parsed(text) };
  };
}

/** A tenant with an API key, and an `api` that uses it. */
export async function createApp(name?: string): Promise<{ tenant: Tenant; key: ApiKey; api: Api }> {
  const tenant = await createTenant(name);
  const key = await createApiKey(tenant.id);
  return { tenant, key, api: api(key.apiKey) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
