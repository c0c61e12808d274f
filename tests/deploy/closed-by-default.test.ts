import assert from "node:assert/strict";
import { databaseUrl, openDatabase } from "./database.ts";

const ignore = databaseUrl === undefined;
const schemas = ["muster", "muster_private"];

Deno.test({ name: "every table of muster has row level security", ignore }, async () => {
  await using sql = openDatabase();
  const open = await sql`
    select c.oid::regclass::text as name
    from pg_catalog.pg_class c
    where c.relnamespace = 'muster'::regnamespace
      and c.relkind in ('r', 'p') and not c.relrowsecurity`;
  assert.deepEqual(open.map(({ name }) => name), []);
});

Deno.test({ name: "every function of ours has an empty search path", ignore }, async () => {
  await using sql = openDatabase();
  const mutable = await sql`
    select p.oid::regprocedure::text as name
    from pg_catalog.pg_proc p
    where p.pronamespace::regnamespace::text = any (${schemas})
      and not coalesce(p.proconfig, '{}') @> array['search_path=""']`;
  assert.deepEqual(mutable.map(({ name }) => name), []);
});

Deno.test({ name: "no function of ours may be executed by everybody", ignore }, async () => {
  await using sql = openDatabase();
  const open = await sql`
    select distinct p.oid::regprocedure::text as name
    from pg_catalog.pg_proc p,
      pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) as acl
    where p.pronamespace::regnamespace::text = any (${schemas})
      and acl.privilege_type = 'EXECUTE'
      and (acl.grantee = 0 or acl.grantee = 'anon'::regrole)`;
  assert.deepEqual(open.map(({ name }) => name), []);
});

Deno.test({ name: "every function of ours says in a comment what it does", ignore }, async () => {
  await using sql = openDatabase();
  const silent = await sql`
    select p.oid::regprocedure::text as name
    from pg_catalog.pg_proc p
    where p.pronamespace::regnamespace::text = any (${schemas})
      and coalesce(pg_catalog.obj_description(p.oid, 'pg_proc'), '') = ''`;
  assert.deepEqual(silent.map(({ name }) => name), []);
});
