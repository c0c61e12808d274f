import type { Sql } from "postgres";

const dayMs = 24 * 60 * 60 * 1000;
const retentionMs = 72 * 60 * 60 * 1000;

/**
 * Makes the daily partitions of realtime.messages from yesterday to three days ahead, and drops those out of retention.
 * `withoutToday` drops today's, too, as if it had never been made.
 */
export async function maintainPartitions(
  sql: Sql,
  now: number = Date.now(),
  withoutToday = false,
): Promise<void> {
  for (const offset of [-1, 0, 1, 2, 3]) {
    const from = utcDay(now + offset * dayMs);
    const to = utcDay(now + (offset + 1) * dayMs);
    const missing = withoutToday && offset === 0;
    // Asked first, so that the server's log is spared a notice a day and a start.
    const [existing] = await sql`select to_regclass(${`realtime.${partitionName(from)}`}) is not null as found`;
    if (existing?.found === !missing) continue;
    const name = `realtime.${partitionName(from)}`;
    const create =
      `create table if not exists ${name} partition of realtime.messages for values from ('${from}') to ('${to}')`;
    await sql.unsafe(missing ? `drop table if exists ${name}` : create);
  }

  const oldest = partitionName(utcDay(now - retentionMs));
  const expired = await sql<{ name: string }[]>`
    select c.relname as name
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'realtime.messages'::regclass and c.relname ~ '^messages(_[0-9]+){3}$' and c.relname < ${oldest}`;
  for (const { name } of expired) await sql.unsafe(`drop table if exists realtime.${name}`);
}

function utcDay(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}

function partitionName(day: string): string {
  return `messages_${day.replaceAll("-", "_")}`;
}
