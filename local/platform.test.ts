import assert from "node:assert/strict";
import postgres from "postgres";
import { silent } from "./log.ts";
import { applyPlatform } from "./platform.ts";
import { startPostgres } from "./postgres.ts";
import { forgetData } from "./stack.ts";

Deno.test("applyPlatform() makes a database a Supabase project, a second one of the cluster too", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-platform-" });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  const second = database.adminDbUrl.replace("/postgres?", "/second?");
  const admin = postgres(database.adminDbUrl, { max: 1, onnotice: () => {} });
  await Promise.all([applyPlatform(database.adminDbUrl), applyPlatform(database.adminDbUrl)]);
  await admin`create database second`;
  await applyPlatform(second);
  await applyPlatform(second);

  for (const url of [database.dbUrl, second.replace("supabase_admin", "postgres")]) {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    // What migrations do, as the role that runs them on the platform.
    await sql.unsafe(`
      create role app_${new URL(url).pathname.slice(1)};
      grant app_${new URL(url).pathname.slice(1)} to authenticator;
      create table public.things (owner uuid references auth.users (id), key text default extensions.gen_random_uuid());
      create policy p on realtime.messages for select to authenticated using (realtime.topic() = 'x');
      create policy p on storage.objects for select to authenticated using (owner_id = auth.uid()::text);
      insert into storage.buckets (id, name) values ('b', 'b');
      select cron.schedule('x', '5 seconds', 'select 1');
    `);
    const [me] = await sql`
      select rolsuper as super, rolcreaterole as roles, rolbypassrls as bypass from pg_roles where rolname = current_user`;
    assert.deepEqual(me, { super: false, roles: true, bypass: true });
    const [granted] = await sql`
      select has_table_privilege('anon', 'public.things', 'insert') as anon,
        has_schema_privilege('anon', 'auth', 'usage') as auth,
        has_table_privilege('anon', 'auth.users', 'select') as users`;
    assert.deepEqual(granted, { anon: true, auth: true, users: false });
    const claims = await sql.begin(async (tx) => {
      await tx`set local request.jwt.claims = '{"sub": "00000000-0000-4000-8000-000000000001", "role": "authenticated"}'`;
      const [row] = await tx`select auth.uid() as uid, auth.role() as role, auth.jwt() ->> 'role' as jwt`;
      return row;
    });
    assert.deepEqual(claims, {
      uid: "00000000-0000-4000-8000-000000000001",
      role: "authenticated",
      jwt: "authenticated",
    });
    await sql.end();
  }
  await admin.end();
  await database.stop();
  await forgetData(dataDir);
});

/** What somebody who owned the tables of the services, or were more than `postgres`, could do. */
const refused = [
  "alter table realtime.messages enable row level security",
  "alter table realtime.messages owner to postgres",
  "alter table storage.objects add column mine int",
  "alter table auth.users disable trigger all",
  "drop table storage.objects",
  "create index on auth.users (created_at)",
  "create table auth.mine (n int)",
  "create table storage.mine (n int)",
  "create table realtime.mine (n int)",
  "create function realtime.mine() returns int language sql as 'select 1'",
  "create or replace function realtime.topic() returns text language sql as 'select null::text'",
  "comment on policy p on realtime.messages is 'mine'",
  "set role supabase_realtime_admin",
  "set role supabase_admin",
  "grant supabase_storage_admin to postgres",
  "alter role postgres superuser",
  "create role mine superuser",
  "create event trigger mine on ddl_command_end execute function extensions.pgrst_ddl_watch()",
];

Deno.test("applyPlatform() lets postgres write policies on what is the services', and change nothing else there", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-platform-" });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  await applyPlatform(database.adminDbUrl);
  const sql = postgres(database.dbUrl, { max: 1, onnotice: () => {} });

  await t.step("it owns nothing in their schemas and is a member of none of them", async () => {
    const owned = await sql`
      select relname as name from pg_class where relowner = 'postgres'::regrole and relnamespace in
        ('auth'::regnamespace, 'storage'::regnamespace, 'realtime'::regnamespace)
      union all select proname from pg_proc where proowner = 'postgres'::regrole and pronamespace in
        ('auth'::regnamespace, 'storage'::regnamespace, 'realtime'::regnamespace)
      union all select nspname from pg_namespace where nspowner = 'postgres'::regrole
        and nspname in ('auth', 'storage', 'realtime')`;
    assert.deepEqual(owned.map(({ name }) => name), []);
    assert.deepEqual(await memberships(sql), []);
  });
  await t.step("policies can be made, changed and dropped, also within a function or a transaction", async () => {
    for (const table of ["realtime.messages", "storage.objects", "storage.buckets", "auth.users"]) {
      await sql.unsafe(
        `do $$ begin execute 'create policy p on ${table} for select to authenticated using (true)'; end $$`,
      );
      await sql.begin(async (tx) => {
        await tx.unsafe(`alter policy p on ${table} using (false)`);
        assert.deepEqual(await memberships(tx), []);
      });
      if (table !== "realtime.messages") await sql.unsafe(`drop policy p on ${table}`);
    }
    assert.deepEqual(await memberships(sql), []);
  });
  await t.step("a policy that fails leaves nothing behind", async () => {
    await sql.unsafe(`
      do $$ begin
        create policy p on realtime.messages using (no_such_column);
      exception when undefined_column then
      end $$`);
    assert.deepEqual(await memberships(sql), []);
  });
  await t.step("rights to messages and channels, files and buckets can be handed on", async () => {
    await sql.unsafe(`
      create role app;
      grant usage on schema realtime, storage to app;
      grant select, insert on realtime.messages to app;
      grant select on storage.buckets to app`);
    const [has] = await sql`
      select has_table_privilege('app', 'realtime.messages', 'insert') as messages,
        has_table_privilege('app', 'storage.buckets', 'select') as buckets`;
    assert.deepEqual(has, { messages: true, buckets: true });
  });
  for (const statement of refused) {
    await t.step(`refused: ${statement}`, async () => {
      const error = await sql.unsafe(statement).then(() => undefined, (error) => error);
      assert.equal(error?.code, "42501", error?.message ?? "it was allowed");
    });
  }

  await sql.end();
  await database.stop();
  await forgetData(dataDir);
});

async function memberships(sql: postgres.Sql | postgres.TransactionSql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select rolname as name from pg_roles
    where rolname like 'supabase\\_%' and pg_has_role('postgres', oid, 'member') order by 1`;
  return rows.map(({ name }) => name);
}
