import type { Sql } from "postgres";

/** Makes the publication of realtime.messages, anew where it lists anything else. */
export async function ensurePublication(sql: Sql, name: string): Promise<void> {
  const [found] = await sql`
    select coalesce(array_agg(t.prrelid::regclass::text) = '{realtime.messages}', false) as correct
    from pg_publication p left join pg_publication_rel t on t.prpubid = p.oid
    where p.pubname = ${name}
    group by p.oid`;
  if (found?.correct) return;
  await sql.begin(async (tx) => {
    if (found) await tx`drop publication ${tx(name)}`;
    await tx`create publication ${tx(name)} for table realtime.messages`;
  });
}
