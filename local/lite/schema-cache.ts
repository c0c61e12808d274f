import postgres from "postgres";

/** What lite remembers of the schema; its types do not show it. */
export type SchemaCache = { clearSchemaCache(): Promise<void> };

const dataApi = /^\/rest\/v1\/(?!rpc\/)/;
/** PostgREST's codes for a relationship, a column and a table that are not in its schema cache. */
const unknownToCache = ["PGRST200", "PGRST204", "PGRST205"];

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
  const db = postgres(adminDbUrl, { max: 1 });
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
