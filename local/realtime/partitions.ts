import type { Sql } from "postgres";

const dayMs = 24 * 60 * 60 * 1000;
const retentionMs = 72 * 60 * 60 * 1000;

/** Makes the daily partitions of realtime.messages from yesterday to three days ahead, and drops those out of retention. */
export async function maintainPartitions(sql: Sql, now: number = Date.now()): Promise<void> {
  for (const offset of [-1, 0, 1, 2, 3]) {
    const from = utcDay(now + offset * dayMs);
    const to = utcDay(now + (offset + 1) * dayMs);
    // Asked first, so that the server's log is spared a notice a day and a start.
    const [existing] = await sql`select to_regclass(${`realtime.${partitionName(from)}`}) is not null as found`;
    if (existing?.found) continue;
    await sql.unsafe(
      `create table if not exists realtime.${partitionName(from)} partition of realtime.messages ` +
        `for values from ('${from}') to ('${to}')`,
    );
  }

  const oldest = partitionName(utcDay(now - retentionMs));
  const expired = await sql<{ name: string }[]>`
    select c.relname as name
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'realtime.messages'::regclass and c.relname ~ '^messages_\d{4}_\d{2}_\d{2}$' and c.relname < ${oldest}`;
  for (const { name } of expired) await sql.unsafe(`drop table if exists realtime.${name}`);
}

function utcDay(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}

function partitionName(day: string): string {
  return `messages_${day.replaceAll("-", "_")}`;
}
