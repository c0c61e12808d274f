import { lasting } from "../lasting-sql.ts";
import postgres from "postgres";

type Schema = { tables: unknown[] };
/** What lite remembers of the schema; its types do not show it. */
export type SchemaCache = {
  introspect(options?: { useCache?: boolean }): Promise<Schema>;
  clearSchemaCache(): Promise<void>;
};

const dataApi = /^\/rest\/v1\/(?!rpc\/)/;
/** PostgREST's codes for a relationship, a column and a table that are not in its schema cache. */
const unknownToCache = ["PGRST200", "PGRST204", "PGRST205"];

/** Lets all who ask share one reading of the schema, until it is forgotten: lite reads it for each of them anew. */
export function shareReadings(cache: SchemaCache): void {
  const read = cache.introspect.bind(cache);
  const clear = cache.clearSchemaCache.bind(cache);
  let shared: Promise<Schema> | undefined;
  cache.introspect = (options) => {
    if (!options?.useCache) return read(options);
    return shared ??= keep(read());
  };
  // A reading that failed is not kept; lite makes an empty schema of it.
  function keep(reading: Promise<Schema>): Promise<Schema> {
    const forget = () => {
      if (shared === kept) shared = undefined;
    };
    const kept = reading.then((schema) => {
      if (schema.tables.length === 0) forget();
      return schema;
    }, (error) => {
      forget();
      throw error;
    });
    return kept;
  }
  // A reading under way began before the change, so it is forgotten as well.
  cache.clearSchemaCache = () => {
    shared = undefined;
    return clear();
  };
}

/** PostgREST reads the schema again at `notify pgrst`; lite keeps its first reading for ever unless told. */
export async function followSchema(
  adminDbUrl: string,
  cache: SchemaCache,
  forget: () => void,
): Promise<postgres.Sql> {
  const reload = () => {
    forget();
    return cache.clearSchemaCache();
  };
  const db = postgres(adminDbUrl, { ...lasting, max: 1 });
  await db.listen("pgrst", reload, reload);
  return db;
}

/** Asks again, with a fresh reading of the schema, when a table or column is unknown: the notice may be on its way. */
export async function withFreshSchema(
  request: Request,
  cache: SchemaCache,
  fetch: (request: Request) => Promise<Response>,
): Promise<Response> {
  if (!dataApi.test(new URL(request.url).pathname)) return await fetch(request);
  const again = request.clone();
  const answer = await fetch(request);
  if (await isUnknownToCache(answer)) {
    await cache.clearSchemaCache();
    return await fetch(again);
  }
  await again.body?.cancel();
  return answer;
}

async function isUnknownToCache(answer: Response): Promise<boolean> {
  if (answer.status !== 404 && answer.status !== 400) return false;
  const body: { code?: string } = await answer.clone().json().catch(() => ({}));
  return unknownToCache.includes(body.code ?? "");
}
