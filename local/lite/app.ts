import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import postgres from "postgres";
import { applyPlatform } from "../platform.ts";
import type { ProjectConfig } from "../config.ts";
import type { VerifyingKeys } from "../keys.ts";
import { completeToken } from "./access-token.ts";
import { createAuthAdmin } from "./auth-admin.ts";
import { asSecretToken } from "./bearer.ts";
import { lasting } from "../lasting-sql.ts";
import { FileStorage } from "./files.ts";
import { createRpc } from "./rpc.ts";
import { followSchema, type SchemaCache, shareReadings, withFreshSchema } from "./schema-cache.ts";
import { storageAnswer, storageRequest } from "./storage-wire.ts";

export type LiteSettings = ProjectConfig & VerifyingKeys & {
  adminDbUrl: string;
  /** The gateway's URL, for the links in mails. */
  url: string;
  storageDir: string;
};

export type Lite = { fetch(request: Request): Promise<Response>; stop(): Promise<void> };

// What of lite's connection is driven from here; its types do not show it.
type Internals = SchemaCache & { rlsState: "unknown" | "active" };

// PostgREST writes times as ISO 8601 and bytes as Postgres does.
const types = {
  bytea: {
    to: 17,
    from: [17],
    serialize: (value: unknown) => value,
    parse: (text: string) => text,
  },
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
    postgresOptions: { ...lasting, max: 10, types },
  });
  const internals = connection as unknown as Internals;
  keepGrants(internals);
  shareReadings(internals);

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
  const { schemas, jwtSecret } = settings;
  const dbUrlAs = (role: string) => settings.adminDbUrl.replace("//supabase_admin:", `//${role}:`);
  const rpc = createRpc({ dbUrl: dbUrlAs("authenticator"), schemas, keys: settings });
  const authAdmin = createAuthAdmin({ dbUrl: dbUrlAs("supabase_auth_admin"), jwtSecret });
  const listener = await followSchema(settings.adminDbUrl, internals, rpc.forgetSchema);

  return {
    async fetch(request) {
      if (new URL(request.url).pathname.startsWith("/auth/v1/admin/")) return await authAdmin.fetch(request);
      const called = await rpc.answer(request);
      if (called) return called;
      const translated = await asSecretToken(request, settings);
      if (translated instanceof Response) return translated;
      request = translated;
      const answer = await withFreshSchema(await storageRequest(request), internals, (request) => app.fetch(request));
      return await storageAnswer(request, await completeToken(request, answer, settings));
    },
    async stop() {
      await listener.end({ timeout: 1 });
      await rpc.stop();
      await authAdmin.stop();
      await connection.close();
    },
  };
}

// Lite would grant everything in each schema that has a table with row level security to anon and authenticated. On the
// platform only the migrations grant, and our tests of closed doors rely on it. With the state preset it does not look.
function keepGrants(internals: Internals): void {
  internals.rlsState = "active";
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
