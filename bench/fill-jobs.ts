import type postgres from "postgres";
import type { TestDatabase } from "../tests/support/database.ts";

const perStatement = 500_000;
/** Ten thousand came in a second, the last of them now. */
const between = "100 microseconds";

/**
 * Many jobs like those that are there, in little time: so many copies of each. A model came about by the functions, so its
 * rows are as they must be; each copy gets an id, a place in the order and instants of its own, in every table that has
 * rows of the model. Models take turns, as do apps. What stands for many jobs at once, such as the audit log and the
 * tallies of workers, is left as it is, so a model must not be held by a worker. Triggers and foreign keys are not asked.
 * Answers the last copy.
 */
export async function multiplyJobs(
  db: TestDatabase,
  models: readonly string[],
  copies: number,
  onProgress: (made: number) => void = () => {},
): Promise<string> {
  const tables = await tablesOfJobs(db.sql, models);
  const total = copies * models.length;
  const [start] = await db.sql`
    select nextval('muster.job_positions')::float8 as position, muster_private.now() as at`;
  await db.sql`select setval('muster.job_positions', ${start!["position"] + total}::float8::bigint)`;
  let last = "";
  for (let made = 0; made < total;) {
    const size = Math.min(perStatement, total - made);
    last = await multiply(db.sql, tables, models, { made, size, total, ...start as unknown as Start });
    made += size;
    onProgress(made);
  }
  return last;
}

/** Before the first position of a copy, and when the last came about. */
type Start = { position: number; at: Date };

async function multiply(
  sql: postgres.Sql,
  tables: readonly Table[],
  models: readonly string[],
  { made, size, total, position, at }: { made: number; size: number; total: number } & Start,
): Promise<string> {
  const [last] = await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    // An id goes up with the time, as those of the functions do: milliseconds, a count within them, and chance.
    await tx`
      create temp table copies on commit drop as
      select c.n, c.model, c.at - m.created_at as later, ${position}::float8::bigint + c.n as position,
        (lpad(to_hex(floor(extract(epoch from c.at) * 1000)::bigint), 12, '0') || '7'
          || lpad(to_hex(c.n % 4096), 3, '0') || substr(gen_random_uuid()::text, 20))::uuid as id
      from (
        select n, (${models as string[]}::uuid[])[(n - 1) % ${models.length}::integer + 1] as model,
          ${at}::timestamptz - (${total}::integer - n) * ${between}::interval as at
        from generate_series(${made + 1}::integer, ${made + size}::integer) n
      ) c join muster.jobs m on m.id = c.model`;
    await tx`analyze copies`;
    for (const { name, key, columns } of tables) {
      const values = columns.map((column) => valueOf(column, key));
      await tx.unsafe(
        `insert into ${name} (${columns.map(({ name }) => `"${name}"`).join(", ")})
        select ${values.join(", ")} from copies c join ${name} m on m.${key} = c.model`,
      );
    }
    return await tx`select id from copies order by n desc limit 1`;
  });
  return last!["id"];
}

type Column = { name: string; type: string };
type Table = { name: string; key: string; columns: Column[] };

/** Where these jobs have rows: partitions are written through their table. */
async function tablesOfJobs(sql: postgres.Sql, models: readonly string[]): Promise<Table[]> {
  const rows = await sql`
    select format('%I.%I', n.nspname, t.relname) as name, k.attname as key, (
        select json_agg(json_build_object('name', a.attname, 'type', a.atttypid::regtype::text) order by a.attnum)
        from pg_attribute a
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
      ) as columns
    from pg_class t
    join pg_namespace n on n.oid = t.relnamespace
    join pg_attribute k on k.attrelid = t.oid and not k.attisdropped
      and k.attname = case t.relname when 'jobs' then 'id' else 'job_id' end
    where n.nspname in ('muster', 'muster_private') and t.relkind in ('r', 'p') and not t.relispartition
    order by t.relname <> 'jobs', t.relname`;
  const tables: Table[] = [];
  for (const table of rows as unknown as Table[]) {
    const [row] = await sql.unsafe(
      `select exists (select from ${table.name} where ${table.key} = any ($1::uuid[])) as has_some`,
      [models as string[]],
    );
    if (row!["has_some"]) tables.push(table);
  }
  return tables;
}

function valueOf({ name, type }: Column, key: string): string {
  if (name === key) return "c.id";
  if (name === "position") return "c.position";
  // As the functions rank a job of a flow that is alone.
  if (name === "rank") return "c.position * 1000000";
  if (type === "timestamp with time zone") return `m."${name}" + c.later`;
  return `m."${name}"`;
}
