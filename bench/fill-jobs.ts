import type postgres from "postgres";
import type { TestDatabase } from "../tests/support/database.ts";

const perStatement = 500_000;

/**
 * Many jobs like those that are there, in little time: so many copies of each. A model came about by the functions, so its
 * rows are as they must be; each copy gets an id, a place in the order and instants of its own, in every table that has
 * rows of the model. What stands for many jobs at once, such as the audit log and the tallies of workers, is left as it
 * is, so a model must not be held by a worker. Triggers and foreign keys are not asked. Answers the last copy.
 */
export async function multiplyJobs(db: TestDatabase, models: readonly string[], copies: number): Promise<string> {
  const tables = await tablesOfJobs(db.sql);
  const perModel = Math.min(copies, perStatement);
  const modelsAtOnce = Math.max(1, Math.floor(perStatement / perModel));
  let last = "";
  for (let first = 0; first < models.length; first += modelsAtOnce) {
    for (let made = 0; made < copies; made += perModel) {
      const some = models.slice(first, first + modelsAtOnce);
      last = await multiply(db.sql, tables, some, Math.min(perModel, copies - made));
    }
  }
  return last;
}

async function multiply(
  sql: postgres.Sql,
  tables: readonly Table[],
  models: readonly string[],
  copies: number,
): Promise<string> {
  const [last] = await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    // In the order of their ids, as random ones would be read and written all over the index.
    await tx`
      create temp table copies on commit drop as
      select c.id, c.model, nextval('muster.job_positions') as position, row_number() over () as n from (
        select gen_random_uuid() as id, m.id as model
        from unnest(${models as string[]}::uuid[]) m (id) cross join generate_series(1, ${copies}::integer)
        order by 1
      ) c`;
    await tx`analyze copies`;
    for (const { name, key, columns } of tables) {
      const values = columns.map((column) => valueOf(column, key));
      await tx.unsafe(
        `insert into ${name} (${columns.map(({ name }) => name).join(", ")})
        select ${values.join(", ")} from copies c join ${name} m on m.${key} = c.model order by c.n`,
      );
    }
    return await tx`select id from copies order by n desc limit 1`;
  });
  return last!["id"];
}

type Column = { name: string; type: string };
type Table = { name: string; key: string; columns: Column[] };

/** Where a job has rows: partitions are written through their table. */
async function tablesOfJobs(sql: postgres.Sql): Promise<Table[]> {
  const rows = await sql`
    select format('%I.%I', n.nspname, t.relname) as name, quote_ident(k.attname) as key, (
        select json_agg(json_build_object('name', quote_ident(a.attname), 'type', a.atttypid::regtype::text) order by a.attnum)
        from pg_attribute a
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = ''
      ) as columns
    from pg_class t
    join pg_namespace n on n.oid = t.relnamespace
    join pg_attribute k on k.attrelid = t.oid and not k.attisdropped
      and k.attname = case t.relname when 'jobs' then 'id' else 'job_id' end
    where n.nspname in ('muster', 'muster_private') and t.relkind in ('r', 'p') and not t.relispartition
    order by t.relname <> 'jobs', t.relname`;
  return rows as unknown as Table[];
}

function valueOf({ name, type }: Column, key: string): string {
  if (name === key) return "c.id";
  if (name === "position") return "c.position";
  // As the functions rank a job of a flow that is alone.
  if (name === "rank") return "c.position * 1000000";
  // Ten thousand a second, the last of them now.
  if (type === "timestamp with time zone") return `m.${name} - (c.n * interval '100 microseconds')`;
  return `m.${name}`;
}
