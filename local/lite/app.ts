import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { type Kysely, sql } from "kysely";
import postgres from "postgres";
import { applyPlatform } from "../platform.ts";
import type { ProjectConfig } from "../config.ts";
import { FileStorage } from "./files.ts";
import { createRpc } from "./rpc.ts";
import { storageAnswer, storageRequest } from "./storage-wire.ts";

export type LiteSettings = ProjectConfig & {
  port: number;
  adminDbUrl: string;
  jwtSecret: string;
  /** The gateway's URL, for the links in mails. */
  url: string;
  storageDir: string;
};

export type Lite = { fetch(request: Request): Promise<Response>; stop(): Promise<void> };

// What of lite's connection is replaced or driven from here; its types do not show it.
type Context = { auth?: { role?: string; uid?: unknown; jwt?: unknown }; storage?: { operation?: unknown } };
type RpcRequest = { method: string; path: string; requestHeaders?: Record<string, string> };
type Internals = {
  rlsState: "unknown" | "active";
  clearSchemaCache(): Promise<void>;
  introspect(options: { useCache: boolean }): Promise<unknown>;
  applyJwtSessionContext(tx: Kysely<unknown>, context: Context): Promise<void>;
  applyRpcRequestGucs(tx: Kysely<unknown>, request: RpcRequest): Promise<void>;
};

// PostgREST writes times as ISO 8601; lite passes on what Postgres sends as text.
const isoTimes = {
  timestamptz: {
    to: 1184,
    from: [1184],
    serialize: (value: unknown) => value,
    parse: (text: string) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"),
  },
  timestamp: {
    to: 1114,
    from: [1114],
    serialize: (value: unknown) => value,
    parse: (text: string) => text.replace(" ", "T"),
  },
};

/** Makes the database a Supabase project, and `@supabase/lite` its Data API, Auth and Storage. */
export async function createLite(settings: LiteSettings): Promise<Lite> {
  await applyPlatform(settings.adminDbUrl);

  const connection = createPostgresConnection({
    url: settings.adminDbUrl,
    postgresOptions: { max: 10, types: isoTimes },
  });
  const internals = connection as unknown as Internals;
  keepGrants(internals);
  saveRoundTrips(internals);

  const app = new App({
    connection,
    api: { schemas: settings.schemas },
    db: { driver: "postgres", url: settings.adminDbUrl, migrations: { enabled: false } },
    auth: {
      enabled: true,
      jwt_secret: settings.jwtSecret,
      site_url: settings.url,
      email: { enable_signup: true, enable_confirmations: false },
    },
    storage: { enabled: true, file_size_limit: "5GiB" },
    studio: { enabled: false },
    // The gateway has checked and swapped the keys.
    options: { server: { apiKeys: false, admin: false } },
    // deno-lint-ignore no-explicit-any -- the package types neither optional sections nor unset ones
  } as any);
  app._storageAdapter = new FileStorage(settings.storageDir) as never;
  await app.init();
  await createBuckets(settings);
  await internals.introspect({ useCache: true });
  const rpc = createRpc({
    dbUrl: settings.adminDbUrl.replace("//supabase_admin:", "//authenticator:"),
    schemas: settings.schemas,
    jwtSecret: settings.jwtSecret,
  });
  const listener = await followSchema(settings.adminDbUrl, () => {
    rpc.forgetSchema();
    return internals.clearSchemaCache();
  });

  return {
    async fetch(request) {
      const called = await rpc.answer(request);
      if (called) return called;
      const answer = await app.fetch(await storageRequest(request));
      return await storageAnswer(request, answer);
    },
    async stop() {
      await listener.end({ timeout: 1 });
      await rpc.stop();
      await connection.close();
    },
  };
}

// Lite would grant everything in each schema that has a table with row level security to anon and authenticated. On the
// platform only the migrations grant, and our tests of closed doors rely on it. With the state preset it does not look.
function keepGrants(internals: Internals): void {
  internals.rlsState = "active";
}

// Lite sets the request's context with up to twelve statements, each a round trip; one does the same.
function saveRoundTrips(internals: Internals): void {
  internals.applyJwtSessionContext = async (tx, { auth, storage }) => {
    const role = auth?.role || "anon";
    const claims = auth?.jwt && typeof auth.jwt === "object" ? JSON.stringify(auth.jwt) : "";
    await sql`select set_config('request.jwt.claim.sub', ${String(auth?.uid ?? "")}, true),
      set_config('request.jwt.claim.role', ${role}, true),
      set_config('request.jwt.claims', ${claims}, true),
      set_config('storage.operation', ${String(storage?.operation ?? "")}, true),
      set_config('role', ${role}, true)`.execute(tx);
  };
  internals.applyRpcRequestGucs = async (tx, request) => {
    await sql`select set_config('response.status', '', true),
      set_config('response.headers', '', true),
      set_config('request.method', ${request.method}, true),
      set_config('request.path', ${request.path}, true),
      set_config('request.headers', ${JSON.stringify(request.requestHeaders ?? {})}, true)`.execute(tx);
  };
}

async function createBuckets({ adminDbUrl, buckets }: LiteSettings): Promise<void> {
  if (buckets.length === 0) return;
  const db = postgres(adminDbUrl, { max: 1 });
  for (const { name, public: isPublic } of buckets) {
    await db`insert into storage.buckets (id, name, public) values (${name}, ${name}, ${isPublic})
      on conflict (id) do nothing`;
  }
  await db.end();
}

// PostgREST reads the schema again at `notify pgrst`; lite keeps its first reading for ever unless told.
async function followSchema(adminDbUrl: string, reload: () => void): Promise<postgres.Sql> {
  const db = postgres(adminDbUrl, { max: 1 });
  await db.listen("pgrst", reload, reload);
  return db;
}
