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
