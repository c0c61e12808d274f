import postgres from "postgres";

const here = import.meta.dirname!;

/**
 * Brings a database to the state of a Supabase project before its first migration: roles, schemas, Auth and Storage
 * tables, Realtime's messages, cron. Takes the URL of a superuser or a connection of one, whose password the other roles
 * get, too; harmless to repeat.
 */
export async function applyPlatform(database: string | postgres.Sql): Promise<void> {
  if (typeof database === "string") {
    const sql = postgres(database, { max: 1, onnotice: () => {} });
    try {
      await applyPlatform(sql);
    } finally {
      await sql.end();
    }
    return;
  }
  // Loaded only here: it is large, and the launcher itself has no use for it.
  const { getAuthSchemaSql, getStorageSchemaSql } = await import("@supabase/lite");
  const texts = [
    await Deno.readTextFile(`${here}/sql/1-roles.sql`),
    await Deno.readTextFile(`${here}/sql/2-schemas.sql`),
    getAuthSchemaSql(),
    getStorageSchemaSql(),
    await Deno.readTextFile(`${here}/sql/3-owners.sql`),
    await Deno.readTextFile(`${here}/sql/4-reload.sql`),
    await Deno.readTextFile(`${here}/sql/5-auth.sql`),
    await Deno.readTextFile(`${here}/sql/6-policies.sql`),
    await Deno.readTextFile(`${here}/realtime/sql/realtime.sql`),
  ];
  // One transaction: two starters of the same cluster must not see each other's half. The lock serialises them.
  await database.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(hashtext('muster: platform'))`;
    await tx`select set_config('muster.database_password', ${database.options.pass ?? ""}, true)`;
    for (const text of texts) await tx.unsafe(text);
    // Where the real extension can be had, a migration creates it, and it wants to make schema cron itself.
    const [cron] = await tx`select from pg_available_extensions where name = 'pg_cron'`;
    if (!cron) await tx.unsafe(await Deno.readTextFile(`${here}/cron/cron.sql`));
  });
}
