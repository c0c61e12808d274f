import assert from "node:assert/strict";
import { TestDatabase } from "../support/database.ts";

const roles = ["anon", "authenticated", "muster_client", "muster_worker", "service_role"] as const;
type Role = typeof roles[number];

/** Helpers that policies need; all the others are for functions of schema muster alone. */
const privateDoors: Record<string, Role[]> = {
  "tenants_of_user(muster.member_role[])": ["authenticated"],
  "claim(text)": ["muster_client"],
  "authorize_topic(text,text,boolean)": ["authenticated", "muster_worker", "muster_client"],
};

Deno.test("helpers in schema muster_private are closed but for those that policies need", async () => {
  await using db = await TestDatabase.create();
  const open: Record<string, Role[]> = {};
  for (const { signature, oid } of await functionsOf(db, "muster_private")) {
    const [row] = await db.sql`
      select array(select r from unnest(${[
      ...roles,
    ]}::text[]) r where has_function_privilege(r, ${oid}::oid, 'execute')) as roles`;
    if (row!.roles.length > 0) open[signature] = row!.roles;
  }
  assert.deepEqual(sorted(open), sorted(privateDoors));
});

Deno.test("every function has an empty search_path and is closed to public", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select p.oid::regprocedure::text as signature from pg_proc p
    where p.pronamespace in ('muster'::regnamespace, 'muster_private'::regnamespace)
      and (not coalesce(p.proconfig @> array['search_path=""'], false)
        or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0))`;
  assert.deepEqual(rows.map((row) => row.signature), []);
});

/** The one table that may be written: jobs are inserted by who has the secret key, in the columns that say what is wanted. */
const writable: Record<string, string[]> = { "muster.jobs": ["service_role"] };

Deno.test("no role may write a table but to insert jobs, and every table has row level security, which holds for who reads a view", async () => {
  await using db = await TestDatabase.create();
  await db.sql`drop table muster_private.test_clock cascade`;
  const rows = await db.sql`
    select c.oid::regclass::text as name,
      c.relrowsecurity or (c.relkind = 'v' and 'security_invoker=true' = any (c.reloptions)) as is_secured,
      array(select r from unnest(${[...roles]}::text[]) r
        where has_table_privilege(r, c.oid, 'insert, update, delete, truncate, references, trigger')
          or has_any_column_privilege(r, c.oid, 'insert, update, references')) as writers
    from pg_class c
    where c.relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')`;
  for (const row of rows) {
    assert.deepEqual(row.writers, writable[row.name] ?? [], `${row.name} has writers`);
    assert.ok(row.is_secured, `${row.name} has row level security`);
  }
});

Deno.test("no role may use a sequence of schema muster, but for the position of a job that is inserted", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select c.oid::regclass::text as name, r as role
    from pg_class c cross join unnest(${[...roles]}::text[]) r
    where c.relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace) and c.relkind = 'S'
      and has_sequence_privilege(r, c.oid, 'usage, select, update')`;
  assert.deepEqual([...rows], [{ name: "muster.job_positions", role: "service_role" }]);
});

Deno.test("muster_worker and muster_client have no powers of their own and are members of nothing", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select rolname, rolsuper or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication or rolbypassrls as is_mighty,
      array(select m.roleid::regrole::text from pg_auth_members m where m.member = r.oid) as memberships
    from pg_roles r where rolname in ('muster_worker', 'muster_client') order by 1`;
  assert.deepEqual([...rows], [
    { rolname: "muster_client", is_mighty: false, memberships: [] },
    { rolname: "muster_worker", is_mighty: false, memberships: [] },
  ]);
});

async function functionsOf(db: TestDatabase, schema: string): Promise<{ oid: number; signature: string }[]> {
  const rows = await db.sql`
    select p.oid, p.oid::regprocedure::text as signature
    from pg_proc p where p.pronamespace = ${schema}::regnamespace order by 2`;
  return rows.map(({ oid, signature }) => ({ oid, signature: signature.slice(schema.length + 1) }));
}

function sorted(record: Record<string, Role[]>): [string, Role[]][] {
  return Object.entries(record).map(([name, value]): [string, Role[]] => [name, [...value].sort()])
    .sort(([a], [b]) => a < b ? -1 : 1);
}
